from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks.measured import Measurement, read_measured, render, run

from seqexpr.errors import InputError

LETTERS = "".join(np.random.default_rng(0).choice(list("ACGT"), 10_500))
TSS_AT = 7_000


def write(path: Path, rows: list[tuple[int, str, str, str]]) -> Measurement:
    path.mkdir(exist_ok=True)
    lines = ["offset\tref\talt\teffect\tnote", *("\t".join(map(str, (*row, "x"))) for row in rows)]
    (path / "table.tsv").write_text("\n".join(lines) + "\n")
    (path / "window.fa").write_text(f">other\n{LETTERS[::-1]}\n>gene\n{LETTERS}\n")
    return Measurement(path / "table.tsv", path / "window.fa", TSS_AT, "gene")


@pytest.mark.slow
def test_explain_and_variants_say_the_same_of_measured_substitutions(tmp_path: Path) -> None:
    rows = []
    for offset in (-40, -20, -3, 5, 30):
        ref = LETTERS[TSS_AT + offset]
        for alt in set("ACGT") - {ref}:
            rows.append((offset, ref, alt, str((alt in "GC") - (ref in "GC") + 0.01 * offset)))
    rows += [(7, LETTERS[TSS_AT + 7], "-", "1"), (8, LETTERS[TSS_AT + 8], "A", "")]
    found = run(write(tmp_path, rows), threads=1)
    assert (found["n"], found["positions"]) == (15, 5)
    assert found["apart"] < 1e-5
    assert found["rows"]["explain"]["r"] == pytest.approx(found["rows"]["variants"]["r"], abs=1e-3)
    assert found["rows"]["GC change"]["r"] > 0.9
    assert all(row["low"] <= row["r"] <= row["high"] for row in found["rows"].values())
    assert "table.tsv: 15 substitutions at 5 positions" in render(found, "table.tsv")


def test_tables_that_do_not_fit_are_named(tmp_path: Path) -> None:
    wrong = "ACGT"["CGTA".index(LETTERS[TSS_AT])]
    with pytest.raises(InputError, match=f"offset 0: found ref {wrong}; expected {LETTERS[TSS_AT]}"):
        run(write(tmp_path, [(0, wrong, LETTERS[TSS_AT], "1")]), threads=1)
    with pytest.raises(InputError, match="no substitution with an effect"):
        read_measured(write(tmp_path, [(0, "A", "-", "1")]).table)
    (tmp_path / "bare.tsv").write_text("offset\tref\n1\tA\n")
    with pytest.raises(InputError, match="no column alt, effect; expected offset, ref, alt, effect"):
        read_measured(tmp_path / "bare.tsv")
    other = write(tmp_path, [(0, LETTERS[TSS_AT], wrong, "1")])
    with pytest.raises(InputError, match="no record 'absent'"):
        run(Measurement(other.table, other.fasta, TSS_AT, "absent"), threads=1)
