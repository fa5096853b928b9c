"""What human-mrna is to start from: a dna-perceiver that says what the two published Xpresso networks say.

    python -m tools.weights pretrain --dna DATASET --unlabelled FASTA --xpresso FOLDER --out RUNS/pretrained

DATASET is a folder of `seqexpr prepare` whose windows are wider than what is read, for random shifts; its labels are
not read. RUNS/pretrained gets the stage's state, from which a stopped command goes on, and weights.safetensors, with
matrices in half precision. With --from it goes on learning from weights of an earlier one. `pretrained.safetensors` in
this folder, from which human-mrna starts, saw 390,400 windows in three runs of at most 78 minutes: 166,400 with the
settings that are the defaults here, then 51,200 and 172,800 with `--learning-rate 8e-4 --tss-sd 100`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from benchmarks.tables import tell
from safetensors.torch import load_file
from tools.weights.towers import WINDOW, PromoterTowers
from tools.weights.xpresso_towers import write_towers

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.files import sha256_file
from seqexpr.models.config import PerceiverConfig
from seqexpr.models.trained import Output, save_model
from seqexpr.prediction.device import keep_freed_memory
from seqexpr.sequences.alphabet import DNA
from seqexpr.sequences.fasta import read_fasta
from seqexpr.training.start import Start
from seqexpr.training.teacher import TeacherSettings
from seqexpr.training.teacher_stage import Stage, teach
from seqexpr.training.unlabelled import UnlabelledDna, WindowDraw

SPECIES = ("human", "mouse")
UNIT = "z-score of log10(RPKM + 0.1)"


class XpressoTeacher:
    """Both published networks as one teacher of two outputs; half-life inputs are those of the average gene."""

    def __init__(self, files: Sequence[Path], towers: Path) -> None:
        write_towers(towers, files)
        self._towers = PromoterTowers(len(files)).eval()
        self._towers.load_state_dict(load_file(towers))
        self.sha256 = sha256_file(towers)
        self.outputs = tuple(Output(f"xpresso_{species}", UNIT) for species in SPECIES)

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        """uint8 (n, 10,500) -> (n, 2)."""
        return self._towers(torch.from_numpy(np.ascontiguousarray(windows))).numpy().astype(np.float64)


class Progress:
    """Tells of the stage now and then."""

    def on_part(self, part: str, done: int, total: int) -> None:
        """A step begins."""
        if done % 100 == 0:
            tell(f"{part} ({done:,} of {total:,} steps)")


def main(arguments: Sequence[str]) -> None:
    """Learn, and write the weights."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.weights pretrain",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dna", type=Path, required=True, help="dataset of windows")
    parser.add_argument("--unlabelled", type=Path, required=True, help="FASTA of DNA")
    parser.add_argument("--xpresso", type=Path, required=True, help="folder of Xpresso's two networks")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--from", dest="start", help="weights to go on from, by name or file")
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--learning-rate", type=float, default=1.2e-3)
    parser.add_argument(
        "--tss-sd", type=float, default=TeacherSettings.tss_sd, help="bp by which windows lie off a TSS (sd)"
    )
    parser.add_argument("--seed", type=int, default=0, help="another one draws other windows")
    parser.add_argument("--threads", type=int, help="default: all that torch takes")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    keep_freed_memory()
    options.out.mkdir(parents=True, exist_ok=True)
    dataset, (upstream, downstream) = PreparedDataset.open(options.dna), WINDOW
    networks = [options.xpresso / f"{species}_median.h5" for species in SPECIES]
    teacher = XpressoTeacher(networks, options.out / "towers.safetensors")
    settings = TeacherSettings(
        models=("xpresso",),
        steps=options.steps,
        learning_rate=options.learning_rate,
        warmup_steps=100,
        tss_sd=options.tss_sd,
    )
    contigs = (
        DNA.encode(one.sequence, file=options.unlabelled, record=one.id) for one in read_fasta(options.unlabelled)
    )
    unlabelled = UnlabelledDna(contigs, upstream, downstream, settings)
    stage = Stage(
        PerceiverConfig.from_preset("dna-perceiver", half_life_latent=False),
        settings,
        [teacher],
        WindowDraw(settings, dataset, unlabelled, upstream, downstream, options.seed),
        sha256_file(options.unlabelled),
        options.seed,
        None if options.start is None else Start.named(options.start),
    )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = teach(stage, options.out, device, name="pretrained", observer=Progress())
    save_model(options.out / "weights.safetensors", model, half=True)
    tell(f"squared Pearson with the teachers on held-out windows: {model.metadata.training['teacher_r2']:.3f}")
