"""Build hook: compiles the kernels of `seqexpr.models.kernels` into the wheel, or into the tree of an editable install.

The library has no dependency on Python, so one wheel serves every Python on a platform. Without a C compiler, or on a
processor that the kernels were not written for, the wheel is a pure one and torch computes everything.
SEQEXPR_BUILD_KERNELS=off builds the pure wheel; SEQEXPR_BUILD_KERNELS=on makes a failure an error.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import sys_tags

FOLDER = Path("src/seqexpr/models/kernels")
LIBRARY = FOLDER / "libkernels.so"
KERNELS = ("attention", "stem")
COMMON_FLAGS = ("-std=c11", "-O3", "-ffp-contract=fast", "-fPIC", "-Wall", "-Wextra")
INSTRUCTION_SETS = {
    "x86_64": {
        "avx512": "-mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mbmi2 -mprefer-vector-width=512",
        "avx2": "-mavx2 -mfma -mbmi2",
    },
    "aarch64": {"neon": ""},
}
"""For each processor the instruction sets that its library holds, with the compiler's flags."""


class KernelBuildHook(BuildHookInterface):
    """Adds the compiled library to what the wheel holds, and the platform to its name."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, if wanted and possible; only an editable install, which runs from the tree, changes the tree."""
        wish = os.environ.get("SEQEXPR_BUILD_KERNELS", "auto").lower()
        if wish not in ("auto", "on", "off"):
            raise ValueError(f"SEQEXPR_BUILD_KERNELS={wish!r}: choose auto, on or off")
        self.scratch = tempfile.TemporaryDirectory()
        editable = version == "editable"
        if wish == "off":
            if editable:
                Path(self.root, LIBRARY).unlink(missing_ok=True)
            return
        try:
            built = compile_kernels(Path(self.root), Path(self.scratch.name))
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            if wish == "on":
                raise
            if editable:
                Path(self.root, LIBRARY).unlink(missing_ok=True)
            reason = getattr(error, "stderr", None) or error
            self.app.display_warning(f"seqexpr is built without its compiled kernels, torch computes alone: {reason}")
            return
        if editable:
            put_in_tree(built, Path(self.root))
        else:
            build_data["force_include"][str(built)] = str(LIBRARY.relative_to("src"))
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag()}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """The library is in the wheel by now."""
        self.scratch.cleanup()


def put_in_tree(built: Path, root: Path) -> None:
    """Put the library in its place at once, for processes that load it meanwhile."""
    beside = root / f"{LIBRARY}.{os.getpid()}"
    shutil.copy(built, beside)
    os.replace(beside, root / LIBRARY)


def platform_tag() -> str:
    """This platform's name in a wheel's; on Linux the one that says which glibc is enough."""
    platforms = [tag.platform for tag in sys_tags()]
    return next((name for name in platforms if name.startswith("manylinux_")), platforms[0])


def compile_kernels(root: Path, folder: Path) -> Path:
    """Make the library of this machine's processor from the sources below `root`, in `folder`.

    Raises:
        OSError: no compiler, or no kernels for this processor.
        ValueError: CC is no command.
        subprocess.CalledProcessError: the compiler failed; its words are in `stderr`.
    """
    machine = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    if platform.system() == "Windows" or machine not in INSTRUCTION_SETS:
        raise OSError(f"no kernels for {platform.system()} on {machine}")
    names = [os.environ.get("CC", ""), "cc", "gcc", "clang"]
    compiler = next((command for name in names if (command := shlex.split(name)) and shutil.which(command[0])), None)
    if compiler is None:
        raise OSError("no C compiler (cc, gcc, clang or $CC)")
    objects: list[str] = []

    def compile_one(source: str, instruction_set: str, flags: str) -> None:
        objects.append(f"{folder}/{source}-{instruction_set}.o")
        flags = f"{flags} -DINSTRUCTION_SET={instruction_set}"
        run([*compiler, *COMMON_FLAGS, *flags.split(), "-c", str(root / FOLDER / f"{source}.c"), "-o", objects[-1]])

    for instruction_set, flags in INSTRUCTION_SETS[machine].items():
        for source in KERNELS:
            compile_one(source, instruction_set, flags)
    compile_one("dispatch", "any", "")
    run([*compiler, "-shared", "-o", f"{folder}/library.so", *objects, "-lm"])
    return folder / "library.so"


def run(command: list[str]) -> None:
    """Run a compiler's command."""
    subprocess.run(command, check=True, capture_output=True, text=True)
