from __future__ import annotations

import pytest

from seqexpr.models.kernels import library


@pytest.fixture(params=["avx512", "avx2", "neon"])
def instructions(request, monkeypatch):
    """Each instruction set of this machine in turn."""
    if request.param not in library._load(library.FILE):
        pytest.skip(f"no {request.param} here")
    monkeypatch.setenv(library.SWITCH, request.param)
    return request.param
