"""Compare two tables of predictions: same header, same ids in the same order, levels equal to 0.01.

Processors round differently in the last digits, so the levels are not compared as text.
"""

from __future__ import annotations

import csv
import sys

TOLERANCE = 0.01


def main() -> None:
    """Compare the files named on the command line; the exit status says whether they agree."""
    expected, found = (_rows(path) for path in sys.argv[1:3])
    if expected[0] != found[0]:
        sys.exit(f"header {found[0]}, expected {expected[0]}")
    if [row[0] for row in expected] != [row[0] for row in found]:
        sys.exit(f"ids {[row[0] for row in found]}, expected {[row[0] for row in expected]}")
    for one, other in zip(expected[1:], found[1:], strict=True):
        for name, left, right in zip(expected[0][1:], one[1:], other[1:], strict=True):
            if not abs(float(left) - float(right)) <= TOLERANCE:
                sys.exit(f"{one[0]}, {name}: {right}, expected {left}")
    sys.stdout.write(f"{len(found) - 1} rows as expected\n")


def _rows(path: str) -> list[list[str]]:
    with open(path, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file, delimiter="\t") if row]
    if len(rows) < 2:
        sys.exit(f"{path}: no table of predictions")
    return rows


if __name__ == "__main__":
    main()
