"""Prepare datasets and open them again: a folder of memory-mapped sequences with a table of genes and a manifest."""
