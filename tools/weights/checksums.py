"""Write weights files again with checksums of their tensors and metadata, everything else as it is.

    python -m tools.weights.checksums [FILE ...]

Without files: the bundled weights. Files that have checksums stay as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from seqexpr.models.trained import add_checksums


def main(files: Sequence[str]) -> None:
    """Add checksums to the files named, or to all bundled ones, and say which were written."""
    bundled = Path(str(resources.files("seqexpr.models").joinpath("weights")))
    for path in map(Path, files or sorted(map(str, bundled.glob("*.safetensors")))):
        print(f"{path}: {'written' if add_checksums(path) else 'as it was'}")


if __name__ == "__main__":
    main(sys.argv[1:])
