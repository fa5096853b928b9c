"""Commands on a cluster. Chunks are shards, of which `merge` makes the result, or the folds of a cross-validation."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from seqexpr.cli.console import plural, progress, status
from seqexpr.errors import SeqexprError, UsageError

if TYPE_CHECKING:
    from seqexpr.runs.cluster import Cluster
    from seqexpr.runs.observers import FoldObserver

_CHUNKS_PER_PLACE = 4
"""Few enough that loading the model does not count, and enough that a slow worker holds nobody up."""
_OF_THE_RUN = ("scheduler", "chunks", "worker_timeout", "resume", "out", "threads", "quiet")
"""Parameters that do not decide the result."""


def words_of(context: typer.Context, without: Collection[str]) -> list[str]:
    """The command as it was given, each option in one word, but for some parameters."""
    options, arguments = [str(context.info_name)], []
    for parameter in _given(context):
        if parameter.name in without:
            continue
        value = context.params[parameter.name]
        if parameter.param_type_name == "argument":
            arguments += [str(value)]
        elif isinstance(value, bool):
            options.append((parameter.opts if value else parameter.secondary_opts)[0])
        else:
            options += [f"{parameter.opts[0]}={one}" for one in _texts(value)]
    return [*options, *(["--", *arguments] if arguments else [])]


def files_of(context: typer.Context) -> list[str]:
    """The files that the command reads, as far as its options name them.

    Raises:
        UsageError: one is standard input or another stream, which workers cannot read.
    """
    found = []
    for parameter in _given(context):
        if parameter.name in _OF_THE_RUN:
            continue
        for text in _texts(context.params[parameter.name]):
            if text == "-" or (os.path.exists(text) and not (os.path.isfile(text) or os.path.isdir(text))):
                name = "standard input" if text in ("-", "/dev/stdin") else text
                raise UsageError(f"--scheduler: workers cannot read {name}, a stream; give a file that they see")
            if os.path.isfile(text):
                found.append(text)
    return found


class FoldsOnCluster:
    """Where the folds of a cross-validation run.

    Args:
        cluster: connected.
        context: of the command, whose words the workers run, each with an --only-fold of its own.
    """

    def __init__(self, cluster: Cluster, context: typer.Context) -> None:
        self._cluster, self._context = cluster, context
        asked: int | None = context.params["threads"]
        self.at_once = cluster.local or 1
        """Folds that divide `threads` among them."""
        self.threads = asked if cluster.local else cluster.equal_threads(asked)

    def run(self, folder: Path, folds: Sequence[int], of: int, threads: int, observer: FoldObserver) -> None:
        """Run folds into the folder of a run, as `runs.cross_validation.FoldRunner`."""
        from seqexpr.finished import DONE, done_folds, fold_folder
        from seqexpr.runs.chunk_folder import wanted_in
        from seqexpr.runs.chunk_process import Chunk, cache_folder

        words = words_of(self._context, (*_OF_THE_RUN, "all_metrics"))
        here, cache, inputs = os.getcwd(), cache_folder(), tuple(files_of(self._context))
        observer.on_stage(f"{plural(len(folds), 'fold')} on {self._cluster.described()}")
        try:
            with wanted_in(folder) as wanted:
                chunks = {
                    fold: Chunk(
                        (words[0], f"--only-fold={fold}", f"--out={folder}", *words[1:]),
                        here,
                        wanted,
                        str((fold_folder(folder, fold) / DONE).absolute()),
                        inputs,
                        threads,
                        cache,
                    )
                    for fold in folds
                }
                self._cluster.run(chunks, "fold {}", lambda fold: status(f"fold {fold} of {of} done"))
        except SeqexprError as error:
            kept = f"{len(done_folds(folder, of))} of {of} folds are done in {folder}; --resume goes on"
            error.args = (f"{error}; {kept}",)
            raise


@contextmanager
def folds_on_cluster(context: typer.Context) -> Iterator[FoldsOnCluster | None]:
    """The cluster that --scheduler names, for folds; None where it is not given.

    Raises:
        UsageError, MissingDataError, InputError: as `open_cluster`.
    """
    from seqexpr.runs.cluster import open_cluster

    if context.params["scheduler"] is None:
        refuse_without_scheduler(context, "worker_timeout")
        yield None
        return
    files_of(context)
    with open_cluster(context.params["scheduler"], context.params["worker_timeout"]) as cluster:
        yield FoldsOnCluster(cluster, context)


def _given(context: typer.Context) -> Iterable[Any]:
    """The parameters that the user gave."""
    sources = {parameter.name: context.get_parameter_source(parameter.name) for parameter in context.command.params}
    return [one for one in context.command.params if getattr(sources[one.name], "name", "") == "COMMANDLINE"]


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, (list, tuple)) else [value]
    return [str(one.value if isinstance(one, Enum) else one) for one in values]


def run_on_cluster(context: typer.Context, *, resumable: bool = False) -> bool:
    """Run this command on a cluster, where --scheduler asks for that: the files are those of one run here.

    Args:
        context: of the command, whose words the workers run, each with a --shard of its own.
        resumable: whether the command has a --resume by itself, for its shards too; its output may then be a folder.

    Returns:
        whether it was run.

    Raises:
        UsageError: options that do not go with a cluster, or without one; or a run that is there already.
        ChunkFailed: a chunk failed; the others are kept.
        MissingDataError: no scheduler, or no worker.
    """
    scheduler: str | None = context.params["scheduler"]
    if scheduler is None:
        refuse_without_scheduler(context, "chunks", "worker_timeout", *([] if resumable else ["resume"]))
        return False
    _run_in_chunks(context, scheduler, context.params["out"], resumable)
    return True


def refuse_without_scheduler(context: typer.Context, *names: str) -> None:
    """Refuse options that only --scheduler gives a sense.

    Raises:
        UsageError: one of these parameters is given.
    """
    for parameter in _given(context):
        if parameter.name in names:
            raise UsageError(f"{parameter.opts[0]} goes with --scheduler, which is not given")


def _run_in_chunks(context: typer.Context, scheduler: str, out: str | None, resumable: bool) -> None:
    from seqexpr.api.merging import merge
    from seqexpr.cli.merge import totals
    from seqexpr.inputs.options import check_output
    from seqexpr.runs.chunk_folder import ChunkFolder, wanted_in
    from seqexpr.runs.chunk_process import Chunk, cache_folder
    from seqexpr.runs.cluster import open_cluster

    if out is None or out == "-":
        raise UsageError("--scheduler needs --out FILE: what is done is kept beside it")
    if os.path.exists(out) and not (os.path.isfile(out) or (resumable and os.path.isdir(out))):
        raise UsageError(f"--scheduler needs a file beside which others can lie: --out {out} is none")
    if context.params["shard"] is not None:
        raise UsageError("--shard and --scheduler both divide the work; give one")
    inputs = files_of(context)
    check_output(out, *inputs)
    words = words_of(context, _OF_THE_RUN)
    folder = ChunkFolder(out, words, inputs)
    chunks, resume = context.params["chunks"], context.params["resume"]
    with open_cluster(scheduler, context.params["worker_timeout"]) as cluster:
        with folder.opened(lambda: _CHUNKS_PER_PLACE * cluster.places, chunks, resume=resume) as done:
            if done:
                status(f"{len(done):,} of {folder.count:,} chunks done before")
            each, cache, here = cluster.threads(context.params["threads"]), cache_folder(), os.getcwd()
            left = [number for number in range(1, folder.count + 1) if number not in done]
            status(f"{plural(len(left), 'chunk')} on {cluster.described()}")

            def chunk(number: int, wanted: str) -> Chunk:
                shard_words = [f"--shard={number}/{folder.count}", f"--out={folder.part(number)}"]
                shard_words += ["--resume"] if resumable else []
                result = folder.description(number)
                command = (words[0], *shard_words, *words[1:])
                return Chunk(command, here, wanted, result, tuple(inputs), each, cache)

            try:
                with (
                    wanted_in(folder.path) as wanted,
                    progress(words[0], "chunks", total=len(left)) as advance,
                ):
                    of = f"chunk {{}} of {folder.count:,}"
                    cluster.run({number: chunk(number, wanted) for number in left}, of, lambda _: advance(1))
            except BaseException as stop:
                _say_what_is_kept(folder.path, len(folder.done()), folder.count, stop)
                raise
            merged = merge([folder.description(number) for number in range(1, folder.count + 1)], out)
        folder.remove()
    for line in totals(merged):
        status(line)
    if merged.command == "scan":
        for path in merged.files:
            status(f"written: {path}")


def _say_what_is_kept(folder: Path, done: int, count: int, stop: BaseException) -> None:
    """Add to an error, or say of an interruption, which chunks are there and how to go on."""
    from seqexpr.cli.console import logger

    if not done:
        return
    kept = f"{done:,} of {count:,} chunks are kept in {folder}; the same command with --resume goes on"
    if isinstance(stop, SeqexprError):
        stop.args = (f"{stop}; {kept}",)
    else:
        logger.warning("stopped; %s", kept)
