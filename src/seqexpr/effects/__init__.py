"""What a change of sequence does to a predicted level: variants of a genome, every substitution of a window, scans."""
