import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from seqexpr.errors import InputError
from seqexpr.inputs.half_life import FEATURES, IDENTITY, LOG10, TRANSFORMS, HalfLifeSchema, read_half_life
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.transcripts import Transcript, half_life_features

HEADER = "gene\t" + "\t".join(FEATURES) + "\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "half_life.tsv"
    path.write_text(text)
    return path


def test_schema_golden_numbers() -> None:
    raw = np.array([[0.9, 0.4], [9.9, 0.6], [np.nan, np.nan]])
    schema = HalfLifeSchema.fit(raw, ("length", "gc"), (LOG10, IDENTITY))
    assert schema.mean == pytest.approx((0.5, 0.5))  # log10 of 1 and 10
    assert schema.sd == pytest.approx((0.5, 0.1))
    np.testing.assert_allclose(schema.standardise(raw), [[-1, -1], [1, 1], [np.nan, np.nan]], atol=1e-6)
    assert schema.standardise(raw).dtype == np.float32


def test_a_feature_without_spread_says_nothing() -> None:
    raw = np.array([[0.3, np.nan], [0.3, np.nan], [0.3, np.nan]])
    schema = HalfLifeSchema.fit(raw, ("gc", "never"), (IDENTITY, IDENTITY))
    assert schema.sd == (0.0, 0.0)
    np.testing.assert_array_equal(schema.standardise(np.array([[0.9, 5.0]])), [[np.nan, np.nan]])


def test_schema_survives_json() -> None:
    schema = HalfLifeSchema.fit(np.random.default_rng(0).random((20, 8)))
    assert HalfLifeSchema.from_dict(json.loads(json.dumps(schema.to_dict()))) == schema
    assert schema.names == FEATURES
    assert schema.transforms == TRANSFORMS


@pytest.mark.parametrize(
    "change",
    [{"names": ["a"]}, {"transforms": ["log"] * 8}, {"sd": [-1.0] * 8}, {"mean": [float("nan")] * 8}],
)
def test_a_damaged_schema_is_refused(change: dict[str, list[object]]) -> None:
    good = HalfLifeSchema.fit(np.random.default_rng(0).random((20, 8))).to_dict()
    with pytest.raises(ValueError):
        HalfLifeSchema.from_dict({**good, **change})


def test_values_that_a_transform_cannot_take_are_refused() -> None:
    schema = HalfLifeSchema.fit(np.ones((3, 8)))
    with pytest.raises(ValueError, match="at least 0"):
        schema.standardise(np.full((1, 8), -1.0))
    with pytest.raises(ValueError, match="shape"):
        schema.standardise(np.ones((1, 7)))


@given(arrays(np.float64, (12, 8), elements=st.one_of(st.just(np.nan), st.floats(0, 1e6))))
@settings(max_examples=40, deadline=None)
def test_scores_are_centred_and_missing_stays_missing(raw: np.ndarray) -> None:
    schema = HalfLifeSchema.fit(raw)
    scores = schema.standardise(raw)
    np.testing.assert_array_equal(np.isnan(scores), np.isnan(raw) | (np.array(schema.sd) == 0))
    np.testing.assert_allclose(np.nansum(scores, axis=0), 0, atol=1e-4)


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


@pytest.mark.parametrize(
    ("names", "transforms", "expected"),
    [
        (FEATURES, TRANSFORMS, False),
        (FEATURES, (IDENTITY,) * 8, True),
        (FEATURES, (LOG10,) * 8, False),
        (("utr5_gc",), (IDENTITY,), False),  # a GC content is never transformed, so it tells nothing
        (("utr5_len", "cds_len"), (LOG10, IDENTITY), False),
        ((), (), False),
    ],
)
def test_a_schema_whose_lengths_are_untouched_expects_z_scores(
    names: tuple[str, ...], transforms: tuple[str, ...], expected: bool
) -> None:
    schema = HalfLifeSchema(names, transforms, (0.0,) * len(names), (1.0,) * len(names))
    assert schema.expects_z_scores is expected


def transcript(strand: str, cds: tuple[tuple[int, int], ...] = ((15, 20), (30, 40))) -> Transcript:
    """Exons of 10, 10 and 20 bases with introns of 10 and 5; CDS from 15 to 40; the last exon is all UTR."""
    exons = ((10, 20), (30, 40), (45, 65))
    return Transcript("t", "g", "SYM", "chr1", strand, exons, cds, True)


def test_features_by_hand_on_both_strands() -> None:
    plus = half_life_features(transcript("+"), None)
    minus = half_life_features(transcript("-"), None)
    # 5 bases before the CDS, 20 after it; 15 coding ones; introns 10 + 5; 2 junctions per 0.015 kb
    np.testing.assert_allclose(plus, [5, 15, 15, 20, np.nan, np.nan, np.nan, 2 / 0.015])
    np.testing.assert_allclose(minus, [20, 15, 15, 5, np.nan, np.nan, np.nan, 2 / 0.015])


def test_gc_comes_from_the_genome(tmp_path: Path) -> None:
    letters = ["N"] * 70
    letters[10:15] = "GGGCA"  # before the CDS: 4 of 5
    letters[15:20], letters[30:40] = "GCATT", "ATATATATAT"  # CDS: 2 of 15
    letters[45:65] = "NNNNNNNNNNNNNNNNggca"  # after it: 3 of the 4 known
    path = tmp_path / "genome.fa"
    path.write_text(f">chr1\n{''.join(letters)}\n")
    with Genome(path) as genome:
        plus = half_life_features(transcript("+"), genome)
        minus = half_life_features(transcript("-"), genome)
        single = half_life_features(Transcript("t", "g", "", "chr1", "+", ((10, 20),), ((10, 20),), False), genome)
    np.testing.assert_allclose(plus[4:7], [4 / 5, 2 / 15, 3 / 4])
    np.testing.assert_allclose(minus[4:7], [3 / 4, 2 / 15, 4 / 5])
    np.testing.assert_allclose(single, [0, 10, 0, 0, np.nan, 6 / 10, np.nan, 0])


def test_a_transcript_without_cds_has_no_features() -> None:
    assert np.isnan(half_life_features(transcript("+", cds=()), None)).all()


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
