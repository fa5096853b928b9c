"""The registry of public sources."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest

from seqexpr.errors import InputError, MissingDataError, UsageError
from seqexpr.sources.registry import SourceFile, find_source, list_sources, resolve_sources
from seqexpr.tasks.catalogue import list_tasks

NAMES = (
    "xpresso-human",
    "xpresso-mouse",
    "cptac-lscc-protein",
    "cptac-lscc-rna",
    "cptac-gbm-protein",
    "cptac-gbm-rna",
    "uniprot-human",
    "hg38",
    "mm10",
    "gencode-human",
    "gencode-mouse",
)


def test_the_sources_by_name() -> None:
    assert tuple(source.name for source in list_sources()) == NAMES


@pytest.mark.parametrize("source", list_sources(), ids=lambda source: source.name)
def test_every_entry_is_complete(source) -> None:  # type: ignore[no-untyped-def]
    assert source.title and source.licence and source.citation and source.files
    names = [file.name for file in source.files]
    assert len(set(names)) == len(names)
    for file in source.files:
        assert file.addresses and all(urlsplit(address.url).scheme == "https" for address in file.addresses)
        assert len({address.url for address in file.addresses}) == len(file.addresses)
        assert all(address.packed in (None, "gzip") for address in file.addresses)
        assert 3 < len(file.use) < 80
        assert re.fullmatch(r"[\w.-]+", file.name) and not file.name.startswith(".")
        assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert file.size is None or file.size > 0


def test_addresses_match_names_and_species() -> None:
    for species, is_mouse in (("mouse", True), ("human", False)):
        for file in find_source(f"xpresso-{species}").files:
            assert all(("Mouse" in address.url) == is_mouse for address in file.addresses)
            assert all(address.url.endswith(f"/{file.name}") for address in file.addresses)
    for cohort in ("lscc", "gbm"):
        for kind, word in (("protein", "proteomics"), ("rna", "RNAseq")):
            (file,) = find_source(f"cptac-{cohort}-{kind}").files
            assert file.addresses[0].url.endswith(f"/{cohort.upper()}/{file.name}")
            assert file.name.startswith(f"{cohort.upper()}_{word}")


def test_every_task_has_its_sources() -> None:
    known = {source.name for source in list_sources()}
    for task in list_tasks():
        assert set(task.sources) <= known, task.name


def test_names_of_tasks_and_sources_resolve_once_and_in_order() -> None:
    tasks = {"prot-lung": ("uniprot-human", "cptac-lscc-protein")}
    found = resolve_sources(["hg38", "prot-lung", "uniprot-human"], tasks)
    assert [source.name for source in found] == ["hg38", "uniprot-human", "cptac-lscc-protein"]


def test_an_unknown_name_is_met_with_a_near_one() -> None:
    with pytest.raises(UsageError, match="did you mean 'uniprot-human'"):
        find_source("uniprot-humna")


def test_an_absent_file_names_the_command() -> None:
    source = find_source("hg38")
    assert not source.present() and source.size is None
    with pytest.raises(MissingDataError, match="seqexpr fetch hg38"):
        source.file("hg38.fa.gz")


def test_what_was_recorded_counts_as_size() -> None:
    source = find_source("hg38")
    (file,) = source.files
    file.path.parent.mkdir(parents=True)
    file.path.write_bytes(b"123")
    file.record(url="https://x", size=3, sha256="0" * 64, fetched="now")
    assert source.present() and source.size == 3 and source.file("hg38.fa.gz") == file.path


@pytest.mark.parametrize("content", ['{"sha256": ', '{"size": "big"}', "[]", '{"sha256": ["x"]}', "[" * 100_000])
def test_a_damaged_record_is_named(content: str) -> None:
    (file,) = find_source("hg38").files
    file.path.parent.mkdir(parents=True)
    assert file.recorded() == {}
    file.record_path.write_text(content)
    with pytest.raises(InputError, match=r"hg38\.fa\.gz\.json.*seqexpr fetch hg38 --force"):
        file.recorded()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "/etc/passwd", "a\\b"])
def test_names_never_leave_their_folder(name: str) -> None:
    with pytest.raises(ValueError, match="is no name"):
        SourceFile("source", name, (), "tests")
    with pytest.raises(ValueError, match="is no name"):
        SourceFile(name, "file", (), "tests")
