"""Comparing two folders, or two files: pairing, choosing a comparer, summing up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from forkpoint.artifacts.apart import Answer, Job, answers, told
from forkpoint.artifacts.comparer import (
    Comparer,
    Context,
    File,
    Found,
    Refused,
    Side,
    registered,
)
from forkpoint.artifacts.csv import Csv
from forkpoint.artifacts.documents import Json, JsonLines
from forkpoint.artifacts.npy import Npy, Npz
from forkpoint.artifacts.plaid import (
    IndexFolder,
    as_index,
    compare_index_folders,
    same_arrays,
    unchanged,
)
from forkpoint.artifacts.ranking_files import RankingFile
from forkpoint.artifacts.safetensors import Safetensors
from forkpoint.artifacts.tables import Arrow, Parquet
from forkpoint.artifacts.text import PlainText, RawBytes
from forkpoint.artifacts.torch import TorchFile
from forkpoint.artifacts.unpacking import Unpack
from forkpoint.artifacts.walk import Bad, entries, file_at, same_bytes
from forkpoint.compare import worst
from forkpoint.errors import UsageError
from forkpoint.model import Artifact, Verdict

OWN: tuple[Comparer, ...] = (
    Npy(),
    Npz(),
    Safetensors(),
    TorchFile(),
    Parquet(),
    Arrow(),
    RankingFile(),
    Csv(),
    JsonLines(),
    Json(),
    PlainText(),
    RawBytes(),
)
"""In the order in which they are asked; the last one takes every file."""

BATCH = 2 << 30
"""Bytes of files of ``torch.save`` that are unpacked at a time: they take as much disk again."""

Entries = Mapping[str, File | Bad]


def compare_trees(
    baseline: Path, candidate: Path, context: Context, *, unpack: Unpack | None = None
) -> tuple[Artifact, ...]:
    """Compare two folders (or two files), pairing files by their relative path.

    Each file gets an `Artifact`, and each named part that is not identical (or every one, as the
    context says) one more. A folder
    that is an index on both sides is one artifact. A file that is refused is
    ``not_comparable`` with its reason; files of ``torch.save`` are, unless ``unpack`` can read
    them. Raises `UsageError` where a path is neither a folder nor a file, or one is a folder
    and the other a file.
    """
    if baseline.is_file() and candidate.is_file():
        one, two = (
            {baseline.name: file_at(path.name, path.resolve())} for path in (baseline, candidate)
        )
        return _Comparison(context, unpack).compare(one, two)
    for path in (baseline, candidate):
        if not path.is_dir():
            raise UsageError(
                f"{path} is not a folder, or not one that can be read.",
                hint="Name two folders, two files, or two recordings.",
            )
    return _Comparison(context, unpack).compare(entries(baseline), entries(candidate))


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Two folders under comparison."""

    context: Context
    unpack: Unpack | None

    def compare(self, one: Entries, two: Entries) -> tuple[Artifact, ...]:
        """All artifacts, by their names."""
        registered()  # a comparer that cannot be loaded is no fault of a file
        found: dict[str, list[Artifact]] = {}
        inside: set[str] = set()
        for folder, sides in _indexes(one, two):
            found[folder] = self._index(folder, *sides)
            inside.update(file.name for side in sides for file in side.files.values())
        unread = _below_unread(one, two)
        found |= {folder: [_unread(folder, names, one, two)] for folder, names in unread.items()}
        inside.update(name for names in unread.values() for name in names)
        looked = {
            name: _look(one.get(name), two.get(name), self.context, unpack=bool(self.unpack))
            for name in sorted((one.keys() | two.keys()) - inside - unread.keys())
        }
        tasks = [task for task in looked.values() if isinstance(task, _Task)]
        found |= {name: [row] for name, row in looked.items() if isinstance(row, Artifact)}
        found |= self._made([task for task in tasks if not task.pickled], self.context)
        for batch in _batches(task for task in tasks if task.pickled):
            paths = [file.path for task in batch for file in (task.one, task.two)]
            with self._contents(paths) as context:
                found |= self._made(batch, context)
        return tuple(artifact for name in sorted(found) for artifact in found[name])

    def _made(self, tasks: Sequence[_Task], context: Context) -> dict[str, list[Artifact]]:
        """The rows of files that are compared by content, each in its turn."""
        jobs = [Job(task.one.size + task.two.size, partial(task.run, context)) for task in tasks]
        pairs = zip(tasks, answers(jobs), strict=True)
        return {task.one.name: self._rows(task, answer) for task, answer in pairs}

    def _rows(self, task: _Task, answer: Answer) -> list[Artifact]:
        if task.same:
            rankings = [] if isinstance(answer, Refused) else [f.ranking for f in answer]
            return [replace(_identical(task.one, task.kind), ranking=next(iter(rankings), None))]
        return _told(task.one.name, task.kind, answer, every=self.context.every_part)

    def _index(self, folder: str, one: IndexFolder, two: IndexFolder) -> list[Artifact]:
        size = sum(file.size for side in (one, two) for file in side.files.values())
        try:
            same = same_arrays(one, two)
        except OSError as error:
            return _told(folder, one.kind, told(error), every=False)
        compare = unchanged if same else compare_index_folders
        with self._contents(() if same else (*one.pickled, *two.pickled)) as context:
            (answer,) = answers([Job(size, partial(compare, one, two, context))])
        return _told(folder, one.kind, answer, every=self.context.every_part)

    @contextmanager
    def _contents(self, pickled: Sequence[Path]) -> Iterator[Context]:
        if self.unpack is None or not pickled:
            yield self.context
            return
        with self.unpack(pickled) as contents:
            yield replace(self.context, contents=contents)


