"""A contig of 400 letters with ten genes, laid out so that every expected number can be counted by eye.

Below each line of the genome, its letters are marked: 5 and 3 for the untranslated regions, C for codons, * for the
stop codon, i for introns, e for exons without a CDS. Coordinates are 1-based and closed, as in GTF and GFF3; each line
holds 50 letters.
"""

from __future__ import annotations

from typing import NamedTuple

LINES = (
    # 1 to 50: PLUS (+). The N in its 5'UTR counts as a base there, and neither as G or C nor as A or T.
    "TTTTTTTTTTGGCATAGTAGCCNATGGCCTTTGTTAGAAATAACCCGGAT",
    # .........555555iiii555CCCCCCCCCiiiiiCCC***3333333
    # 51 to 100: MINUS (-), read from right to left: its first codon is the CAT at 89 to 91.
    "AAAAAGCATTCTAACATNATATTAGCTGCGTACGCTTGCATCGGATTTTT",
    # ....33333iiiii333333***CiiiiiiiiCCCCCCCC5555.....
    # 101 to 150: SINGLE (+), one exon.
    "GGGGGACGTAATGGGGCCCAAATGATATATATATATATACGGGGGGGGGG",
    # ....55555CCCCCCCCCCCC***333333333333333..........
    # 151 to 200: BARE (-), two exons that are all CDS: no untranslated region.
    "TTTTTTTTTTCTACCCCTAAAAAAAAAAACGGGCATAAAAAAAAAAAAAA",
    # .........***CCCiiiiiiiiiiiiiiCCCCCC..............
    # 201 to 250: TAGGED, MANE and LONGEST (+), each with the transcripts long, mid and short of one exon.
    "AAAAAGGGGGAAAAACCCCCGGGGGTTTTTCCCCCAAAAAGGGGGTTTTT",
    # ....55555CCCCCCCCCCCCCCCCCCCCCCCCCCC***33333.....  long
    # ......55555555CCCCCCCCCCCCCCC***333333333333.....  mid
    # .............555555CCCCCC***3333333333333333.....  short
    # 251 to 300: SILENT (-), two exons without a CDS.
    "CCCCCACACACACACGTGTGACGTACGTACGTACGTACGTGATTACAGAT",
    # ....eeeeeeeeeeiiiiieeeeeeeeeeeeeeeeeeee..........
    # 301 to 350: UNKNOWN (+), a 5'UTR of N alone, a soft-masked CDS, a 3'UTR with one known letter.
    "CATCANNNNNatgaaacgctgaNNNNNNNCGTGTGTGTGTGTGTGTGTGT",
    # ....55555CCCCCCCCC***33333333....................
    # 351 to 400: SPLIT (+), whose stop codon TGA is cut by an intron: T, then GA.
    "CCCCCGAGATGGCATGTAAGGACACACACACACACACACATTTTTTTTTT",
    # ....555CCCCCC*iiiii**333333333333333333..........
)
GENOME = ">toy\n" + "".join(f"{line}\n" for line in LINES)


class Row(NamedTuple):
    """One transcript; parts are `start-end` with blanks between."""

    gene: str
    transcript: str
    strand: str
    exons: str
    cds_gff3: str
    """With the stop codon, as GFF3 has it."""
    cds_gtf: str
    """Without it, as GTF has it."""
    stop: str
    """The stop codon's own lines in GTF."""
    tag: str = ""


ROWS = (
    Row("PLUS", "plus", "+", "11-16 21-32 38-50", "24-32 38-43", "24-32 38-40", "41-43"),
    Row("MINUS", "minus", "-", "56-60 66-75 84-95", "72-75 84-91", "75-75 84-91", "72-74"),
    Row("SINGLE", "single", "+", "106-140", "111-125", "111-122", "123-125"),
    Row("BARE", "bare", "-", "161-166 181-186", "161-166 181-186", "164-166 181-186", "161-163"),
    Row("TAGGED", "tagged.long", "+", "206-245", "211-240", "211-237", "238-240"),
    Row("TAGGED", "tagged.mid", "+", "208-245", "216-233", "216-230", "231-233", "MANE_Select"),
    Row("TAGGED", "tagged.short", "+", "215-245", "221-229", "221-226", "227-229", "Ensembl_canonical"),
    Row("MANE", "mane.long", "+", "206-245", "211-240", "211-237", "238-240"),
    Row("MANE", "mane.mid", "+", "208-245", "216-233", "216-230", "231-233", "MANE_Select"),
    Row("MANE", "mane.short", "+", "215-245", "221-229", "221-226", "227-229"),
    Row("LONGEST", "longest.short", "+", "215-245", "221-229", "221-226", "227-229"),
    Row("LONGEST", "longest.mid", "+", "208-245", "216-233", "216-230", "231-233"),
    Row("LONGEST", "longest.long", "+", "206-245", "211-240", "211-237", "238-240"),
    Row("SILENT", "silent", "-", "256-265 271-290", "", "", ""),
    Row("UNKNOWN", "unknown", "+", "306-330", "311-322", "311-319", "320-322"),
    Row("SPLIT", "split", "+", "356-365 371-390", "359-365 371-372", "359-364", "365-365 371-372"),
)

CHOSEN = {
    "PLUS": "plus",
    "MINUS": "minus",
    "SINGLE": "single",
    "BARE": "bare",
    "TAGGED": "tagged.short",
    "MANE": "mane.mid",
    "LONGEST": "longest.long",
    "SILENT": "silent",
    "UNKNOWN": "unknown",
    "SPLIT": "split",
}

