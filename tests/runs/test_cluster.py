"""What workers of a real dask cluster refuse, and how it is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("distributed")

from seqexpr.runs.chunk_folder import wanted_in
from seqexpr.runs.chunk_process import Chunk
from seqexpr.runs.cluster import ChunkFailed, Cluster, open_cluster

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with open_cluster("local:2", 60) as opened:
        yield opened


def test_threads_are_divided_among_the_processes(cluster: Cluster) -> None:
    assert (cluster.places, cluster.described()) == (2, "2 worker threads of local:2")
    assert [cluster.threads(asked) for asked in (1, 2, 7)] == [1, 1, 3]
    assert cluster.equal_threads(7) == 3


def failure(cluster: Cluster, chunks: dict[int, Chunk]) -> ChunkFailed:
    with pytest.raises(ChunkFailed) as caught:
        cluster.run(chunks, "chunk {} of 3", lambda _: None)
    return caught.value


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"inputs": ("there.fa", "absent.fa")}, "this worker does not see {folder}/absent.fa: workers and the command"),
        ({"wanted": "{folder}/none/.wanted"}, "this worker does not see {folder}/none: workers and the command"),
        ({"version": "0.0.9"}, "this worker has seqexpr"),
    ],
)
def test_a_worker_that_lacks_something_says_so(
    changed: dict[str, object], said: str, cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "there.fa").touch()
    with wanted_in(tmp_path) as wanted:
        given = {"words": ("models", "list"), "folder": str(tmp_path), "wanted": wanted, "result": str(tmp_path / "x")}
        placed = {
            key: value.format(folder=tmp_path) if isinstance(value, str) else value for key, value in changed.items()
        }
        error = failure(cluster, {2: Chunk(**{**given, **placed})})  # type: ignore[arg-type]
    assert error.exit_code == 4
    assert str(error).startswith("chunk 2 of 3 failed on the worker tcp://127.0.0.1:")
    assert said.format(folder=tmp_path) in str(error)


def test_the_mistake_of_a_command_is_said_as_it_says_it(cluster: Cluster, tmp_path: Path) -> None:
    with wanted_in(tmp_path) as wanted:
        chunk = Chunk(("predict", "--fasta=a", "--", "b"), str(tmp_path), wanted, str(tmp_path / "x"))
        error = failure(cluster, {1: chunk, 2: chunk})
    assert (error.exit_code, str(error)) == (2, "b and --fasta a are two sources of windows; give one")


def test_each_chunk_that_fails_is_named(cluster: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[int] = []
    (tmp_path / "x").touch()
    with wanted_in(tmp_path) as wanted, pytest.raises(ChunkFailed) as caught:
        bad, good = (
            Chunk(words, str(tmp_path), wanted, str(tmp_path / "x"))
            for words in (("predict", "--", "absent.fa"), ("predict", "--example", f"--out={tmp_path / 'levels.tsv'}"))
        )
        cluster.run({1: bad, 2: good, 3: bad}, "chunk {} of 3", heard.append)
    assert heard == [2]
    assert caught.value.exit_code == 3
    assert str(caught.value).startswith("chunk 1 of 3 failed on the worker ")
    assert [record.getMessage().split(" on ")[0] for record in caplog.records] == ["chunk 3 of 3 failed"]
    assert all("absent.fa: found no such file" in text for text in (str(caught.value), caplog.text))
