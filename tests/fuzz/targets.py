"""What is damaged: small files of every kind, and the functions that read them."""

from __future__ import annotations

import atexit
import gzip
import io
import json
import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

from seqexpr.datasets.dataset import PreparedDataset
from seqexpr.effects.allele_text import resolve_symbolic
from seqexpr.effects.background import Background, read_background, write_background
from seqexpr.effects.variant_records import VariantTable, VcfReader
from seqexpr.effects.vcf_output import VcfOutput
from seqexpr.errors import SeqexprError
from seqexpr.evaluation.compare import compare, read_baselines, read_held_out
from seqexpr.evaluation.report.run import read_run
from seqexpr.evaluation.tables import prediction_rows, read_table, write_table
from seqexpr.files import write_json
from seqexpr.finished import fold_folder, mark_done
from seqexpr.inputs.half_life import FEATURES
from seqexpr.inputs.half_life_table import read_half_life
from seqexpr.inputs.labels import read_labels
from seqexpr.manifest import describe_run, read_manifest
from seqexpr.models.config import PerceiverConfig
from seqexpr.models.perceiver import Perceiver
from seqexpr.models.trained import ModelMetadata, Output, TrainedModel, load_model, save_model
from seqexpr.runs.folder import first_difference, read_lines, write_lines
from seqexpr.runs.merging import _find_folds, _like_manifests, _stored_experiment
from seqexpr.runs.setup import RunOptions, divide_into_folds, resolve_experiment
from seqexpr.sequences.annotation import read_annotation, read_tss
from seqexpr.sequences.fasta import read_fasta
from seqexpr.sequences.genbank import read_genbank
from seqexpr.training.experiment import Experiment
from seqexpr.training.recipe_files import load_recipe
from seqexpr.training.state import load_state, save_state

from ..evaluation.finished_run import make_run
from ..genbank_text import feature
from ..genbank_text import record as as_genbank
from ..small_dataset import make_small_dataset, tiny_config
from .mutator import damage


@dataclass(frozen=True)
class Target:
    """A kind of file: `make` writes sound ones into a folder; `read` reads them all, as the tool does."""

    make: Callable[[Path], None]
    read: Callable[[Path], object]


def try_damaged(target: Target, sound: Path, work: Path, seed: int) -> None:
    """Read a damaged copy; whatever is not an error of seqexpr's own is raised.

    Args:
        target: what is read.
        sound: folder with sound files of it.
        work: where the copy goes.
        seed: decides which file is damaged, and how.
    """
    generator = random.Random(seed)
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(sound, work)
    files = sorted(path for path in work.rglob("*") if path.is_file())
    chosen = generator.choice(files)
    chosen.write_bytes(damage(chosen.read_bytes(), generator, chosen.name))
    try:
        target.read(work)
    except SeqexprError as problem:
        assert str(problem)


def _write(name: str, content: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        data = content.encode()
        (folder / name).write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)

    return make


_FASTA = ">g1 first\nACGTNACGT\nACGT\n>g2\nAC\n\n>sp|P12345|X_HUMAN protein\nMKV\n"
_BED = "chr1\t100\t101\tg1\t0\t+\nchr2\t5\t6\tg2\t.\t-\n"
_GTF = "".join(
    f'chr1\tx\t{kind}\t{start}\t{end}\t.\t+\t{phase}\tgene_id "g1"; transcript_id "t1"; gene_name "A";\n'
    for kind, start, end, phase in (("exon", 1, 90, "."), ("CDS", 10, 30, "0"), ("exon", 100, 150, "."))
)
_GFF3 = (
    "##gff-version 3\n"
    "chr1\tx\tgene\t1\t150\t.\t-\t.\tID=gene:g1;Name=A\n"
    "chr1\tx\tmRNA\t1\t150\t.\t-\t.\tID=t1;Parent=gene:g1\n"
    "chr1\tx\texon\t1\t90\t.\t-\t.\tParent=t1\n"
    "chr1\tx\tCDS\t10\t30\t.\t-\t0\tID=c1;Parent=t1\n"
)
_LABELS = "id\tlung\tbrain\tchrom\ttss\ng1\t1.5\t2\tchr1\t100\ng2\t\tNA\tchr2\t5\n"
_HALF_LIFE = "\t".join(["id", *FEATURES]) + "\n" + "\t".join(["g1", *["1"] * len(FEATURES)]) + "\n"
_RECIPE = """base = "default"
learning_rate = 1e-3
betas = [0.9, 0.999]
batch_size = 8
[model]
dropout = 0.1
tower_channels = [8, 8]
latents = 4
[output_weights]
lung = 2.0
"""


