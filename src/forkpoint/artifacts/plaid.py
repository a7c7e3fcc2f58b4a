"""Folders that are late-interaction indexes, as colbert-ai, fast-plaid and PyLate write them.

Such a folder is one artifact, compared by what it means (`indexes`), in place of its files.
colbert-ai's are files of ``torch.save``, which a worker has to read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from forkpoint.artifacts.arrays import MAX_WHERE, measured, share
from forkpoint.artifacts.changes import Changes
from forkpoint.artifacts.comparer import Context, File, Found, Refused
from forkpoint.artifacts.documents import MAX_DOCUMENT, parse
from forkpoint.artifacts.index_files import (
    FILES,
    assemble,
    chunk_numbers,
    mapped,
    read_array,
)
from forkpoint.artifacts.indexes import Array, Index, IndexDifference, compare_indexes
from forkpoint.artifacts.torch import contents_of
from forkpoint.artifacts.walk import same_bytes
from forkpoint.compare import compare_arrays, limits_for
from forkpoint.errors import ForkpointError
from forkpoint.model import Verdict
from forkpoint_worker.limits import memory_limit

MAX_MEMORY = 4 << 30
"""Bytes that comparing two indexes may take; it takes far less, if they are what they claim."""

_WHOLE = {
    "plaid": frozenset({*FILES.values(), "0.codes.npy", "0.residuals.npy", "doclens.0.json"}),
    "colbert": frozenset(
        {"centroids.pt", "buckets.pt", "avg_residual.pt", "ivf.pid.pt"}
        | {"0.codes.pt", "0.residuals.pt", "doclens.0.json"}
    ),
}
_CHUNK = re.compile(r"[0-9]+\.(codes|residuals)\.(npy|pt)|doclens\.[0-9]+\.json")
_METADATA = re.compile(r"([0-9]+\.)?metadata\.json|plan\.json")
_NOISE = re.compile(r"config|.*time.*|created.*|updated.*", re.IGNORECASE)
"""Keys of an index's metadata that say how and when it was made, not what it holds."""


@dataclass(frozen=True, slots=True)
class IndexFolder:
    """The files of one index, by their names inside of the folder."""

    kind: str
    files: Mapping[str, File]

    @property
    def pickled(self) -> tuple[Path, ...]:
        """Files that a worker has to read."""
        return tuple(file.path for name, file in self.files.items() if name.endswith(".pt"))


def as_index(files: Mapping[str, File]) -> IndexFolder | None:
    """The index that a folder's files make, without those that are none of its own, or None.

    Links are not part of one: each of its files lies in the folder itself.
    """
    plain = {name: file for name, file in files.items() if file.path.name == name}
    for kind, needed in _WHOLE.items():
        if needed <= plain.keys():
            suffix = ".npy" if kind == "plaid" else ".pt"
            own = {
                name: file
                for name, file in plain.items()
                if name in needed
                or (_CHUNK.fullmatch(name) and name.endswith((suffix, ".json")))
                or _METADATA.fullmatch(name)
            }
            return IndexFolder(kind, own)
    return None


def same_arrays(one: IndexFolder, two: IndexFolder) -> bool:
    """Whether all files but the metadata are equal, byte for byte."""
    ours, theirs = (
        {name: file for name, file in side.files.items() if not _METADATA.fullmatch(name)}
        for side in (one, two)
    )
    return ours.keys() == theirs.keys() and all(
        same_bytes(file, theirs[name]) for name, file in ours.items()
    )


def unchanged(one: IndexFolder, two: IndexFolder, context: Context) -> Iterator[Found]:
    """What there is to say where `same_arrays` holds."""
    text = "every byte of its arrays is equal"
    yield Found(part="arrays", verdict=Verdict.IDENTICAL, summary=text)
    yield _metadata(one, two, context)


def compare_index_folders(
    baseline: IndexFolder, candidate: IndexFolder, context: Context
) -> Iterator[Found]:
    """Compare two indexes of one kind, stage by stage, then their metadata.

    Raises `Refused` where one is damaged, or holds pickles that nobody has read.
    """
    try:
        with memory_limit(MAX_MEMORY):
            one, two = (_read(side, context) for side in (baseline, candidate))
            unlike = _layouts(one, two)
            if unlike:
                yield Found(verdict=Verdict.DIVERGENT, part="layout", summary=unlike)
            else:
                yield from _stages(one, two, context)
    except ForkpointError as error:
        raise Refused(error.message, hint=error.hint) from error
    yield _metadata(baseline, candidate, context)


_PARTS: dict[str, dict[str, tuple[str, str]]] = {
    "plaid": {name: (file, "") for name, file in FILES.items()},
    "colbert": {
        "centroids": ("centroids.pt", ""),
        "cutoffs": ("buckets.pt", "[0]"),
        "weights": ("buckets.pt", "[1]"),
        "avg_residual": ("avg_residual.pt", ""),
        "ivf": ("ivf.pid.pt", "[0]"),
        "ivf_lengths": ("ivf.pid.pt", "[1]"),
    },
}
"""Where each part of an index lies: a file, and the place of a tensor in it."""


def _read(side: IndexFolder, context: Context) -> Index:
    """The index in these files, and in no others that may lie beside them."""
    suffix = ".npy" if side.kind == "plaid" else ".pt"
    load = partial(_load, side, context)
    return assemble(
        chunk_numbers([name for name in side.files if name.endswith(f".codes{suffix}")]),
        part=lambda name: load(*_PARTS[side.kind][name]),
        chunk=lambda name: load(name + suffix),
        doclens=lambda name: _file(side, name).path,
    )


