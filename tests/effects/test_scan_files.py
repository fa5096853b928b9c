from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from seqexpr.effects.scan import Scanner
from seqexpr.effects.scan_files import ScanFiles, write_scan
from seqexpr.errors import UsageError
from seqexpr.models.trained import Output, TrainedModel
from seqexpr.sequences.genome import Genome
from seqexpr.sequences.windows import Interval

from .scan_inputs import make_model, write_genome

Make = Callable[..., TrainedModel]
REGIONS = [Interval("chr1", 0, 900), Interval("chr1", 1_000, 1_100), Interval("chr2", 0, 700), Interval("chr3", 0, 90)]


@pytest.fixture
def model() -> Make:
    return make_model


@pytest.fixture
def genome_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_genome(tmp_path_factory.mktemp("genome") / "genome.fa")


class Killed(BaseException):
    pass


def scan(
    out: Path,
    file: Path,
    model: TrainedModel,
    *,
    step: int = 20,
    resume: bool = False,
    until: int = 10**9,
    format: str = "bedgraph.gz",
) -> list[str]:
    """Scan; end at once when so many positions are done. Returns what is said."""
    said: list[str] = []

    @contextmanager
    def counted(total: int) -> Iterator[Callable[[int], None]]:
        said.append(f"{total} to do")
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            if done >= until:
                raise Killed

        yield advance

    files = ScanFiles(str(out), format, model.metadata.outputs)
    with Genome(file) as genome:
        description = files.describe([{"name": "m", "sha256": "0"}], (288, 144), genome, REGIONS, step)
        _, gaps = write_scan(
            files,
            Scanner([model]),
            genome,
            REGIONS,
            step,
            description,
            resume=resume,
            say=said.append,
            progress=counted,
        )
    return [*said, f"{gaps} gaps"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_scan_resumed_gives_the_bytes_of_one_that_was_not_interrupted(
    tmp_path: Path, genome_file: Path, model: Make
) -> None:
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    assert scan(whole / "a", genome_file, model()) == ["180 to do", "10 gaps"]
    with pytest.raises(Killed):
        scan(resumed / "a", genome_file, model(), until=130)
    assert list(contents_names(resumed)) == [".a.parts"]
    assert scan(resumed / "a", genome_file, model(), resume=True) == [
        "1 of 3 contigs done before",
        "80 to do",
        "10 gaps",
    ]
    assert contents(resumed) == contents(whole)
    assert sorted(contents(whole)) == ["a.json", "a.minus.bedgraph.gz", "a.plus.bedgraph.gz"]


def contents_names(folder: Path) -> Iterator[str]:
    return (path.name for path in sorted(folder.iterdir()))


def test_tracks_that_could_not_be_written_are_made_of_the_parts(tmp_path: Path, genome_file: Path, model: Make) -> None:
    (tmp_path / "out" / "a.plus.bedgraph.gz").mkdir(parents=True)
    with pytest.raises(OSError):
        scan(tmp_path / "out" / "a", genome_file, model())
    (tmp_path / "out" / "a.plus.bedgraph.gz").rmdir()
    assert scan(tmp_path / "out" / "a", genome_file, model(), resume=True)[1] == "0 to do"
    scan(tmp_path / "whole" / "a", genome_file, model())
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_nothing_stays_of_a_scan_that_ended_in_its_first_contig(tmp_path: Path, genome_file: Path, model: Make) -> None:
    with pytest.raises(Killed):
        scan(tmp_path / "out" / "a", genome_file, model(), until=1)
    assert contents(tmp_path / "out") == {}
    assert scan(tmp_path / "out" / "a", genome_file, model(), resume=True)[0] == "180 to do"


def test_what_was_begun_is_not_lost_and_not_mixed(tmp_path: Path, genome_file: Path, model: Make) -> None:
    with pytest.raises(Killed):
        scan(tmp_path / "a", genome_file, model(), until=130)
    with pytest.raises(UsageError, match=r"not finished is in .*\.a\.parts: --resume goes on with it; to begin again"):
        scan(tmp_path / "a", genome_file, model())
    with pytest.raises(UsageError, match=r"begun with other options \(step\): give those, or remove it"):
        scan(tmp_path / "a", genome_file, model(), step=21, resume=True)


def test_two_at_once_are_refused(tmp_path: Path, genome_file: Path, model: Make) -> None:
    (tmp_path / ".a.parts").mkdir()
    with (
        FileLock(tmp_path / ".a.parts" / "lock"),
        pytest.raises(UsageError, match="another process is writing this scan"),
    ):
        scan(tmp_path / "a", genome_file, model())


def test_several_outputs_have_a_track_each(tmp_path: Path, genome_file: Path, model: Make) -> None:
    scan(tmp_path / "out" / "a", genome_file, model(outputs=2), format="bedgraph")
    names = [f"a.level{output}.{strand}.bedgraph" for output in (0, 1) for strand in ("minus", "plus")]
    assert sorted(contents(tmp_path / "out")) == ["a.json", *names]
    first, second = (contents(tmp_path / "out")[name].split() for name in names[::2])
    assert first[::4] == second[::4] and first[3::4] != second[3::4]


def test_where_files_go(tmp_path: Path) -> None:
    outputs = (Output("mrna"),)
    (tmp_path / "there").mkdir()
    assert ScanFiles(f"{tmp_path}/new/", "bigwig", outputs).tracks == [
        tmp_path / "new" / "scan.plus.bw",
        tmp_path / "new" / "scan.minus.bw",
    ]
    assert ScanFiles(str(tmp_path / "there"), "bedgraph", outputs).description == tmp_path / "there" / "scan.json"
    assert ScanFiles(str(tmp_path / "hg38.v2"), "bedgraph", outputs).track("+", 0).name == "hg38.v2.plus.bedgraph"


@pytest.mark.parametrize("out", ["", "a.bw", "a.bedgraph", "a.BEDGRAPH.gz", "a.bigWig"])
def test_names_that_are_no_prefix_are_refused(out: str) -> None:
    with pytest.raises(UsageError, match=r"^--out"):
        ScanFiles(out, "bedgraph", (Output("mrna"),))
