"""Walking two folders: what lies outside is never opened, and one bad file stops nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from forkpoint.artifacts.arrays import BLOCK
from forkpoint.artifacts.comparer import HEAD, Comparer, Context, File, Found, Refused, registered
from forkpoint.artifacts.documents import Json, JsonLines
from forkpoint.artifacts.npy import Npy, Npz
from forkpoint.artifacts.rankings import RankingFile
from forkpoint.artifacts.safetensors import Safetensors
from forkpoint.artifacts.text import PlainText, RawBytes
from forkpoint.artifacts.torch import TorchFile
from forkpoint.compare import worst
from forkpoint.errors import UsageError
from forkpoint.model import Artifact, Verdict

MAX_FILES = 1_000_000

OWN: tuple[Comparer, ...] = (
    Npy(),
    Npz(),
    Safetensors(),
    TorchFile(),
    RankingFile(),
    JsonLines(),
    Json(),
    PlainText(),
    RawBytes(),
)
"""In the order in which they are asked; the last one takes every file."""

Side = Literal["baseline", "candidate"]


@dataclass(frozen=True, slots=True)
class _Bad:
    """An entry of a folder that is not looked into, and why."""

    name: str
    reason: str


def compare_trees(baseline: Path, candidate: Path, context: Context) -> tuple[Artifact, ...]:
    """Compare two folders (or two files), pairing files by their relative path.

    Each file gets an `Artifact`, and each named part that is not identical one more. A file
    that is refused is ``not_comparable`` with its reason. Raises `UsageError` where a path is
    neither a folder nor a file, or one is a folder and the other a file.
    """
    if baseline.is_file() and candidate.is_file():
        one_file, two_file = (_file(path.name, path) for path in (baseline, candidate))
        return tuple(_compare(one_file, two_file, context))
    for path in (baseline, candidate):
        if not path.is_dir():
            raise UsageError(
                f"{path} is not a folder, or not one that can be read.",
                hint="Name two folders, two files, or two recordings.",
            )
    one, two = _entries(baseline), _entries(candidate)
    return tuple(
        artifact
        for name in sorted(one.keys() | two.keys())
        for artifact in _entry(one.get(name), two.get(name), context)
    )


def _entry(one: File | _Bad | None, two: File | _Bad | None, context: Context) -> list[Artifact]:
    for entry in (one, two):
        if isinstance(entry, _Bad):
            return [_refusal(entry.name, "refused", entry.reason)]
    assert not isinstance(one, _Bad)
    assert not isinstance(two, _Bad)
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
    try:
        if not context.relevance and _same_bytes(one, two):
            return [_identical(one, comparer.kind)]
        return _summed_up(one, comparer.kind, list(comparer.compare(one, two, context)))
    except Refused as error:
        return [_refusal(one.name, comparer.kind, error.message)]
    except OSError as error:
        return [_refusal(one.name, comparer.kind, f"It cannot be read: {error.strerror}.")]


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


def _summed_up(file: File, kind: str, found: list[Found]) -> list[Artifact]:
    """The file itself, then its parts that differ; a file of one unnamed part is just that."""
    if len(found) == 1 and not found[0].part:
        return [_artifact(file.name, kind, found[0])]
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
    return [_artifact(file.name, kind, part) for part in (whole, *unlike)]


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


def _same_bytes(one: File, two: File) -> bool:
    """Whether two files are equal, by reading both once at disk speed."""
    if one.size != two.size:
        return False
    buffers = [memoryview(bytearray(BLOCK)) for _ in range(2)]
    with one.open() as b, two.open() as c:
        while True:
            sizes = [_fill(stream, buffer) for stream, buffer in zip((b, c), buffers, strict=True)]
            if sizes[0] != sizes[1] or buffers[0][: sizes[0]] != buffers[1][: sizes[1]]:
                return False
            if not sizes[0]:
                return True


def _fill(stream: object, buffer: memoryview) -> int:
    size = 0
    readinto = stream.readinto  # type: ignore[attr-defined]
    while size < len(buffer) and (got := readinto(buffer[size:])):
        size += got
    return size


def _entries(root: Path) -> dict[str, File | _Bad]:
    found: dict[str, File | _Bad] = {}
    real = root.resolve()
    for name, path in _walk(real):
        if len(found) >= MAX_FILES:
            raise UsageError(
                f"{root} holds more than {MAX_FILES:,} files.", hint="Name a folder inside of it."
            )
        found[name] = _checked(real, name, path)
    return found


def _walk(real: Path) -> Iterator[tuple[str, Path]]:
    """Everything below a folder that is no folder itself; links to folders are not entered."""

    def stop(error: OSError) -> None:
        raise UsageError(
            f"{error.filename} cannot be read: {error.strerror}.", hint="Check its permissions."
        ) from error

    for folder, folders, files in os.walk(real, onerror=stop):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        folders[:] = sorted(set(folders) - set(links))
        for name in sorted((*files, *links)):
            path = Path(folder) / name
            yield os.fsencode(path.relative_to(real)).decode(errors="replace"), path


def _checked(real: Path, name: str, path: Path) -> File | _Bad:
    try:
        target = path.resolve(strict=True)
        if not target.is_relative_to(real):
            return _Bad(name, "It is a link that leads out of the folder, and was not followed.")
        mode = target.stat().st_mode
        if stat.S_ISDIR(mode):
            return _Bad(name, "It is a link to a folder, and was not followed.")
        if not stat.S_ISREG(mode):
            return _Bad(name, "It is no regular file (a pipe, socket or device) and was not read.")
        return _file(name, target)
    except (OSError, RuntimeError) as error:
        return _Bad(name, f"It cannot be read: {getattr(error, 'strerror', None) or error}.")


def _file(name: str, path: Path) -> File:
    with path.open("rb") as stream:
        head = stream.read(HEAD)
        size = os.fstat(stream.fileno()).st_size
    return File(name, path, size, head)
