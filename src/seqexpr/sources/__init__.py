"""Bring public files into the cache: which there are, where they lie, whether they arrived whole."""
