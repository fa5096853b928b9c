from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from seqexpr.errors import UsageError
from seqexpr.models import kernels
from seqexpr.models.kernels import library


@pytest.mark.skipif(
    platform.system() != "Linux" or not (shutil.which("cc") or shutil.which("gcc")),
    reason="nothing to build the kernels with",
)
def test_an_installation_with_a_compiler_has_the_kernels():
    flags = Path("/proc/cpuinfo").read_text()
    if platform.machine() == "x86_64" and not {"avx2", "fma", "bmi2"} <= set(flags.split()):
        pytest.skip("a processor without AVX2")
    assert kernels.instruction_set() in {"avx512", "avx2", "neon"}


def test_the_switch_turns_them_off(monkeypatch):
    monkeypatch.setenv("SEQEXPR_KERNELS", "off")
    assert kernels.instruction_set() is None
    assert not kernels.attends(torch.zeros(1, 64, 32), torch.zeros(1, 300, 32))


def test_an_unknown_instruction_set_is_an_error_that_names_the_choices(monkeypatch):
    monkeypatch.setenv("SEQEXPR_KERNELS", "sse9")
    with pytest.raises(UsageError, match=r"^SEQEXPR_KERNELS='sse9': choose off( or \w+)*, or unset it$"):
        kernels.instruction_set()


@pytest.mark.slow
def test_the_switch_is_read_by_a_whole_command(tmp_path):
    command = [sys.executable, "-m", "seqexpr", "predict", "--example"]
    run = subprocess.run(
        command, capture_output=True, text=True, env={"SEQEXPR_KERNELS": "sse9", "HOME": str(tmp_path)}
    )
    assert run.returncode == 2
    assert run.stdout == ""
    assert "SEQEXPR_KERNELS='sse9': choose off" in run.stderr


def test_disabled_nests(instructions):
    with kernels.disabled():
        with kernels.disabled():
            assert kernels.instruction_set() is None
        assert kernels.instruction_set() is None
    assert kernels.instruction_set() == instructions


def test_without_the_compiled_file_torch_computes(monkeypatch, tmp_path):
    monkeypatch.setattr(library, "FILE", tmp_path / "absent.so")
    assert kernels.instruction_set() is None


def test_other_kinds_of_tensors_are_left_to_torch(instructions):
    query, context = torch.zeros(1, 64, 32), torch.zeros(1, 300, 32)
    assert kernels.attends(query, context)
    assert not kernels.attends(query.double(), context.double())
    assert not kernels.attends(query[:, :60], context)
    assert not kernels.attends(query[..., :20], context[..., :20])
    with torch.autocast("cpu", torch.bfloat16):
        assert not kernels.attends(query, context)


@pytest.mark.parametrize(
    ("threads", "windows", "slices"), [(1, 5, [5]), (2, 5, [2, 3]), (4, 3, [1, 1, 1]), (2, 1, [1])]
)
def test_windows_are_divided_among_threads(monkeypatch, threads, windows, slices):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    parts = library.in_threads(lambda part: range(windows)[part], windows)
    assert [len(part) for part in parts] == slices
    assert [window for part in parts for window in part] == list(range(windows))


def test_a_library_of_another_kind_or_time_is_not_called(monkeypatch):
    import ctypes.util

    monkeypatch.setattr(library, "FILE", Path(str(ctypes.util.find_library("m"))))
    assert kernels.instruction_set() is None
    library._load.cache_clear()


def test_a_library_with_another_interface_is_not_called(monkeypatch):
    monkeypatch.setattr(library, "INTERFACE_VERSION", 0)
    library._load.cache_clear()
    try:
        assert kernels.instruction_set() is None
    finally:
        library._load.cache_clear()
