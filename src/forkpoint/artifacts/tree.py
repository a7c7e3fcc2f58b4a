"""Comparing two folders, or two files: pairing, choosing a comparer, summing up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TypeGuard

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
from forkpoint.artifacts.rankings import RankingFile
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
        found: dict[str, list[Artifact]] = {}
        inside: set[str] = set()
        for folder, sides in _indexes(one, two):
            found[folder] = self._index(folder, *sides)
            inside.update(file.name for side in sides for file in side.files.values())
        unread = _below_unread(one, two)
        found |= {folder: [_unread(folder, names, one, two)] for folder, names in unread.items()}
        inside.update(name for names in unread.values() for name in names)
        pickled: list[tuple[File, File]] = []
        for name in (one.keys() | two.keys()) - inside - unread.keys():
            pair = one.get(name), two.get(name)
            if self.unpack and _are_pickles(pair):
                pickled.append(pair)
            else:
                found[name] = _entry(*pair, self.context)
        for pair, artifacts in self._pickles(sorted(pickled, key=lambda pair: pair[0].name)):
            found[pair[0].name] = artifacts
        return tuple(artifact for name in sorted(found) for artifact in found[name])

    def _pickles(
        self, pairs: list[tuple[File, File]]
    ) -> Iterator[tuple[tuple[File, File], list[Artifact]]]:
        """Compare files of ``torch.save``, as many at a time as `BATCH` allows."""
        unlike = []
        for pair in pairs:
            try:
                same = same_bytes(*pair)
            except OSError as error:
                yield pair, [_failed(pair[0].name, TorchFile.kind, error)]
                continue
            if same:
                yield pair, [_identical(pair[0], TorchFile.kind)]
            else:
                unlike.append(pair)
        for batch in _batches(unlike):
            with self._contents([file.path for pair in batch for file in pair]) as context:
                for pair in batch:
                    yield pair, _by_content(_recognise(pair[0]), *pair, context)

    def _index(self, folder: str, one: IndexFolder, two: IndexFolder) -> list[Artifact]:
        try:
            if same_arrays(one, two):
                found = list(unchanged(one, two, self.context))
            else:
                with self._contents((*one.pickled, *two.pickled)) as context:
                    found = list(compare_index_folders(one, two, context))
        except (Refused, OSError, MemoryError) as error:
            return [_failed(folder, one.kind, error)]
        return _summed_up(folder, one.kind, found, every=self.context.every_part)

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


def _are_pickles(pair: tuple[File | Bad | None, File | Bad | None]) -> TypeGuard[tuple[File, File]]:
    return all(isinstance(file, File) and _recognise(file).kind == TorchFile.kind for file in pair)


def _batches(pairs: Iterable[tuple[File, File]]) -> Iterator[list[tuple[File, File]]]:
    batch: list[tuple[File, File]] = []
    size = 0
    for pair in pairs:
        more = sum(file.size for file in pair)
        if batch and size + more > BATCH:
            yield batch
            batch, size = [], 0
        batch.append(pair)
        size += more
    if batch:
        yield batch


def _entry(one: File | Bad | None, two: File | Bad | None, context: Context) -> list[Artifact]:
    for entry in (one, two):
        if isinstance(entry, Bad):
            return [_refusal(entry.name, "refused", entry.reason)]
    assert not isinstance(one, Bad)
    assert not isinstance(two, Bad)
    if one and two:
        return _compare(one, two, context)
    there = one or two
    assert there is not None
    side: Side = "baseline" if one else "candidate"
    return [
        Artifact(
            path=there.name,
            kind=_recognise(there).kind,
            verdict=Verdict.DIVERGENT,
            summary=f"only in the {side} ({there.size:,} bytes)",
            side=side,
        )
    ]


def _compare(one: File, two: File, context: Context) -> list[Artifact]:
    comparer = _recognise(one)
    if _recognise(two).kind != comparer.kind:
        return [
            Artifact(
                path=one.name,
                kind=f"{comparer.kind}, {_recognise(two).kind}",
                verdict=Verdict.DIVERGENT,
                summary="the two files are of different formats",
            )
        ]
    # equal rankings have a quality, too
    judged = context.relevance and comparer.kind == RankingFile.kind
    try:
        if not judged and same_bytes(one, two):
            return [_identical(one, comparer.kind)]
    except OSError as error:
        return [_failed(one.name, comparer.kind, error)]
    return _by_content(comparer, one, two, context)


def _by_content(comparer: Comparer, one: File, two: File, context: Context) -> list[Artifact]:
    try:
        found = list(comparer.compare(one, two, context))
    except (Refused, OSError, MemoryError) as error:
        return [_failed(one.name, comparer.kind, error)]
    return _summed_up(one.name, comparer.kind, found, every=context.every_part)


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


def _failed(name: str, kind: str, error: Refused | OSError | MemoryError) -> Artifact:
    if isinstance(error, Refused):
        return _refusal(name, kind, error.message)
    if isinstance(error, MemoryError):
        return _refusal(name, kind, "Comparing it takes more memory than there is, or than it may.")
    return _refusal(name, kind, f"It cannot be read: {error.strerror or error}.")


def _summed_up(name: str, kind: str, found: list[Found], *, every: bool) -> list[Artifact]:
    """The whole itself, then its parts that differ (with ``every``, all of them).

    A file of one unnamed part is just that.
    """
    if len(found) == 1 and not found[0].part:
        return [_artifact(name, kind, found[0])]
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
