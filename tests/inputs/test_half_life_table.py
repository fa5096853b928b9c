from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seqexpr.errors import InputError
from seqexpr.inputs.half_life import FEATURES, HalfLifeSchema
from seqexpr.inputs.half_life_table import read_half_life

HEADER = "gene\t" + "\t".join(FEATURES) + "\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "half_life.tsv"
    path.write_text(text)
    return path


def test_reads_a_table_and_aligns_rows(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + "g1\t100\t300\t0\t50\t0.5\tNA\t\t6.7\ng2\t1\t2\t3\t4\t0\t0\t1\t0\n")
    table = read_half_life(path)
    rows = table.rows(["g2", "absent", "g1"])
    np.testing.assert_array_equal(rows[0], [1, 2, 3, 4, 0, 0, 1, 0])
    assert np.isnan(rows[1]).all()
    np.testing.assert_array_equal(rows[2], [100, 300, 0, 50, 0.5, np.nan, np.nan, 6.7])


ROW = "g1" + "\t1" * 8 + "\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "gene\t" + "\t".join(FEATURES[:-1]) + "\ng1" + "\t0.5" * 7 + "\n",
            "header: found no column orf_exon_density;",
        ),
        (
            HEADER.replace("utr5_gc", "UTR5_GC") + ROW,
            r"no column utr5_gc; unknown column UTR5_GC \(utr5_gc\?\)",
        ),
        (HEADER.replace("\n", "\textra\n") + ROW.replace("\n", "\t1\n"), "found unknown column extra;"),
        ("gene\t" + "\t".join(reversed(FEATURES)) + "\n" + ROW, "columns in another order: orf_exon_density"),
        (HEADER + "g1\tinf" + "\t1" * 7 + "\n", "column 'utr5_len': found 'inf'"),
        (HEADER + "g1\t-3" + "\t1" * 7 + "\n", "column 'utr5_len': found -3; expected a raw value"),
        (HEADER + "g1\t1\t1\t1\t1\t55\t0.5\t0.5\t1\n", "column 'utr5_gc': found 55; expected a GC fraction"),
        (HEADER + ROW + ROW, "'g1' again"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_half_life(write(tmp_path, text))


@pytest.mark.parametrize(
    ("lengths", "column"),
    [("2.07\t3.17\t4.3\t2.95", "utr5_len"), ("0.12\t1.5\t20.1\t0.9", "utr5_len"), ("120\t3.17\t20000\t900", "cds_len")],
)
def test_lengths_in_other_units_are_found_out(tmp_path: Path, lengths: str, column: str) -> None:
    rows = "".join(f"g{number}\t{lengths}\t0.5\t0.5\t0.5\t5\n" for number in range(3))
    with pytest.raises(InputError, match=f"column '{column}': found .*, which is no whole number of bases"):
        read_half_life(write(tmp_path, HEADER + rows))


@pytest.mark.parametrize(
    ("row", "column", "found"),
    [
        ("0\t2\t20\t1\t0.5\t0.5\t0.5\t5", "cds_len", r"found 2, and 2 in the median gene \(a logarithm, or kilo"),
        ("2\t3\t4\t3\t0.5\t0.5\t0.5\t5", "cds_len", r"found 3, and 3 in the median gene \(a logarithm, or kilo"),
        ("90\t1000\t9000\t900\t0.5\t0.5\t0.5\t0.005", "orf_exon_density", r"found 0\.005, .* \(per base\?\)"),
    ],
)
def test_whole_numbers_in_other_units_and_densities_per_base(tmp_path: Path, row: str, column: str, found: str) -> None:
    with pytest.raises(InputError, match=f"line 2, column '{column}': {found}"):
        read_half_life(write(tmp_path, table_of(3, row)))
    assert len(read_half_life(write(tmp_path, table_of(2, row))).ids) == 2  # of two genes it is not certain


def test_lengths_that_are_means_are_lengths(tmp_path: Path) -> None:
    table = read_half_life(write(tmp_path, HEADER + "g1\t120.5\t1500.25\t20000\t900\t0.5\t0.5\t0.5\t5\n"))
    assert table.values[0, 0] == 120.5


Z_SCORES = HEADER + "g1\t-6.9\t1.5\t0\t-0.5\t2.5\tNA\t\t-1\ng2\t1\t2\t3\t4\t-2\t0\t1\t0\n"


def test_z_scores_are_read_as_they_are_and_refused_as_raw_values(tmp_path: Path) -> None:
    path = write(tmp_path, Z_SCORES)
    table = read_half_life(path, z_scores=True)
    np.testing.assert_array_equal(table.rows(["g1"])[0], [-6.9, 1.5, 0, -0.5, 2.5, np.nan, np.nan, -1])
    with pytest.raises(InputError, match=r"line 2, column 'utr5_len': found -6\.9; expected a raw value"):
        read_half_life(path)


@pytest.mark.parametrize("column", ["utr5_len", "cds_len", "intron_len", "utr3_len", "orf_exon_density"])
@pytest.mark.parametrize("value", ["15.01", "-15.01", "900"])
def test_lengths_that_are_no_z_scores_are_found(tmp_path: Path, column: str, value: str) -> None:
    fields = ["g3", *(value if name == column else "-0.5" for name in FEATURES)]
    path = write(tmp_path, Z_SCORES + "\t".join(fields) + "\n")
    with pytest.raises(InputError) as caught:
        read_half_life(path, z_scores=True)
    message = str(caught.value)
    assert f"half_life.tsv, line 4, column '{column}': found {value}; expected z-scores as in Xpresso's" in message
    assert "this model was trained on them; raw features cannot be converted, because" in message
    assert "\n" not in message


def test_the_bound_of_z_scores_is_within_it_and_gc_has_none(tmp_path: Path) -> None:
    text = HEADER + "g1\t15\t-15\t0\t0\t16\t0\t0\t0\n"
    assert read_half_life(write(tmp_path, text), z_scores=True).values[0, 4] == 16


def table_of(genes: int, row: str) -> str:
    return HEADER + "".join(f"g{number}\t{row}\n" for number in range(genes))


def test_a_table_without_a_value_below_average_is_raw(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    raw = "NA\tNA\tNA\tNA\t0.5\t0.6\t0.4\t4.4"  # no length gives it away
    with pytest.raises(InputError, match="no negative value and no GC content above 1 in 20 genes, as raw features"):
        read_half_life(write(tmp_path, table_of(20, raw)), z_scores=True)
    few = read_half_life(write(tmp_path, table_of(19, raw)), z_scores=True)
    assert len(few.ids) == 19
    assert "no negative value, as raw features are; it is read as z-scores all the same" in caplog.text
    above = raw.replace("0.6", "1.1")
    assert len(read_half_life(write(tmp_path, table_of(20, above)), z_scores=True).ids) == 20
    nothing = "\t".join(["NA"] * 8)
    assert len(read_half_life(write(tmp_path, table_of(20, nothing)), z_scores=True).ids) == 20
    below = table_of(20, raw) + "g20\tNA\tNA\tNA\tNA\tNA\tNA\tNA\t-0.1\n"
    assert len(read_half_life(write(tmp_path, below), z_scores=True).ids) == 21


@pytest.mark.shared_data
def test_the_real_table(shared_data: Path) -> None:
    table = read_half_life(shared_data / "human" / "half_life.tsv.gz")
    assert len(table.ids) == 16_920
    # ACTB has 6 exons, 5 of them coding: its density counts all 5 junctions over 1,128 bp of CDS
    actb = table.rows(["ENSG00000075624"])[0]
    np.testing.assert_allclose(actb[[1, 7]], [1128, 5 / 1.128], atol=1e-4)
    np.testing.assert_array_equal(
        np.isnan(HalfLifeSchema.fit(table.values).standardise(table.values)), np.isnan(table.values)
    )
