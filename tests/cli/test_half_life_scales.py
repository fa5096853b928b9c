"""A model of a named task has learned from Xpresso's z-scores, and takes nothing else for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from seqexpr.inputs.half_life import FEATURES
from seqexpr.tasks.catalogue import task_folder

from ..source_files import gene, make_source_files


@pytest.mark.slow
def test_a_model_of_a_named_task_reads_z_scores_and_refuses_raw_features(
    tmp_path: Path, seqexpr: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sources = make_source_files(tmp_path / "sources")
    assert seqexpr("fetch", "mrna-human", "--from", sources, "--offline").code == 0
    assert seqexpr("prepare", "mrna-human").code == 0
    assert seqexpr("train", "--task", "mrna-human", "--epochs", 1, "--out", "run").code == 0
    shown = seqexpr("models", "show", "run")
    assert f"columns of --half-life, z-scores as in Xpresso's tables: {', '.join(FEATURES)}" in " ".join(
        shown.out.split()
    )

    Path("window.fa").write_text(f">{gene(1)}\n{'ACGT' * 2_625}\n")
    genes = pd.read_csv(task_folder("mrna-human") / "genes.tsv", sep="\t").set_index("id")
    scores = genes.loc[[gene(1)], list(FEATURES)]
    scores.to_csv("scores.tsv", sep="\t")
    taken = seqexpr("predict", "--fasta", "window.fa", "--model", "run", "--half-life", "scores.tsv")
    assert taken.code == 0, taken.err
    assert "half-life: the table is read as z-scores, as in Xpresso's tables" in taken.err

    raw = scores.assign(utr5_len=150, cds_len=1101, intron_len=1_500, utr3_len=330)
    raw.to_csv("raw.tsv", sep="\t")
    refused = seqexpr("predict", "--fasta", "window.fa", "--model", "run", "--half-life", "raw.tsv", "-q")
    assert (refused.code, refused.out) == (3, "")
    assert "raw.tsv, line 2, column 'utr5_len': found 150; expected z-scores as in Xpresso's tables" in refused.err
