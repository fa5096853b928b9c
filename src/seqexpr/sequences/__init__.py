"""Read letters, FASTA, genomes and annotations; all arithmetic of strands and windows is here."""
