from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from seqexpr.threads import usable_cores, wait_passively_if_busy


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that may run on eight cores and was asked for nothing."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def groups(folder: Path, files: dict[str, str], process: str) -> tuple[Path, Path]:
    """A tree of control groups, and the file that names those of the process."""
    for name, text in files.items():
        (folder / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "groups" / name).write_text(text)
    (folder / "process").write_text(process)
    return folder / "groups", folder / "process"


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("files", "process", "cores"),
    [
        ({}, "", 8),
        # Version 2: in a container the process's group is the root of what is mounted.
        ({"cpu.max": "200000 100000\n"}, "0::/\n", 2),
        ({"cpu.max": "max 100000\n"}, "0::/\n", 8),
        ({"cpu.max": "1600000 100000\n"}, "0::/\n", 8),
        ({"cpu.max": "150000 100000\n"}, "0::/\n", 2),
        ({"cpu.max": "5000 100000\n"}, "0::/\n", 1),
        ({"cpu.max": "nonsense\n"}, "0::/\n", 8),
        # Version 2: groups around the process's own bound it too.
        ({"job/step/cpu.max": "max 100000\n", "job/cpu.max": "300000 100000\n"}, "0::/job/step\n", 3),
        ({"job/step/cpu.max": "400000 100000\n", "job/cpu.max": "max 100000\n"}, "0::/job/step\n", 4),
        ({"other/cpu.max": "100000 100000\n"}, "0::/job/step\n", 8),
        # Version 1.
        ({"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "50000\n"}, "4:cpu:/docker/1\n", 5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, "4:cpu:/\n", 8),
        (
            {"cpu,cpuacct/job/cpu.cfs_quota_us": "300000\n", "cpu,cpuacct/job/cpu.cfs_period_us": "100000\n"},
            "5:memory:/elsewhere\n4:cpu,cpuacct:/job/step\n",
            3,
        ),
    ],
)
def test_a_quota_of_control_groups_bounds_the_cores(
    files: dict[str, str], process: str, cores: int, tmp_path: Path
) -> None:
    assert usable_cores(*groups(tmp_path, files, process)) == cores


@pytest.mark.usefixtures("eight_cores")
def test_a_system_without_control_groups_has_no_quota(tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "absent", tmp_path / "absent") == 8


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("asked", "cores"), [("3", 3), ("12", 8), ("3,2", 3), ("", 8), ("0", 8), ("-1", 8), ("many", 8)]
)
def test_omp_num_threads_is_obeyed(asked: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert usable_cores(tmp_path, tmp_path / "absent") == cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_only_cores_that_the_process_may_run_on_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores(tmp_path, tmp_path / "absent") == 1
    finally:
        os.sched_setaffinity(0, before)


def test_systems_without_affinity_have_all_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert usable_cores(tmp_path, tmp_path / "absent") == 6


@pytest.mark.parametrize(
    ("ticks", "given", "found"),
    [
        (["cpu 100 0 0 100 0 0 0 0", "cpu 180 0 0 120 0 0 0 0"], None, 0.8),
        (["cpu 100 0 0 100 0 0 0 0", "cpu 110 0 0 190 0 0 0 0"], None, None),
        (["cpu 100 0 0 100 0 0 0 0", "cpu 180 0 0 120 0 0 0 0"], "active", None),
        (["no such line", "no such line"], None, None),
    ],
)
def test_threads_wait_passively_where_others_are_busy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ticks: list[str], given: str | None, found: float | None
) -> None:
    file = tmp_path / "stat"
    file.write_text(ticks[0])
    monkeypatch.setattr(time, "sleep", lambda _: file.write_text(ticks[1]))
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    assert wait_passively_if_busy(file=file) == found
    assert os.environ.get("OMP_WAIT_POLICY") == ("passive" if found is not None else given)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
