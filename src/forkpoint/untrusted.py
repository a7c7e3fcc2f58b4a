"""Opening files that may come from anybody: regular files of a bounded size, and never a wait.

A pipe without a writer blocks for ever, a device may have no end, and a link may lead to either,
or to a file that is no part of what the user named. Everything on the host that reads recordings,
capsules, results, settings or files to compare opens them here.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from forkpoint.errors import ForkpointError, UsageError

T = TypeVar("T")

Refusal = type[ForkpointError]
"""The class of error in which the caller says that a file is not read."""

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_COPY = "Only regular files are read: copy what it holds into one."
_LONGEST = 500  # letters of a decoder's message


def open_file(
    path: Path,
    *,
    refusal: Refusal = UsageError,
    inside: Path | None = None,
    named: bool = False,
) -> BinaryIO:
    """Open a regular file for reading, at once or not at all.

    A link is refused, unless the user ``named`` this very file, or it stays below the folder
    ``inside``. Raises `FileNotFoundError` (`NotADirectoryError`) where nothing is there, and
    ``refusal``, which names the file, for whatever else is no regular file or cannot be opened.
    """
    target = os.fspath(path) if inside is None else _below(path, inside, refusal)
    flags = _FLAGS if named else _FLAGS | os.O_NOFOLLOW
    try:
        descriptor = os.open(target, flags)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except (OSError, ValueError) as error:  # a name with NUL in it is a ValueError
        raise _unopened(path, error, refusal) from error
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise refusal(f"{path} is {kind_of(mode)} and no regular file.", hint=_COPY)


def read_file(
    path: Path,
    *,
    most: int,
    refusal: Refusal = UsageError,
    inside: Path | None = None,
    named: bool = False,
) -> bytes:
    """The content of a regular file of at most ``most`` bytes; raises as `open_file` does."""
    with open_file(path, refusal=refusal, inside=inside, named=named) as stream:
        try:
            size = os.fstat(stream.fileno()).st_size
            # some files of the system have no size and no end
            data = stream.read(most + 1) if size <= most else b""
        except OSError as error:
            raise refusal(f"{path} cannot be read: {error.strerror or error}.") from error
    if size > most or data is None or len(data) > most:
        raise refusal(
            f"{path} is too large: it has more than {most:,} bytes.",
            hint="A file of this kind is never that large: it was damaged, or made by hand.",
        )
    return data


def read_json(
    path: Path,
    kind: type[T],
    *,
    most: int,
    refusal: Refusal = UsageError,
    named: bool = False,
    hint: str = "",
) -> T:
    """The content of a small JSON file as a value of ``kind``; raises as `read_file` does.

    What is no JSON, nests too deeply or does not fit ``kind`` is a ``refusal``, too.
    """
    return decode_json(
        read_file(path, most=most, refusal=refusal, named=named),
        kind,
        path=path,
        refusal=refusal,
        hint=hint,
    )


def decode_json(
    data: bytes, kind: type[T], *, path: Path, refusal: Refusal = UsageError, hint: str = ""
) -> T:
    """JSON as a value of ``kind``; raises ``refusal``, which names the file it is from."""
    try:
        return msgspec.json.decode(data, type=kind)
    except RecursionError:
        problem = "it nests too deeply"
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        problem = str(error)[:_LONGEST]
    raise refusal(f"{path} cannot be read: {problem}.", hint=hint)


def kind_of(mode: int) -> str:
    """What a file is, by the mode that `os.stat` gives: "a pipe"; "a regular file" for those."""
    return next((name for test, name in _KINDS if test(mode)), "a regular file")


def _below(path: Path, folder: Path, refusal: Refusal) -> str:
    """Where a path leads, which must not be out of the folder."""
    real, root = os.path.realpath(path), os.path.realpath(folder)
    if os.path.commonpath((real, root)) != root:
        raise refusal(
            f"{path} is a link that leads out of {folder}.",
            hint="Links are followed inside of a folder only: copy the file into it.",
        )
    return real


def _unopened(path: Path, error: OSError | ValueError, refusal: Refusal) -> ForkpointError:
    """Why a file could not be opened; a socket, and a link that is not followed, are such."""
    try:
        mode = os.lstat(path).st_mode
    except (OSError, ValueError):
        mode = stat.S_IFREG
    if not stat.S_ISREG(mode):
        return refusal(f"{path} is {kind_of(mode)} and no regular file.", hint=_COPY)
    reason = getattr(error, "strerror", None) or error
    return refusal(f"{path} cannot be read: {reason}.", hint="Check that path and its permissions.")
