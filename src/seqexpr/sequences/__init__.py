"""Letters, FASTA, genomes, annotation, and the windows around the TSS."""
