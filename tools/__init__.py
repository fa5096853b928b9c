"""Programs of those who make seqexpr; no part of the package."""
