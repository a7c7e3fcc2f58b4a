"""What a format's comparer is: how it is chosen, what it is given, what it finds.

A package adds a format by an entry point in the group ``forkpoint.artifacts`` that names a
class whose objects are a `Comparer`, made without arguments. The first one that recognises a
file is used: those of other packages, by the entry points' names, before forkpoint's own.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from io import FileIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, Protocol

from forkpoint.errors import ForkpointError
from forkpoint.model import Metrics, RankingMetrics, Tolerance, Verdict

if TYPE_CHECKING:
    from forkpoint.artifacts.unpacking import Contents

GROUP = "forkpoint.artifacts"
Side = Literal["baseline", "candidate"]
HEAD = 4096
"""Bytes of a file that a comparer sees before it says whether the format is its own."""

NOT_REGULAR = "no regular file (a pipe, socket or device)"


class Refused(ForkpointError):
    """A file is damaged, too large to take apart, or unsafe; the message says which."""


@dataclass(frozen=True, slots=True)
class File:
    """One regular file: ``name`` as the run wrote it, ``path`` where it really is."""

    name: str
    path: Path
    size: int
    head: bytes

    @property
    def suffix(self) -> str:
        """The suffix in lower case, with its dot."""
        return Path(self.name).suffix.lower()

    def open(self) -> FileIO:
        """The file from its start, unbuffered: comparers read large blocks."""
        return open_regular(self.path)

    def read(self) -> bytes:
        """All of its bytes; raises `Refused` where there are more or fewer than there were."""
        with self.open() as stream:
            data = stream.read(self.size + 1)
        if len(data) != self.size:
            raise Refused(
                "It was written to while it was read.",
                hint="Let the program that writes it end, and compare again.",
            )
        return data


def open_regular(path: Path) -> FileIO:
    """A regular file, unbuffered; raises `OSError` for a link, a pipe, or a device.

    Never waits, and follows no link on the way, if the path is absolute: what was a file or a
    folder when the folder was listed may be anything by now.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
    folder = _folder(path.parent) if path.is_absolute() and _BY_FOLDER else None
    try:
        name = path if folder is None else path.name
        opened = os.open(name, flags, dir_fd=folder)
    finally:
        if folder is not None:
            os.close(folder)
    stream = FileIO(opened, "rb")
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        stream.close()
        raise OSError(errno.EINVAL, f"it is {NOT_REGULAR}", str(path))
    return stream


_BY_FOLDER = os.open in os.supports_dir_fd and hasattr(os, "O_PATH")


def _folder(path: Path) -> int:
    """A descriptor of a folder, reached through folders only."""
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW  # no permission to list is needed
    at = os.open(path.anchor, flags)
    for step in path.parts[1:]:
        try:
            below = os.open(step, flags, dir_fd=at)
        finally:
            os.close(at)
        at = below
    return at


def past_holes(streams: Sequence[IO[bytes]], at: int, end: int) -> int:
    """The first place from ``at`` on, below ``end``, where any of the files has bytes on disk.

    What lies before it are holes in all of them, which read as zeros. ``at`` itself where the
    system cannot tell. Streams stand anywhere afterwards.
    """
    found = end
    for stream in streams:
        try:
            found = min(found, os.lseek(stream.fileno(), at, os.SEEK_DATA))
        except (OSError, AttributeError) as error:
            if not isinstance(error, OSError) or error.errno != errno.ENXIO:
                return at
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found of one file, or of one named ``part`` of it.

    ``elements`` is the number of values compared and ``changed_fraction`` the share of them
    that changed; ``where`` names the first few, and ``side`` is set where only one run has
    the part. ``kind`` is set where a file turned out to be of another kind than its name tells.
    """

    verdict: Verdict
    summary: str
    part: str = ""
    metrics: Metrics | None = None
    elements: int | None = None
    changed_fraction: float | None = None
    where: tuple[str, ...] = ()
    side: Side | None = None
    ranking: RankingMetrics | None = None
    kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What comparers share: the tolerance, and relevance judgements where there are any.

    ``relevance`` maps a query to its documents' grades. ``contents`` has the files of
    ``torch.save`` that were read elsewhere, by path, and is None where nobody can read them.
    With ``every_part``, parts of a file that are identical are listed beside those that are not.
    """

    tolerance: Tolerance
    relevance: Mapping[str, Mapping[str, int]] | None = None
    contents: Mapping[Path, Contents | Refused] | None = None
    every_part: bool = False


class Comparer(Protocol):
    """Compares two files of one format."""

    @property
    def kind(self) -> str:
        """The format's short name, as results show it: ``npy``."""

    def recognises(self, file: File, /) -> bool:
        """Whether a file is of this format, by its first bytes and its name."""

    def compare(self, baseline: File, candidate: File, context: Context, /) -> Iterator[Found]:
        """Compare two files whose bytes differ, in bounded memory.

        Raises `Refused` where a file is damaged or unsafe.
        """


@cache
def registered() -> tuple[Comparer, ...]:
    """The comparers of other packages, by the names of their entry points.

    Raises `Refused` where one cannot be loaded.
    """
    found = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    return tuple(_load(one)() for one in found)


def _load(entry: EntryPoint) -> Callable[[], Comparer]:
    try:
        loaded: Callable[[], Comparer] = entry.load()
    except (ImportError, AttributeError) as error:
        raise Refused(
            f"The comparer {entry.name!r} ({entry.value}) cannot be loaded: {error}.",
            hint="It comes from another package: update or remove that package.",
        ) from error
    return loaded
