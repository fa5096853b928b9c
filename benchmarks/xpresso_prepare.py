"""`seqexpr prepare mrna-human` on files of the size of Xpresso's: 18,377 genes of 20,000 bp.

python -m benchmarks.xpresso_prepare                 # about 250 MB of HDF5 in a temporary folder, three runs of each
python -m benchmarks.xpresso_prepare --genes 2000 --runs 1

The files hold random letters, written as Xpresso's own script wrote its files (gzip level 1, chunks as h5py guesses
them).
The baseline is the plain way: h5py reads every promoter at once, argmax makes letters of them, one array is saved.
The floor is what cannot be left out: zlib decompresses every chunk, one after the other, and nothing is made of it.
Runs are interleaved; the table shows medians of whole processes. Goals: under 1 GB and over 2,000 genes a second.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from statistics import median

import h5py
import numpy as np

from benchmarks.processes import Measured, run_python, run_seqexpr

FOLDER = "downloads/xpresso-human"
VALID = TEST = 1_000
WINDOW = 20_000
PLAIN = """
import sys, h5py, numpy as np
for path in sys.argv[2:]:
    with h5py.File(path) as file:
        promoter = file["promoter"][:]
        tokens = (promoter.argmax(axis=2) + 1) * promoter.any(axis=2)
        np.save(f"{sys.argv[1]}/{len(tokens)}.npy", tokens.astype(np.uint8))
"""
FLOOR = """
import itertools, sys, zlib, h5py
for path in sys.argv[2:]:
    with h5py.File(path) as file:
        promoter = file["promoter"]
        starts = [range(0, length, step) for length, step in zip(promoter.shape, promoter.chunks)]
        for offset in itertools.product(*starts):
            zlib.decompress(promoter.id.read_direct_chunk(offset)[1])
"""


def write_xpresso(path: Path, genes: int, first: int) -> None:
    """A file of random genes, with 1 % unknown letters."""
    generator = np.random.default_rng(first)
    letters = np.eye(5, dtype=bool)[:, :4]
    compression = {"compression": "gzip", "compression_opts": 1}
    with h5py.File(path, "w") as file:
        promoter = file.create_dataset("promoter", (genes, WINDOW, 4), dtype=bool, **compression)
        step = promoter.chunks[0]
        for start in range(0, genes, step):
            size = (min(step, genes - start), WINDOW)
            unknown = generator.random(size, dtype=np.float32) < 0.01
            promoter[start : start + size[0]] = letters[np.where(unknown, 4, generator.integers(0, 4, size))]
        file.create_dataset("data", data=generator.normal(size=(genes, 8)), **compression)
        file.create_dataset("label", data=generator.normal(size=genes), **compression)
        names = [f"ENSG{first + number:011d}".encode() for number in range(genes)]
        file.create_dataset("geneName", data=np.array(names), **compression)


def main() -> None:
    """Print the table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genes", type=int, default=18_377, help="genes in all three files")
    parser.add_argument("--runs", type=int, default=3, help="runs of each")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        cache = Path(temporary)
        (cache / FOLDER).mkdir(parents=True)
        sizes = {"train": max(1, options.genes - VALID - TEST), "valid": VALID, "test": TEST}
        paths = [cache / FOLDER / f"{split}.h5" for split in sizes]
        first = 1
        for path, genes in zip(paths, sizes.values(), strict=True):
            write_xpresso(path, genes, first)
            first += genes
        found: dict[str, list[Measured]] = {"seqexpr prepare": [], "plain": [], "floor": []}
        for _ in range(options.runs):
            prepare = ["prepare", "mrna-human", "--force"]
            found["seqexpr prepare"].append(run_seqexpr(prepare, {"SEQEXPR_CACHE": str(cache)}))
            for name, script in (("plain", PLAIN), ("floor", FLOOR)):
                found[name].append(run_python(["-c", script, str(cache), *map(str, paths)]))
        size = sum(path.stat().st_size for path in paths)
    report(found, sum(sizes.values()), size)


def report(found: dict[str, list[Measured]], genes: int, size: int) -> None:
    """Medians, and their ratios to the baseline."""
    print(f"{genes:,} genes, {size / 1e6:.0f} MB of HDF5")
    print(f"{'':>16}  {'seconds':>8}  {'genes/s':>8}  {'peak MiB':>9}")
    medians = {}
    for name, runs in found.items():
        seconds, peak = median(run.seconds for run in runs), max(run.peak_mib for run in runs)
        medians[name] = {"seconds": seconds, "genes_per_second": genes / seconds, "peak_mib": peak}
        print(f"{name:>16}  {seconds:>8.1f}  {genes / seconds:>8,.0f}  {peak:>9,.0f}")
    ratio = medians["plain"]["seconds"] / medians["seqexpr prepare"]["seconds"]
    print(f"seqexpr prepare is {ratio:.2f} times as fast as the plain way (median of {len(found['plain'])} runs each)")
    print(json.dumps({"genes": genes, "bytes": size, "ratio": ratio, **medians}))


if __name__ == "__main__":
    main()