def _read_dataset(folder: Path) -> None:
    dataset = PreparedDataset.open(folder / "ds")
    everything = np.arange(len(dataset))
    dataset.labels(dataset.label_names)
    dataset.half_life()
    if dataset.has_dna:
        dataset.dna(everything, dataset.upstream, dataset.downstream)
    if dataset.has_protein:
        dataset.proteins(everything, 50)
    dataset.check_content(required=False)


def _read_genbank(folder: Path) -> None:
    found = read_genbank(folder / "r.gb")
    list(found.proteins())
    for site in found.sites:
        found.sequences.placed_window(site, 30, 20)


_VCF = """##fileformat=VCFv4.3
##contig=<ID=chr1,length=1000>
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ta\tb
chr1\t10\trs1\tA\tC,<DEL>\t50\tPASS\tEND=40;SVLEN=.,-30\tGT:PS\t0|1:7\t2/.
chr1\t20\t.\tACG\tA\t.\t.\t.\tGT\t1|1\t0
"""
_VARIANTS = 'chrom,pos,ref,alt,id\nchr1,10,A,C,rs1\nchr1,20,ACG,"A,<DEL>",\n'


def _read_vcf(folder: Path) -> None:
    """Every record with its genotypes and symbolic alleles, and written back."""
    reader = VcfReader(folder / "v.vcf")
    output = VcfOutput(io.BytesIO(), reader, info_lines=[b"##seqexpr=<x>"])
    for record in reader:
        record.genotypes(range(len(reader.samples)))
        for place in range(len(record.alts)):
            resolve_symbolic(record, place)
        output.write(record, [["a", "b"]])


def _make_background(folder: Path) -> None:
    (folder / "w.safetensors").write_bytes(b"weights")
    steps = {"mrna": [0.0, 0.5, 1.0]}
    write_background([folder / "w.safetensors"], Background("no digest", 2, 1, 0, steps))


def _network(**changes: object) -> Perceiver:
    torch.manual_seed(0)
    return Perceiver(tiny_config(**changes)).eval()


def _make_weights(folder: Path) -> None:
    network = _network(outputs=2)
    outputs = (Output("lung", "log10", 1.0, 2.0), Output("brain"))
    save_model(folder / "w.safetensors", TrainedModel("w", network, ModelMetadata(network.config, outputs)))


def _read_weights(folder: Path) -> None:
    model = load_model(folder / "w.safetensors")
    config = model.metadata.config
    if config.reads_dna and config.window_length < 5_000:
        protein = np.ones((1, min(config.protein_length, 50)), np.uint8) if config.reads_protein else None
        model.predict(np.ones((1, config.window_length), np.uint8), protein, None)


def _make_state(folder: Path) -> None:
    network = _network()
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(2, 360, dtype=torch.uint8), torch.ones(2, 360, dtype=torch.uint8)).sum().backward()
    optimizer.step()
    save_state(folder, {"network": network.state_dict()}, optimizer, {"epoch": 1})


def _read_state(folder: Path) -> None:
    network = _network()
    load_state(folder, torch.optim.AdamW(network.parameters()))


def _make_run(folder: Path) -> None:
    make_run(folder / "run", n=12)


def _read_run(folder: Path) -> None:
    run = folder / "run"
    problems: list[SeqexprError] = []
    for read in (
        lambda: read_run(run),
        lambda: [compare(read_held_out(run), other, resamples=2) for other in read_baselines(run)],
        lambda: read_table(run / "predictions.tsv"),
        lambda: first_difference(read_manifest(run), {"kind": "cv", "options": {"a": 1}}),
    ):
        try:
            read()
        except SeqexprError as problem:
            problems.append(problem)
    if problems:
        raise problems[0]


