"""Walking a folder: what lies outside is never opened, and one bad entry stops nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from forkpoint.artifacts.arrays import BLOCK
from forkpoint.artifacts.comparer import HEAD, NOT_REGULAR, File, open_regular, past_holes
from forkpoint.errors import UsageError

MAX_FILES = 1_000_000


@dataclass(frozen=True, slots=True)
class Bad:
    """An entry of a folder that is not looked into, and why; a whole ``folder``, perhaps."""

    name: str
    reason: str
    folder: bool = False


def entries(root: Path) -> dict[str, File | Bad]:
    """All files below a folder by their relative path; raises `UsageError`."""
    found: dict[str, File | Bad] = {}
    real = root.resolve()
    for path, problem in _walk(real):
        if len(found) >= MAX_FILES:
            raise UsageError(
                f"{root} holds more than {MAX_FILES:,} files.", hint="Name a folder inside of it."
            )
        name = str(path.relative_to(real))  # bytes that are no text are surrogates
        found[name] = Bad(name, problem, folder=True) if problem else _checked(real, name, path)
    return found


def file_at(name: str, path: Path) -> File:
    """A regular file, with its first bytes; raises `OSError` where it is none."""
    with open_regular(path) as stream:
        head = stream.read(HEAD)
        size = os.fstat(stream.fileno()).st_size
    return File(name, path, size, head)


def same_bytes(one: File, two: File) -> bool:
    """Whether two files are equal, by reading both once at disk speed."""
    if one.size != two.size:
        return False
    buffers = bytearray(BLOCK), bytearray(BLOCK)  # these are compared at the memory's speed
    with one.open() as b, two.open() as c:
        at = 0
        while (at := past_holes((b, c), at, one.size)) < one.size:
            b.seek(at)
            c.seek(at)
            sizes = [_fill(stream, buffer) for stream, buffer in zip((b, c), buffers, strict=True)]
            ours, theirs = (
                buffer if size == BLOCK else buffer[:size]
                for buffer, size in zip(buffers, sizes, strict=True)
            )
            if ours != theirs:
                return False
            if not sizes[0]:
                return False  # both became shorter
            at += sizes[0]
    return True


def _fill(stream: object, buffer: bytearray) -> int:
    size = 0
    readinto = stream.readinto  # type: ignore[attr-defined]
    with memoryview(buffer) as view:
        while size < len(view) and (got := readinto(view[size:])):
            size += got
    return size


def _walk(real: Path) -> Iterator[tuple[Path, str]]:
    """Everything below a folder that is no folder itself; links to folders are not entered.

    A folder that cannot be read comes with what is wrong with it; the outermost one raises
    `UsageError`. Not by recursion: folders may lie thousands deep.
    """
    waiting = [real]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as listed:
                inside = sorted((e.name, e.is_dir(follow_symlinks=False)) for e in listed)
        except OSError as error:
            if folder == real:
                raise UsageError(
                    f"{folder} cannot be read: {error.strerror}.", hint="Check its permissions."
                ) from error
            yield folder, f"The folder cannot be read: {error.strerror}."
            continue
        for name, is_folder in inside:
            if is_folder:
                waiting.append(folder / name)
            else:
                yield folder / name, ""


def _checked(real: Path, name: str, path: Path) -> File | Bad:
    try:
        target = path.resolve(strict=True)
        if not target.is_relative_to(real):
            return Bad(name, "It is a link that leads out of the folder, and was not followed.")
        mode = target.stat().st_mode
        if stat.S_ISDIR(mode):
            return Bad(name, "It is a link to a folder, and was not followed.")
        if not stat.S_ISREG(mode):  # a device is not even opened
            return Bad(name, f"It is {NOT_REGULAR} and was not read.")
        return file_at(name, target)
    except (OSError, RuntimeError, ValueError) as error:
        return Bad(name, f"It cannot be read: {getattr(error, 'strerror', None) or error}.")