def _below_unread(one: Entries, two: Entries) -> dict[str, list[str]]:
    """Folders that could not be read on a side, and what the other side has below them."""
    bad = (entry for side in (one, two) for entry in side.values() if isinstance(entry, Bad))
    found: dict[str, list[str]] = {entry.name: [] for entry in bad if entry.folder}
    if found:
        for name in one.keys() | two.keys():
            above = [str(folder) for folder in PurePosixPath(name).parents]
            outermost = next((folder for folder in reversed(above) if folder in found), None)
            if outermost is not None:
                found[outermost].append(name)
    return found


def _unread(folder: str, names: Sequence[str], one: Entries, two: Entries) -> Artifact:
    sides = [(side, files.get(folder)) for side, files in (("baseline", one), ("candidate", two))]
    said = [f"In the {side}: {bad.reason}" for side, bad in sides if isinstance(bad, Bad)]
    if names:
        many = "1 entry" if len(names) == 1 else f"{len(names):,} entries"
        said.append(f"Not compared: {many} below it on the other side.")
    return _refusal(folder, "folder", " ".join(said))


def _indexes(one: Entries, two: Entries) -> Iterator[tuple[str, tuple[IndexFolder, IndexFolder]]]:
    """Folders that are an index of one kind on both sides, "." for the outermost."""
    ours, theirs = _folders(one), _folders(two)
    for folder in sorted(ours.keys() & theirs.keys()):
        sides = as_index(ours[folder]), as_index(theirs[folder])
        if sides[0] and sides[1] and sides[0].kind == sides[1].kind:
            yield folder, (sides[0], sides[1])


def _folders(files: Entries) -> dict[str, dict[str, File]]:
    found: dict[str, dict[str, File]] = defaultdict(dict)
    for name, file in files.items():
        if isinstance(file, File):
            path = PurePosixPath(name)
            found[str(path.parent)][path.name] = file
    return found


@dataclass(frozen=True, slots=True)
class _Task:
    """Two files to compare by content; ``same`` where their bytes are equal all the same."""

    one: File
    two: File
    comparer: Comparer
    same: bool
    pickled: bool

    @property
    def kind(self) -> str:
        return self.comparer.kind

    def run(self, context: Context) -> Iterable[Found]:
        return self.comparer.compare(self.one, self.two, context)


def _batches(tasks: Iterable[_Task]) -> Iterator[list[_Task]]:
    batch: list[_Task] = []
    size = 0
    for task in tasks:
        more = task.one.size + task.two.size
        if batch and size + more > BATCH:
            yield batch
            batch, size = [], 0
        batch.append(task)
        size += more
    if batch:
        yield batch


