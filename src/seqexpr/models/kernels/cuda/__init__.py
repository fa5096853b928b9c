"""Triton kernels for CUDA devices: attention over letters, and the stem stage, for inference.

They stand beside the CPU's kernels behind the same functions of `seqexpr.models.kernels` and the same switch. Each has
two modules: its Triton source, `*_kernels`, which alone imports Triton, and what prepares the arrays and launches it.
Triton comes with torch's CUDA builds on Linux; where it is absent, torch computes.
"""
