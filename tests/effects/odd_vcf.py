"""A VCF file with every oddity that is no error, for the tests that read and write it."""

from __future__ import annotations

HEADER = """##fileformat=VCFv4.3
##source="a, quoted <text>, ID=seqexpr"
##contig=<ID=chr1,length=248956422,assembly="GRCh38, a quoted, comma">
##contig=<length=1000,ID=HLA-A*01:01>
##contig=<ID=chrM>
##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">
##INFO=<ID=END,Number=1,Type=Integer,Description="End, ID=seqexpr, of the variant">
##INFO=<ID=SVLEN,Number=.,Type=Integer,Description="Length">
##INFO=<ID=SVTYPE,Number=1,Type=String,Description="Kind">
##INFO=<ID=DB,Number=0,Type=Flag,Description="In dbSNP">
##INFO=<ID=SVINSSEQ,Number=1,Type=String,Description="Bases">
##FILTER=<ID=q10,Description="Low">
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
##FORMAT=<ID=PS,Number=1,Type=Integer,Description="Phase set">
##FORMAT=<ID=DP,Number=1,Type=Integer,Description="Depth">
##ALT=<ID=DEL,Description="Deletion">
##ALT=<ID=DUP,Description="Duplication">
##ALT=<ID=INS,Description="Insertion">
##ALT=<ID=NON_REF,Description="Any">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS 1\tS2\tS3
"""

_RECORDS = """chr1 100 rs1;rs2 A C 50 PASS DP=5;DB GT:PS:DP 0|1:100:7 1|0:100 ./.
chr1 100 rs1 A C 50 PASS DP=5 GT 0/1 1/1 .
chr1 90 . a g . . . GT 0 1 .|1
chr1 200 . ACG A,T,ACGTT 1e-5 q10 DB GT 1|3 2/0 0|2|3
chr1 0 . N A . . . GT 0/0 0/0 0/0
chr1 300 . N <DEL> . . END=400;SVTYPE=DEL GT 0/1 0/0 0/0
chr1 300 . N <DEL>,<DUP:TANDEM> . . SVLEN=-10,20 GT 1/2 0/0 0/0
chr1 310 . G G]chr1:500] . . SVTYPE=BND GT 0/1 0/0 0/0
chr1 311 . G ]chr1:500]G . . SVTYPE=BND GT 0/1 0/0 0/0
chr1 320 . C * . . . GT 0/1 0/0 0/0
chr1 330 . C . . . . GT 0/0 0/0 0/0
chr1 340 . C <NON_REF> . . . GT 0/0 0/0 0/0
chr1 350 . R AY . . . GT 0/1 0/0 0/0
chr1 360 . A <INS> . . SVINSSEQ=ACGT GT 0/1 0/0 0/0
HLA-A*01:01 7 . T G . . . GT 0|1 0/0 0/0
chrUn 7 . T G . . . DP 3 4 5
"""

RECORDS = [line.replace(" ", "\t") + "\n" for line in _RECORDS.splitlines()]

ODD_VCF = (HEADER + "".join(RECORDS)).encode()
