"""Damage files of every kind that seqexpr reads, and see that only its own errors come out: `python -m tests.fuzz`."""
