"""Walking a folder: what lies outside is never opened, and one bad entry stops nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from forkpoint.artifacts.arrays import BLOCK
from forkpoint.artifacts.comparer import HEAD, File
from forkpoint.errors import UsageError

MAX_FILES = 1_000_000


@dataclass(frozen=True, slots=True)
class Bad:
    """An entry of a folder that is not looked into, and why."""

    name: str
    reason: str


def entries(root: Path) -> dict[str, File | Bad]:
    """All files below a folder by their relative path; raises `UsageError`."""
    found: dict[str, File | Bad] = {}
    real = root.resolve()
    for name, path in _walk(real):
        if len(found) >= MAX_FILES:
            raise UsageError(
                f"{root} holds more than {MAX_FILES:,} files.", hint="Name a folder inside of it."
            )
        found[name] = _checked(real, name, path)
    return found


def file_at(name: str, path: Path) -> File:
    """A regular file, with its first bytes."""
    with path.open("rb") as stream:
        head = stream.read(HEAD)
        size = os.fstat(stream.fileno()).st_size
    return File(name, path, size, head)


def same_bytes(one: File, two: File) -> bool:
    """Whether two files are equal, by reading both once at disk speed."""
    if one.size != two.size:
        return False
    buffers = bytearray(BLOCK), bytearray(BLOCK)  # these are compared at the memory's speed
    with one.open() as b, two.open() as c:
        while True:
            sizes = [_fill(stream, buffer) for stream, buffer in zip((b, c), buffers, strict=True)]
            ours, theirs = (
                buffer if size == BLOCK else buffer[:size]
                for buffer, size in zip(buffers, sizes, strict=True)
            )
            if ours != theirs:
                return False
            if not sizes[0]:
                return True


def _fill(stream: object, buffer: bytearray) -> int:
    size = 0
    readinto = stream.readinto  # type: ignore[attr-defined]
    with memoryview(buffer) as view:
        while size < len(view) and (got := readinto(view[size:])):
            size += got
    return size


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


def _checked(real: Path, name: str, path: Path) -> File | Bad:
    try:
        target = path.resolve(strict=True)
        if not target.is_relative_to(real):
            return Bad(name, "It is a link that leads out of the folder, and was not followed.")
        mode = target.stat().st_mode
        if stat.S_ISDIR(mode):
            return Bad(name, "It is a link to a folder, and was not followed.")
        if not stat.S_ISREG(mode):
            return Bad(name, "It is no regular file (a pipe, socket or device) and was not read.")
        return file_at(name, target)
    except (OSError, RuntimeError) as error:
        return Bad(name, f"It cannot be read: {getattr(error, 'strerror', None) or error}.")