MISSING = float("nan")

FEATURES_BY_HAND = {  # 5'UTR, CDS, intron, 3'UTR length; 5'UTR, CDS, 3'UTR GC; junctions per kb of CDS
    # GGCATA CCN: 5 of 8 known letters. ATGGCCTTT AAATAA: 4 of 15. CCCGGAT: 5 of 7. 2 junctions in 15 bp.
    "PLUS": (9, 15, 9, 7, 0.625, 0.2666667, 0.7142857, 133.3333),
    # CGGA: 3 of 4. GCTTGCAT TTAG: 5 of 12. GCATT ATNATA: 2 of 10 known ones. 2 junctions in 12 bp.
    "MINUS": (4, 12, 13, 11, 0.75, 0.4166667, 0.2, 166.6667),
    # ACGTA: 2 of 5. ATGGGGCCCAAATGA: 8 of 15. TATATATATATATAC: 1 of 15.
    "SINGLE": (5, 15, 0, 15, 0.4, 0.5333333, 0.0666667, 0),
    # CTACCC GGGCAT: 8 of 12. A region that is not there has a length of 0 and no GC content. 1 junction in 12 bp.
    "BARE": (0, 12, 14, 0, MISSING, 0.6666667, MISSING, 83.33333),
    # short: ACCCCC 5 of 6. GGGGGTTTT 5 of 9. TCCCCCAAAAAGGGGG 10 of 16.
    "TAGGED": (6, 9, 0, 16, 0.8333333, 0.5555556, 0.625, 0),
    # mid: GGGAAAAA 3 of 8. CCCCCGGGGGTTTTTCCC 13 of 18. CCAAAAAGGGGG 7 of 12.
    "MANE": (8, 18, 0, 12, 0.375, 0.7222222, 0.5833333, 0),
    # long: GGGGG 5 of 5. AAAAACCCCCGGGGGTTTTTCCCCCAAAAA 15 of 30. GGGGG 5 of 5.
    "LONGEST": (5, 30, 0, 5, 1, 0.5, 1, 0),
    "SILENT": (MISSING,) * 8,
    # NNNNN: none known. atgaaacgctga: 5 of 12. NNNNNNNC: 1 of 1.
    "UNKNOWN": (5, 12, 0, 8, MISSING, 0.4166667, 1, 0),
    # GAG 2 of 3. ATGGCAT GA 4 of 9. CA nine times: 9 of 18. 1 junction in 9 bp.
    "SPLIT": (3, 9, 5, 18, 0.6666667, 0.4444444, 0.5, 111.1111),
}

UPSTREAM, DOWNSTREAM = 8, 4

WINDOWS_BY_HAND = {  # TSS boundary (0-based); the letters 8 before it and 4 from it on, along the gene; - is unknown
    "PLUS": (10, "TTTTTTTTGGCA"),  # 3 to 14
    "MINUS": (95, "CCCAAAAATCCG"),  # 92 to 103, CGGATTTTTGGG, reverse complemented
    "SINGLE": (105, "TTTGGGGGACGT"),  # 98 to 109
    "BARE": (186, "TTTTTTTTATGC"),  # 183 to 194, GCATAAAAAAAA, reverse complemented
    "TAGGED": (214, "GGGGAAAAACCC"),  # 207 to 218
    "MANE": (207, "AAAAAAGGGGGA"),  # 200 to 211
    "LONGEST": (205, "AAAAAAAAGGGG"),  # 198 to 209
    "SILENT": (290, "CTGTAATCACGT"),  # 287 to 298, ACGTGATTACAG, reverse complemented
    "UNKNOWN": (305, "GATCATCA----"),  # 298 to 309
    "SPLIT": (355, "TGTCCCCCGAGA"),  # 348 to 359
}


def as_gtf() -> str:
    """The transcripts as GTF has them: the stop codon beside the CDS."""
    lines = []
    for row in ROWS:
        attributes = f'gene_id "{row.gene}"; transcript_id "{row.transcript}"; gene_name "{row.gene.lower()}";'
        attributes += f' tag "{row.tag}";' if row.tag else ""
        for kind, parts in (("exon", row.exons), ("CDS", row.cds_gtf), ("stop_codon", row.stop)):
            lines += _lines(row, kind, parts, attributes)
    return "".join(lines)


def as_gff3() -> str:
    """The same as GFF3 has them: the stop codon within the CDS, and parents."""
    lines, seen = ["##gff-version 3\n"], set()
    for row in ROWS:
        if row.gene not in seen:
            lines += _lines(row, "gene", "1-400", f"ID=gene:{row.gene};Name={row.gene.lower()}")
        seen.add(row.gene)
        tag = f";tag={row.tag}" if row.tag else ""
        kind = "mRNA" if row.cds_gff3 else "lnc_RNA"
        extent = f"{row.exons.split('-')[0]}-{row.exons.split('-')[-1]}"
        lines += _lines(row, kind, extent, f"ID=transcript:{row.transcript};Parent=gene:{row.gene}{tag}")
        for kind, parts in (("exon", row.exons), ("CDS", row.cds_gff3)):
            lines += _lines(row, kind, parts, f"Parent=transcript:{row.transcript}")
    return "".join(lines)


def _lines(row: Row, kind: str, parts: str, attributes: str) -> list[str]:
    return [
        "\t".join(["toy", "made", kind, *part.split("-"), ".", row.strand, ".", attributes]) + "\n"
        for part in parts.split()
    ]