def _make_folds(folder: Path) -> None:
    """Two folds of a `cv` that are trained and not yet put together; nothing is trained, and no gene is predicted."""
    options = RunOptions("random", folds=2, valid_fraction=0.2, resamples=2)
    plain, splits = divide_into_folds(_experiment(_dataset_of_folds()), options)
    write_json(folder / "manifest.json", {**describe_run("cv", plain.to_dict()), "threads": 1})
    for split in splits:
        target = fold_folder(folder, split.number)
        target.mkdir(parents=True)
        own, values = np.full((len(split.test), 1), 0.5), plain.values()
        genes, names = plain.dataset.genes, plain.labels
        table = prediction_rows(genes, split.test, own, values, names, fold=split.number)
        write_table(target / "predictions.tsv", table)
        write_lines(target / "metrics.jsonl", [{"epoch": 1, "train_loss": 1.0, "valid_loss": 1.0, "valid_r2": 0.0}])
        mark_done(target, ("predictions.tsv", "metrics.jsonl"))


def _experiment(folder: Path) -> Experiment:
    return resolve_experiment(str(folder), labels=("a",), preset="dna-perceiver", recipe="paper", epochs=1)


@cache
def _dataset_of_folds() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="seqexpr-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return make_small_dataset(folder / "ds").folder


def _read_folds(folder: Path) -> None:
    (manifest,) = manifests = _like_manifests([folder])
    folders = _find_folds([folder], manifest)
    _stored_experiment(manifests, folders, folder)
    for part in folders.values():
        read_lines(part / "metrics.jsonl")


TARGETS = {
    "fasta": Target(_write("a.fa", _FASTA), lambda folder: list(read_fasta(folder / "a.fa"))),
    "gzip": Target(
        _write("a.fa.gz", "".join(f">g{i}\n{'ACGTTGCA' * i}\n" for i in range(1, 90))),
        lambda folder: list(read_fasta(folder / "a.fa.gz")),
    ),
    "bed": Target(_write("a.bed", _BED), lambda folder: read_tss(folder / "a.bed")),
    "gtf": Target(_write("a.gtf", _GTF), lambda folder: read_annotation(folder / "a.gtf")),
    "gff3": Target(_write("a.gff3", _GFF3), lambda folder: read_annotation(folder / "a.gff3")),
    "genbank": Target(
        _write("r.gb", as_genbank(feature("CDS", "join(35..40,1..6)", gene="X"), "circular")), _read_genbank
    ),
    "labels": Target(_write("l.tsv", _LABELS), lambda folder: read_labels(folder / "l.tsv")),
    "half-life": Target(_write("h.tsv", _HALF_LIFE), lambda folder: read_half_life(folder / "h.tsv")),
    "vcf": Target(_write("v.vcf", _VCF), _read_vcf),
    "variants": Target(_write("v.tsv", _VARIANTS), lambda folder: list(VariantTable(folder / "v.tsv"))),
    "background": Target(_make_background, lambda folder: read_background([folder / "w.safetensors"])),
    "recipe": Target(
        _write("r.toml", _RECIPE),
        lambda folder: load_recipe(str(folder / "r.toml"), "dna").fit(PerceiverConfig.from_preset("dna-perceiver")),
    ),
    "dataset": Target(lambda folder: make_small_dataset(folder / "ds") and None, _read_dataset),
    "weights": Target(_make_weights, _read_weights),
    "state": Target(_make_state, _read_state),
    "run": Target(_make_run, _read_run),
    "folds": Target(_make_folds, _read_folds),
}


def kept_seeds(folder: Path) -> list[tuple[str, int]]:
    """Target and seed of the damage that once was not answered as it should be, from the JSON files in `folder`."""
    return [(path.stem, seed) for path in sorted(folder.glob("*.json")) for seed in json.loads(path.read_text("utf-8"))]
