"""Compiled kernels for the two places where the time goes: attention to a long context, and the stem.

They compute what `seqexpr.models.perceiver` writes in torch's words, and nothing else: `tests/models/kernels` holds
outputs and gradients of both forms against each other. One switch turns them off, `SEQEXPR_KERNELS=off`. Those of the
CPU, in C, are also off where they were not built (no C compiler at installation) or the processor lacks the
instructions; those of CUDA devices, in `cuda`, where Triton is absent, and where gradients are wanted.
"""

from seqexpr.models.kernels.attention import SHORTEST_CONTEXT, SharedLogits, attend_context, attends, reads_letters
from seqexpr.models.kernels.cuda.availability import computes_on
from seqexpr.models.kernels.cuda.precision import Precision, computing_in
from seqexpr.models.kernels.library import disabled, instruction_set
from seqexpr.models.kernels.stem import StemStage, stem_stage, stems

__all__ = [
    "SHORTEST_CONTEXT",
    "Precision",
    "SharedLogits",
    "StemStage",
    "attend_context",
    "attends",
    "computes_on",
    "computing_in",
    "disabled",
    "instruction_set",
    "reads_letters",
    "stem_stage",
    "stems",
]
