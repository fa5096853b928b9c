"""Small GenBank records, written by hand."""

from __future__ import annotations

LETTERS = "ttatgaaattttggttaacc" + "gattacagattacagattac"


def record(features: str, topology: str = "linear", letters: str = LETTERS, name: str = "REC") -> str:
    lines = [letters[at : at + 60] for at in range(0, len(letters), 60)]
    origin = "".join(
        f"{60 * number + 1:>9} {' '.join(line[at : at + 10] for at in range(0, len(line), 10))}\n"
        for number, line in enumerate(lines)
    )
    return (
        f"LOCUS       {name:<16} {len(letters)} bp    DNA     {topology}   BCT 01-JAN-2000\n"
        f"DEFINITION  test.\nACCESSION   {name}\nVERSION     {name}.1\n"
        f"FEATURES             Location/Qualifiers\n     source          1..{len(letters)}\n{features}"
        f"ORIGIN\n{origin}//\n"
    )


def feature(kind: str, location: str, **qualifiers: str | int | bool) -> str:
    """A feature; True is a qualifier without a value, and values in brackets have no quotes, as in the format."""
    lines = [f"     {kind:<16}{location}"]
    for key, value in qualifiers.items():
        bare = not isinstance(value, str) or value.startswith("(")
        lines.append(f"{'':21}/{key}" + ("" if value is True else f"={value}" if bare else f'="{value}"'))
    return "\n".join(lines) + "\n"


ENSEMBL = """ID   MT    standard; DNA; HTG; 40 BP.
XX
AC   chromosome:GRCh38:MT:1:40:1
XX
SV   MT.GRCh38
XX
OS   Homo sapiens (human)
XX
FH   Key             Location/Qualifiers
FT   source          1..40
FT                   /organism="Homo sapiens"
FT   gene            complement(1..20)
FT                   /gene="ENSG00000000003.15"
FT                   /locus_tag="TSPAN6"
FT   mRNA            join(complement(15..20),complement(1..10))
FT                   /gene="ENSG00000000003.15"
FT                   /standard_name="ENST00000373020.9"
FT   CDS             join(complement(15..18),complement(3..10))
FT                   /gene="ENSG00000000003.15"
FT                   /protein_id="ENSP00000362111.4"
FT                   /translation="MVK"
XX
SQ   Sequence        40 BP;         10 A;         10 C;         10 G;         10 T;          0 other;
     ttatgaaatt ttggttaacc gattacagat tacagattac                                40
//
"""
"""As Ensembl dumps it: the symbol is the locus tag of the gene feature alone."""
