"""seqexpr: expression levels of genes, mRNA and protein, from DNA around the TSS and protein sequences."""

__version__ = "0.1.0"
