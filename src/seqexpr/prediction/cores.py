"""How many of the machine's cores this process may use; torch itself takes all that the machine has."""

from __future__ import annotations

import os
from pathlib import Path

_PROCESS_GROUPS = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


def usable_cores(groups: Path = _GROUPS, process_groups: Path = _PROCESS_GROUPS) -> int:
    """The cores that compute for this process, at least 1.

    The least of: the cores that it may run on (taskset, SLURM, Kubernetes' static policy), the CPU quota of its
    control groups (`docker run --cpus`, Kubernetes' limits), rounded up, and `OMP_NUM_THREADS`, where each is known.

    Args:
        groups: where control groups, version 1 or 2, are mounted.
        process_groups: the file that names those of this process.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [-(-quota // period) for quota, period in _quotas(groups, process_groups)]
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # a list is one number for each nested level
    wanted = [int(asked)] if asked.isascii() and asked.isdigit() else []
    return max(1, min([affinity, *quotas, *(count for count in wanted if count)]))


def _quotas(groups: Path, process_groups: Path) -> list[tuple[int, int]]:
    """Microseconds of CPU in each period of so many microseconds, for each group that bounds this process."""
    found = []
    for folder in _folders(groups, process_groups):
        # Version 2 has both numbers in one file, "max" for no bound; version 1 has two files, -1 for no bound.
        two_files = (folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us")
        words = _words(folder / "cpu.max") or [word for file in two_files for word in _words(file)]
        if len(words) == 2 and all(word.isdigit() and int(word) for word in words):
            found.append((int(words[0]), int(words[1])))
    return found


def _folders(groups: Path, process_groups: Path) -> list[Path]:
    """The folders of this process's CPU groups, and of all groups around them, which bound it too.

    A container sees its own group as the root of what is mounted, whatever path `process_groups` names.
    """
    folders = [groups, groups / "cpu", groups / "cpu,cpuacct"]
    try:
        lines = process_groups.read_text().splitlines()
    except OSError:
        return folders
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = groups / controllers if controllers else groups
        inner = root / path.lstrip("/")
        folders += [folder for folder in (inner, *inner.parents) if folder.is_relative_to(root)]
    return list(dict.fromkeys(folders))


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []
