from __future__ import annotations

import pytest
import torch

from seqexpr.models.kernels.cuda import availability
from seqexpr.models.kernels.library import turned_off


@pytest.fixture(scope="session")
def device():
    """Where the kernels run: a CUDA device, or else the CPU, under Triton's interpreter."""
    if torch.cuda.is_available():
        pytest.importorskip("triton")
        yield torch.device("cuda")
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")  # read when Triton, and then the kernels, are first imported
        pytest.importorskip("triton")
        yield torch.device("cpu")


@pytest.fixture
def launched(device, monkeypatch):
    """`seqexpr.models.kernels` chooses the CUDA kernels on `device`; what they were launched for is listed."""
    from seqexpr.models.kernels import attention, stem

    calls = []
    monkeypatch.setattr(availability, "computes_on", lambda asked: asked.type == device.type and not turned_off())
    for module, name in ((attention, "attend_letters"), (stem, "stem_stage")):
        launch = getattr(module.on_cuda, name)

        def counted(*arguments, launch=launch, name=name):
            calls.append((name, arguments[-1]))
            return launch(*arguments)

        monkeypatch.setattr(module.on_cuda, name, counted)
    return calls
