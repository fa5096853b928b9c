from __future__ import annotations

from pathlib import Path

import pytest

from seqexpr.errors import InputError
from seqexpr.sequences.contigs import ContigNames, common_name, read_contig_aliases


@pytest.mark.parametrize(
    ("own", "asked", "found"),
    [
        (["chr1", "chr2"], "1", "chr1"),
        (["1", "2"], "chr1", "1"),
        (["Chr1"], "chr1", "Chr1"),
        (["1"], "chr01", "1"),
        (["NC_000001.11", "NC_000002.12"], "chr2", "NC_000002.12"),
        (["chr1", "chrX"], "NC_000023.11", "chrX"),
        (["chrX"], "NC_000086.8", "chrX"),
        (["chrM"], "MT", "chrM"),
        (["Mito"], "chrM", "Mito"),
        (["NC_012920.1"], "chrM", "NC_012920.1"),
        (["Pt"], "ChrC", "Pt"),
        (["I", "IV", "VIII"], "chrIV", "IV"),
        (["I", "IV", "VIII"], "4", "IV"),
        (["1", "4"], "chrIV", "4"),
        (["chr1", "1"], "1", "1"),
        (["chr1", "1"], "chr1", "chr1"),
        (["chr1", "Chr1"], "CHR1", None),
        (["chr1"], "chr11", None),
        (["chrX"], "10", None),
        (["CM000663.2", "CM000685.2"], "chrX", "CM000685.2"),
        (["chr19", "chrY"], "CM001014.3", "chrY"),
        (["BK006934.2", "BK006942.2"], "chrVIII", "BK006934.2"),
        (["BK006934.2", "BK006942.2"], "chrIX", "BK006942.2"),
        (["BX284606.5"], "X", "BX284606.5"),
        (["AE014134.6"], "2L", "AE014134.6"),
        (["CP002684.1"], "Chr1", "CP002684.1"),
        (["chr25"], "CM002909.2", "chr25"),
        (["ref|NC_001133|", "ref|NC_001224|"], "chrI", "ref|NC_001133|"),
        (["ref|NC_001133|", "ref|NC_001224|"], "chrmt", "ref|NC_001224|"),
        (["gi|568815597|ref|NC_000001.11|"], "1", "gi|568815597|ref|NC_000001.11|"),
        (["chrUn_KI270742v1"], "KI270742.1", "chrUn_KI270742v1"),
        (["KI270706.1"], "chr1_KI270706v1_random", "KI270706.1"),
        (["chr6_GL000250v2_alt"], "GL000250.1", None),
    ],
)
def test_names_of_other_databases(own: list[str], asked: str, found: str | None) -> None:
    assert ContigNames(own).find(asked) == found


def test_a_table_of_aliases(tmp_path: Path) -> None:
    path = tmp_path / "assembly_report.txt"
    path.write_text(
        "# Sequence-Name\tSequence-Role\n"
        "HSCHR1\tassembled-molecule\tCM000663.2\tna\n"
        "HSCHR2\tassembled-molecule\tCM000664.2\tna\n"
    )
    names = ContigNames(["CM000663.2", "CM000664.2"], read_contig_aliases(path))
    assert names.find("HSCHR1") == "CM000663.2"
    assert names.find("HSCHR2") == "CM000664.2"
    assert names.find("assembled-molecule") is None
    path.write_text("#only\nx\n")
    with pytest.raises(InputError, match="no row with two names"):
        read_contig_aliases(path)


def test_common_names() -> None:
    assert [common_name(name) for name in ("chr1", "1", "Chr01", "NC_000001.11", "chrX", "chrUn_KI270742v1")] == [
        *("1", "1", "1", "1", "X", "KI270742.1")
    ]