def _look(
    one: File | Bad | None, two: File | Bad | None, context: Context, *, unpack: bool
) -> Artifact | _Task:
    """What can be said without reading more than bytes, or what to compare."""
    for entry in (one, two):
        if isinstance(entry, Bad):
            return _refusal(entry.name, "refused", entry.reason)
    assert not isinstance(one, Bad)
    assert not isinstance(two, Bad)
    there = one or two
    assert there is not None
    kind = "refused"
    try:
        comparer = _recognise(there)
        kind = comparer.kind
        if not (one and two):
            return _alone(there, kind, "baseline" if one else "candidate")
        return _pair(one, two, comparer, context, unpack=unpack)
    except Exception as error:  # noqa: BLE001 - comparers of other packages may raise anything
        return _refusal(there.name, kind, told(error).message)


def _alone(file: File, kind: str, side: Side) -> Artifact:
    return Artifact(
        path=file.name,
        kind=kind,
        verdict=Verdict.DIVERGENT,
        summary=f"only in the {side} ({file.size:,} bytes)",
        side=side,
    )


def _pair(
    one: File, two: File, comparer: Comparer, context: Context, *, unpack: bool
) -> Artifact | _Task:
    other = _recognise(two)
    if other.kind != comparer.kind:
        return Artifact(
            path=one.name,
            kind=f"{comparer.kind}, {other.kind}",
            verdict=Verdict.DIVERGENT,
            summary="the two files are of different formats",
        )
    same = same_bytes(one, two)
    # equal rankings have a quality, too
    judged = context.relevance and comparer.kind in (RankingFile.kind, Json.kind)
    if same and not judged:
        return _identical(one, comparer.kind)
    return _Task(one, two, comparer, same, unpack and comparer.kind == TorchFile.kind)


def _identical(file: File, kind: str) -> Artifact:
    return Artifact(
        path=file.name,
        kind=kind,
        verdict=Verdict.IDENTICAL,
        summary=f"every byte is equal ({file.size:,} bytes)",
        changed_fraction=0.0,
    )


def _refusal(name: str, kind: str, reason: str) -> Artifact:
    return Artifact(path=name, kind=kind, verdict=Verdict.NOT_COMPARABLE, summary=reason)


def _told(name: str, kind: str, answer: Answer, *, every: bool) -> list[Artifact]:
    if isinstance(answer, Refused):
        return [_refusal(name, kind, answer.message)]
    return _summed_up(name, kind, answer, every=every)


def _summed_up(name: str, kind: str, found: list[Found], *, every: bool) -> list[Artifact]:
    """The whole itself, then its parts that differ (with ``every``, all of them).

    A file of one unnamed part is just that.
    """
    if len(found) == 1 and not found[0].part:
        (only,) = found
        if only.verdict is Verdict.IDENTICAL:
            only = replace(only, summary=f"{only.summary}; not every byte of the file is")
        return [_artifact(name, only.kind or kind, only)]
    unlike = [part for part in found if part.verdict is not Verdict.IDENTICAL]
    counts = [(part.elements or 0, part.changed_fraction or 0.0) for part in found]
    elements = sum(count for count, _ in counts)
    whole = Found(
        verdict=worst(part.verdict for part in found) or Verdict.IDENTICAL,
        summary=f"{len(unlike):,} of {len(found):,} parts differ"
        if unlike
        else f"all {len(found):,} parts are equal, though not every byte of the file",
        elements=elements,
        changed_fraction=sum(n * share for n, share in counts) / elements if elements else None,
        where=tuple(part.part for part in unlike[:5]),
    )
    return [_artifact(name, kind, part) for part in (whole, *(found if every else unlike))]


def _artifact(path: str, kind: str, found: Found) -> Artifact:
    return Artifact(
        path=path,
        kind=kind,
        verdict=found.verdict,
        summary=found.summary,
        metrics=found.metrics,
        part=found.part,
        elements=found.elements,
        changed_fraction=found.changed_fraction,
        where=found.where,
        side=found.side,
        ranking=found.ranking,
    )


def _recognise(file: File) -> Comparer:
    return next(comparer for comparer in (*registered(), *OWN) if comparer.recognises(file))
