"""MMseqs2 (Steinegger and Söding 2017, a Debian and a Bioconda package), run as a program of its own.

A search takes minutes, so its result is kept in the cache, under a name that holds the sequences, the settings
and the program's version.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from seqexpr.errors import MissingDataError
from seqexpr.files import atomic_path
from seqexpr.paths import cache_folder

logger = logging.getLogger(__name__)

PROGRAM = "mmseqs"

SETTINGS: dict[str, float] = {
    "-s": 7.5,
    "--min-seq-id": 0.3,
    "-c": 0.5,
    "--cov-mode": 0,
    "-e": 0.001,
    "--max-seqs": 1000,
}
"""Options of `mmseqs easy-search`.

At least 30 % identity (below it, likeness by chance and by descent can hardly be told apart: Rost 1999) over at least
half of both proteins (coverage mode 0), so that proteins which only share one domain are not chained into one huge
cluster. The highest sensitivity, and more candidates a protein than any human family has members: of the 10,797 pairs
among 9,317 human proteins, the program's own defaults (5.7 and 300) miss 354, nearly all of them below 41 % identity,
in a third of the time (of about 10 minutes on one processor).
"""


def similar_proteins(sequences: Sequence[str], threads: int | None) -> tuple[np.ndarray, dict[str, Any]]:
    """Pairs of proteins that MMseqs2 finds homologous under `SETTINGS`.

    Args:
        sequences: amino acid letters; empty ones have no pairs.
        threads: of the search; None: one a processor. The result does not depend on it.

    Returns:
        places in `sequences`, as found: int64 (hits, 2), self hits among them; and for a manifest the program,
        its version and settings.

    Raises:
        MissingDataError: MMseqs2 is not installed, or fails.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise MissingDataError(
            "homologous proteins are found by MMseqs2, which is absent: install it with 'apt-get install mmseqs2' or "
            "'conda install -c bioconda mmseqs2'"
        )
    version = _run([program, "version"]).strip()
    description = {"source": "MMseqs2", "version": version, "settings": SETTINGS}
    key = hashlib.sha256(json.dumps([description, list(sequences)]).encode()).hexdigest()[:32]
    folder = cache_folder("homology")
    target = folder / f"{key}.npy"
    with FileLock(folder / f"{key}.lock"):
        if not target.exists():
            logger.info("searching %s proteins for homologous ones with MMseqs2", f"{len(sequences):,}")
            with _work_folder(folder / f"{key}.tmp") as work:
                hits = _easy_search(program, sequences, work, threads)
            with atomic_path(target) as temporary, temporary.open("wb") as file:
                np.save(file, hits, allow_pickle=False)
        return np.load(target, allow_pickle=False), description


def _easy_search(program: str, sequences: Sequence[str], work: Path, threads: int | None) -> np.ndarray:
    fasta, hits = work / "proteins.fa", work / "hits.tsv"
    with fasta.open("w", encoding="ascii") as file:
        for number, sequence in enumerate(sequences):
            if sequence:
                file.write(f">{number}\n{sequence}\n")
    if fasta.stat().st_size == 0:
        return np.empty((0, 2), np.int64)
    options = [text for name, value in SETTINGS.items() for text in (name, f"{value:g}")]
    run = ["-v", "2", "--format-output", "query,target", *(["--threads", str(threads)] if threads else [])]
    _run([program, "easy-search", str(fasta), str(fasta), str(hits), str(work / "tmp"), *options, *run])
    pairs = [line.split("\t") for line in hits.read_text(encoding="ascii").splitlines()]
    return np.array(sorted((int(query), int(target)) for query, target in pairs), np.int64).reshape(-1, 2)


@contextmanager
def _work_folder(folder: Path) -> Iterator[Path]:
    """A folder that is gone afterwards, whatever happens; what a killed process left there makes way."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[str]) -> str:
    """The output of MMseqs2; all its processes are gone when this returns or raises.

    Raises:
        MissingDataError: it fails; with its last line.
    """
    # A session of its own, because the program is a script that starts others: they end together or not at all.
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            output = process.communicate()[0]
        except BaseException:
            if os.name == "nt":  # Windows has no process groups of this kind
                process.kill()
            else:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        raise MissingDataError(
            f"MMseqs2 failed with exit status {process.returncode} ({lines[-1] if lines else 'it said nothing'})"
        )
    return output
