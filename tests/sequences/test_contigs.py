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
        (["chrIV", "IV", "4"], "CHRIV", None),
        ([f"chr{number}" for number in range(1, 23)], "chrX", None),
        ([f"chr{number}" for number in range(1, 23)], "X", None),
        ([f"chr{number}" for number in range(1, 23)], "NC_000023.11", None),
        ([f"chr{number}" for number in range(1, 23)], "V", None),
        ([f"chr{number}" for number in range(1, 23)], "chrI", None),
        ([f"chr{number}" for number in range(1, 23)], "chrM", None),
        ([f"chr{number}" for number in range(1, 23)], "chrC", None),
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


REPORT = """\
# Assembly name:  GRCh38.p14
# Organism name:  Homo sapiens (human)
#
# Sequence-Name\tSequence-Role\tAssigned-Molecule\tAssigned-Molecule-Location/Type\tGenBank-Accn\tRelationship\t\
RefSeq-Accn\tAssembly-Unit\tSequence-Length\tUCSC-style-name
HSCHR1\tassembled-molecule\t1\tChromosome\tCM000663.2\t=\tNC_000001.11\tPrimary Assembly\t248956422\tchr1
HSCHR2\tassembled-molecule\t2\tChromosome\tCM000664.2\t=\tna\tPrimary Assembly\t242193529\tna
HSCHR1_CTG1\tunlocalized-scaffold\t1\tChromosome\tKI270706.1\t=\tNT_187361.1\tPrimary Assembly\t175055\tchr1_KI270706v1_random
HSCHR1_CTG2\tunlocalized-scaffold\t1\tChromosome\tKI270707.1\t=\tNT_187362.1\tPrimary Assembly\t32032\tna
HSCHRUN_CTG1\tunplaced-scaffold\tna\tna\tKI270302.1\t=\tNT_187396.1\tPrimary Assembly\t2274\tna
"""  # noqa: E501


def test_an_assembly_report_of_ncbi(tmp_path: Path) -> None:
    path = tmp_path / "assembly_report.txt"
    path.write_text(REPORT)
    aliases = read_contig_aliases(path)
    names = ContigNames(["HSCHR1", "HSCHR2", "HSCHR1_CTG1", "HSCHRUN_CTG1"], aliases)
    found = {name: names.find(name) for name in ("1", "chr1", "NC_000001.11", "CM000663.2", "2", "chr2")}
    assert list(found.values()) == ["HSCHR1"] * 4 + ["HSCHR2"] * 2, found
    assert names.find("NT_187361.1") == names.find("chr1_KI270706v1_random") == "HSCHR1_CTG1"
    others = ("assembled-molecule", "Chromosome", "Primary Assembly", "=", "na", "248956422", "KI270707.1")
    assert [names.find(name) for name in others] == [None] * len(others)
    scaffold_left_out = ContigNames(["1", "2"], aliases)
    assert scaffold_left_out.find("HSCHR1") == "1"
    assert scaffold_left_out.find("KI270706.1") is None


def test_a_table_of_aliases(tmp_path: Path) -> None:
    path = tmp_path / "chromAlias.txt"
    path.write_text("# ucsc\tensembl\nscafA\t1\nscafB\t2\nscafC\t2\nscafD\t3\nchr04\t5\n")
    names = ContigNames(["scafA", "scafB", "scafC", "scafD", "chr3", "chr04"], read_contig_aliases(path))
    assert [names.find(name) for name in ("1", "chr1", "Chr01", "4")] == ["scafA", "scafA", "scafA", "chr04"]
    assert [names.find(name) for name in ("2", "chr2")] == [None, None]
    assert [names.find(name) for name in ("3", "chr3", "chr03")] == ["scafD", "chr3", None]
    path.write_text("#only\nx\n")
    with pytest.raises(InputError, match="no row with two names"):
        read_contig_aliases(path)


def test_common_names() -> None:
    assert [common_name(name) for name in ("chr1", "1", "Chr01", "NC_000001.11", "chrX", "chrUn_KI270742v1")] == [
        *("1", "1", "1", "1", "X", "KI270742.1")
    ]