def _file(side: IndexFolder, name: str) -> File:
    if name not in side.files:
        raise Refused(f"This index has no {name}.", hint="Write it again.")
    return side.files[name]


def _load(side: IndexFolder, context: Context, name: str, part: str = "") -> Array:
    file = _file(side, name)
    if side.kind == "plaid":
        return read_array(file.path)
    tensors = contents_of(file, context).tensors
    if part not in tensors:
        raise Refused(f"{name} is not as colbert-ai writes it.", hint="Write it again.")
    return mapped(tensors[part])


def _layouts(one: Index, two: Index) -> str:
    """What makes two indexes impossible to pair up, in words."""
    sizes = [(index.centroids.shape[1], index.bits) for index in (one, two)]
    return (
        ""
        if sizes[0] == sizes[1]
        else (
            f"{sizes[0][0]} dimensions of {sizes[0][1]} bits and "
            f"{sizes[1][0]} of {sizes[1][1]}: nothing to pair up"
        )
    )


_COUNTED: tuple[tuple[str, str, Callable[[IndexDifference], tuple[int, int]]], ...] = (
    ("doclens", "documents have another length", lambda found: found.doclens),
    ("codes", "embeddings have another nearest centroid", lambda found: found.codes),
    ("residuals", "coordinates under equal codes changed", lambda found: found.residuals),
    ("ivf", "inverted lists hold other documents", lambda found: found.lists),
    ("documents", "documents have a change in code or residual", lambda found: found.documents),
)


def _stages(one: Index, two: Index, context: Context) -> Iterator[Found]:
    found = compare_indexes(one, two)
    if found.permuted:
        text = "the same rows, numbered otherwise; codes and lists were renumbered"
        yield Found(part="centroids", verdict=Verdict.IDENTICAL, summary=text)
    else:
        centroids = _floats("centroids", one.centroids, two.centroids, context)
        changed, rows = found.centroids
        if changed and centroids.metrics is not None:
            text = f"{changed:,} of {rows:,} rows; {centroids.summary}"
            centroids = replace(centroids, summary=text)
        yield centroids
    yield _floats("bucket_cutoffs", one.cutoffs, two.cutoffs, context)
    yield _floats("bucket_weights", one.weights, two.weights, context)
    yield _floats("avg_residual", one.avg_residual, two.avg_residual, context)
    yield from _dtypes(one, two)
    for part, words, count in _COUNTED:
        yield _counted(part, words, *count(found))
    for side, names in (("baseline", found.only_baseline), ("candidate", found.only_candidate)):
        if names:
            text = f"{len(names):,} documents only in the {side}"
            where = tuple(f"document {name}" for name in names[:MAX_WHERE])
            yield Found(part=text, verdict=Verdict.DIVERGENT, summary=text, where=where)


def _dtypes(one: Index, two: Index) -> Iterator[Found]:
    """Whole numbers of another dtype: they may be equal, and their files are not."""
    for part, b, c in (("codes", one.codes, two.codes), ("ivf", one.ivf, two.ivf)):
        if b.dtype != c.dtype:
            text = f"stored as {b.dtype.str} and {c.dtype.str}"
            yield Found(part=f"{part} dtype", verdict=Verdict.DIVERGENT, summary=text)


def _floats(part: str, one: Array, two: Array, context: Context) -> Found:
    if (one.shape, one.dtype) != (two.shape, two.dtype):
        text = f"{one.dtype}{list(one.shape)} and {two.dtype}{list(two.shape)}"
        return Found(part=part, verdict=Verdict.DIVERGENT, summary=f"{text}: nothing to pair up")
    limits = limits_for(context.tolerance, part, one.dtype.name)
    metrics = compare_arrays(one, two, limits=limits)
    return measured(part, f"{one.dtype}{list(one.shape)}", metrics)


def _counted(part: str, words: str, changed: int, total: int) -> Found:
    return Found(
        part=part,
        verdict=Verdict.DIVERGENT if changed else Verdict.IDENTICAL,
        summary=f"{changed:,} of {total:,} ({share(changed / max(total, 1))}) {words}",
        elements=total,
        changed_fraction=changed / max(total, 1),
    )


def _metadata(baseline: IndexFolder, candidate: IndexFolder, context: Context) -> Found:
    changes = Changes(context)
    one, two = (_documents(side) for side in (baseline, candidate))
    for name in sorted(one.keys() | two.keys()):
        if name in one and name in two:
            changes.walk(f".{name}", one[name], two[name])
        else:
            changes.change(f".{name}", "only in one file")
    found = changes.found()
    same = found.verdict is Verdict.IDENTICAL
    text = "every value is equal" if same else found.summary
    return replace(found, part="metadata", summary=f"{text} (configuration and times left out)")


def _documents(side: IndexFolder) -> dict[str, Any]:
    return {
        name: _quiet(_document(file))
        for name, file in side.files.items()
        if _METADATA.fullmatch(name)
    }


def _document(file: File) -> Any:
    if file.size > MAX_DOCUMENT:
        raise Refused(f"{file.name} has {file.size:,} bytes.", hint="Is the index whole?")
    return parse(file.read())


def _quiet(document: Any) -> Any:
    """The document without its noise; only the outermost keys are looked at."""
    if not isinstance(document, dict):
        return document
    return {key: value for key, value in document.items() if not _NOISE.fullmatch(key)}
