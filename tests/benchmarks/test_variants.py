from __future__ import annotations

import io
import json

import pytest
from benchmarks.serving import Finished, PipedTurns, serve
from benchmarks.variants import Child, Turn, Variant, interleave, order_of, peak_memory, rates


class Scripted(Child):
    """Answers with numbers that count up, and notes whose turn it was."""

    log: list[str]

    def __init__(self, variant: Variant, log: list[str]) -> None:
        self.variant, self.log = variant, log
        self.taken = 0

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *_) -> None:
        self.log.append(f"end {self.variant.name}")

    def ready(self) -> Turn:
        self.log.append(f"ready {self.variant.name}")
        return {"peak_mib": 100.0, "device_peak_mib": None}

    def turn(self) -> Turn:
        self.log.append(self.variant.name)
        self.taken += 1
        return {"items": self.taken, "seconds": 2.0, "peak_mib": 100.0 + self.taken, "device_peak_mib": None}


def test_every_other_round_runs_backwards() -> None:
    assert [order_of(3, turn) for turn in range(3)] == [[0, 1, 2], [2, 1, 0], [0, 1, 2]]


def test_turns_are_interleaved_after_one_that_does_not_count() -> None:
    log: list[str] = []
    variants = [Variant(name, "matmul") for name in "abc"]
    turns = interleave(variants, 3, start=lambda variant: Scripted(variant, log))
    starts = ["ready a", "ready b", "ready c"]
    assert log == [*starts, *"abc", *"abc", *"cba", *"abc", "end c", "end b", "end a"]
    assert {name: [turn["items"] for turn in found] for name, found in turns.items()} == {
        name: [2, 3, 4] for name in "abc"
    }


def test_rates_are_medians() -> None:
    turns = [{"items": items, "seconds": 2.0} for items in (10, 400, 20)]
    assert rates(turns) == {"median": 10.0, "rates": [5.0, 200.0, 10.0]}


def test_peak_memory_is_told_before_and_after_the_work() -> None:
    memory = peak_memory(Variant("a", "matmul"), start=lambda variant: Scripted(variant, []), turns=3)
    assert memory.to_dict() == {"ready_mib": 100.0, "peak_mib": 103.0, "own_mib": 3.0, "device_peak_mib": None}


def test_a_work_is_repeated_until_its_time_is_over() -> None:
    answers, done = io.StringIO(), []

    def work() -> int:
        done.append(1)
        return 5

    with pytest.raises(Finished):
        serve(work, PipedTurns(io.StringIO("go\ngo\n"), answers), seconds=0)
    ready, *turns = map(json.loads, answers.getvalue().splitlines())
    assert "items" not in ready and ready["peak_mib"] > 1
    assert [turn["items"] for turn in turns] == [5, 5]
    assert len(done) == 2
    with pytest.raises(Finished):
        serve(work, PipedTurns(io.StringIO("go\n"), answers), seconds=0.01)
    last = json.loads(answers.getvalue().splitlines()[-1])
    assert last["items"] == 5 * (len(done) - 2)
    assert last["seconds"] >= 0.01


def test_a_process_of_its_own() -> None:
    settings = {"threads": 1, "device": "cpu", "dtype": "fp32", "seconds": 0.001, "largest": 600}
    with Child(Variant("products", "matmul", settings)) as child:
        assert child.ready()["peak_mib"] > 50  # torch is there
        turn = child.turn()
    assert turn["items"] == max(turn["flops"].values()) > 1e6
    assert list(turn["flops"]) == ["512 x 512 x 512"]


def test_a_process_that_dies_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(RuntimeError, match="'no sites' ended with status 1"),
        Child(Variant("no sites", "windows-pyfaidx", {"genome": "absent.fa"})) as child,
    ):
        child.ready()
    assert "KeyError: 'sites'" in capfd.readouterr().err
