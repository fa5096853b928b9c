from pathlib import Path

import numpy as np
import pytest

from seqexpr.errors import InputError
from seqexpr.inputs.labels import read_labels

TEXT = "gene_id\tsymbol\tchrom\tlung\tbrain\ng1\tAAA\t1\t0.5\t\ng2\tNA\tX\tNA\t-1\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "labels.tsv"
    path.write_text(TEXT)
    return path


def test_all_columns_but_annotations_are_labels(table: Path) -> None:
    labels = read_labels(table)
    assert labels.ids == ["g1", "g2"]
    assert labels.names == ("lung", "brain")
    np.testing.assert_array_equal(labels.values, [[0.5, np.nan], [np.nan, -1]])
    assert labels.annotations.loc["g1"].to_dict() == {"symbol": "AAA", "chrom": "1"}
    assert labels.annotations.loc["g2"].to_dict() == {"symbol": "", "chrom": "X"}


def test_chosen_columns_come_in_the_order_asked_for(table: Path) -> None:
    assert read_labels(table, ["brain", "lung"]).names == ("brain", "lung")
    assert read_labels(table, ["brain"]).values.shape == (2, 1)


@pytest.mark.parametrize("name", ["lungs", "chrom", "gene_id"])
def test_a_column_that_is_no_label_lists_those_there_are(table: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"no label column '{name}'.*expected one of lung, brain"):
        read_labels(table, [name])


def test_close_names_are_suggested(table: Path) -> None:
    for name in ("lungs", "LUNG"):
        with pytest.raises(InputError, match="did you mean 'lung'"):
            read_labels(table, [name])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "id\tx\ng1\thigh\n",
            "column 'x': found 'high'; expected numbers in every column; choose the labels",
        ),
        ("id\tlevel\tlevel_sd\ng1\t1\t2\n", "found labels 'level' and 'level_sd'"),
        ("id\tx\ng1\t1\ng1\t2\n", "line 3: found id 'g1' again"),
        ("gene\tx\x07\ng1\t1\n", "expected a name without control characters"),
        ("id\tx\ng1\t1,5\n", "found '1,5'; expected a number with a decimal point"),
        ("id\tx\ng1\t1,234.5\n", "found '1,234.5'; expected a number with a decimal point"),
        ("id\tchrom\ng1\t1\n", "at least one column of labels"),
        ("id\ttss\tx\ng1\t12.5\t1\n", "line 2, column 'tss': found '12.5'; expected a whole number"),
    ],
)
def test_bad_labels(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "labels.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_labels(path)


@pytest.mark.shared_data
def test_the_real_table(shared_data: Path) -> None:
    labels = read_labels(shared_data / "human" / "labels.tsv.gz")
    assert len(labels.ids) == 17_004
    assert len(labels.names) == 12
    measured = np.count_nonzero(~np.isnan(labels.values[:, labels.names.index("roadmap_median_log10rpkm")]))
    assert measured == 16_111
    assert labels.annotations.loc["ENSG00000000003", "chrom"] == "X"


def test_a_tss_that_no_dataset_could_hold_is_refused(tmp_path: Path) -> None:
    (tmp_path / "l.tsv").write_text(f"id\ttss\tlevel\ng\t{'9' * 30}\t1\n")
    with pytest.raises(InputError, match="line 2, column 'tss'"):
        read_labels(tmp_path / "l.tsv")


@pytest.mark.parametrize("cell", ["", "NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL", "None", "none", "<NA>", "-"])
def test_spellings_of_a_missing_value(tmp_path: Path, cell: str) -> None:
    (tmp_path / "l.tsv").write_text(f"id\tx\ng1\t{cell}\ng2\t1\n")
    assert np.isnan(read_labels(tmp_path / "l.tsv").values[:, 0]).tolist() == [True, False]


def test_logarithms(tmp_path: Path) -> None:
    (tmp_path / "l.tsv").write_text("id\tx\ng1\t0.9\ng2\t99.9\ng3\tNA\n")
    np.testing.assert_allclose(read_labels(tmp_path / "l.tsv", log10=0.1).values[:, 0], [0, 2, np.nan])
    (tmp_path / "l.tsv").write_text("id\tx\ng1\t-2\n")
    with pytest.raises(InputError, match=r"column 'x': found -2; expected a value above -0\.1"):
        read_labels(tmp_path / "l.tsv", log10=0.1)


def test_skewed_labels_and_mangled_ids_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [f"g{number}\t{1 if number else 100_000}\n" for number in range(60)]
    (tmp_path / "l.tsv").write_text("id\tcounts\n" + "".join(rows) + "1-Mar\t2\n2.31E+19\t2\n")
    read_labels(tmp_path / "l.tsv")
    assert "label counts is heavily skewed" in caplog.text and "prepare --log10" in caplog.text
    assert (
        "2 of 62 ids look like dates or numbers that a spreadsheet made of gene symbols (first: 1-Mar)" in caplog.text
    )


def _labels(folder: Path, values: np.ndarray) -> Path:
    path = folder / "l.tsv"
    path.write_text("id\tx\n" + "".join(f"g{number}\t{value:.6g}\n" for number, value in enumerate(values)))
    return path


@pytest.mark.parametrize("genes", [60, 2000])
@pytest.mark.parametrize("seed", range(5))
def test_levels_are_found_to_be_skewed_and_their_logarithms_are_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, genes: int, seed: int
) -> None:
    tpm = 10 ** np.random.default_rng(seed).normal(1, 1, genes)
    silent = np.where(np.random.default_rng(seed).random(genes) < 0.8, 0, tpm)  # a tissue in which most are off
    for scale in (np.log2(tpm + 1), np.log10(tpm + 0.1), np.log(tpm + 1), np.log2(silent + 1), np.log10(silent + 1)):
        read_labels(_labels(tmp_path, scale))
    read_labels(_labels(tmp_path, tpm), log10=1)
    assert caplog.text == ""
    read_labels(_labels(tmp_path, tpm))
    assert "label x is heavily skewed" in caplog.text


def test_a_label_of_one_value_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read_labels(_labels(tmp_path, np.full(30, 2.5)))
    assert "label x is 2.5 for every gene: there is nothing to learn" in caplog.text


def test_logarithms_of_negative_levels_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read_labels(_labels(tmp_path, np.array([3.0, -0.5, 7.0, -0.25])), log10=1)
    assert "label x is negative in 2 of 4 rows (first: line 3, -0.5)" in caplog.text


@pytest.mark.parametrize(
    "name",
    ["1-Mar", "Mar-01", "2-Sep", "Sept-02", "01-Mar-2023", "3/1", "3/1/2023", "2023-03-01", "1.23E+05", "43891"],
)
def test_dates_that_were_gene_symbols(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    (tmp_path / "l.tsv").write_text(f"id\tx\nTP53\t1\n{name}\t2\n")
    assert read_labels(tmp_path / "l.tsv").ids == ["TP53", name]
    assert (
        f"1 of 2 ids look like dates or numbers that a spreadsheet made of gene symbols (first: {name})" in caplog.text
    )
