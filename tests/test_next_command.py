from __future__ import annotations

from pathlib import Path

import pytest

from seqexpr.next_command import command_to_end

CV = ["seqexpr", "cv", "--task", "t"]


def cv_run(command: list[str], **further: object) -> dict[str, object]:
    return {"kind": "cv", "command": command, "options": {"task": "t", "folds": 3}, **further}


@pytest.mark.parametrize(
    ("command", "ended"),
    [
        (CV, "seqexpr cv --task t --out 'my run' --resume"),
        ([*CV, "--out", "old", "--folds", "3"], "seqexpr cv --task t --folds 3 --out 'my run' --resume"),
        ([*CV, "--out=old", "-q", "--quiet", "--resume"], "seqexpr cv --task t --out 'my run' --resume"),
        ([*CV, "--only-fold", "1", "--out", "i1"], "seqexpr cv --task t --only-fold 1 --out 'my run'"),
        ([*CV, "--only-fold=2", "--only-fold", "1"], "seqexpr cv --task t --only-fold 1 --only-fold 2 --out 'my run'"),
        (["notebook", "-f", "x.json"], "seqexpr cv --task t ... --out 'my run' --resume"),
        ([], "seqexpr cv --task t ... --out 'my run' --resume"),
    ],
)
def test_it_names_the_folder_where_the_run_lies_now(command: list[str], ended: str) -> None:
    assert command_to_end("my run", cv_run(command)) == ended


def test_of_a_training() -> None:
    command = ["seqexpr", "train", "--task", "t", "--label", "a b", "-q"]
    ended = "seqexpr train --task t --label 'a b' --out run --resume"
    assert command_to_end("run", {"kind": "train", "command": command}) == ended


def test_folds_that_are_asked_for() -> None:
    ended = "seqexpr cv --task t --only-fold 0 --only-fold 2 --out run"
    for command in (CV, [*CV, "--only-fold", "1"]):
        assert command_to_end("run", cv_run(command), [0, 2]) == ended
    assert command_to_end("run", cv_run(["-k"]), [4]) == "seqexpr cv --task t ... --only-fold 4 --out run"


def test_folds_that_are_done_are_not_run_again(tmp_path: Path) -> None:
    manifest = cv_run([*CV, "--only-fold", "1"])
    for fold, ended in (
        (1, f"seqexpr cv --task t --only-fold 0 --only-fold 2 --out {tmp_path}"),
        (0, f"seqexpr cv --task t --only-fold 2 --out {tmp_path}"),
        (2, f"seqexpr cv --merge {tmp_path}"),
    ):
        (tmp_path / "folds" / str(fold)).mkdir(parents=True)
        (tmp_path / "folds" / str(fold) / ".done").touch()
        assert command_to_end(tmp_path, manifest) == ended
    assert command_to_end(tmp_path, cv_run(CV, merged=["a", "b"])) == f"seqexpr cv --merge {tmp_path}"
