"""``manifest.json``: what was recorded, by what, and whether to its end."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from forkpoint.errors import RecordingError
from forkpoint.untrusted import decode_json, kind_of, read_file
from forkpoint_worker.schema import FORMAT

MAX_BYTES = 16 << 20

_RECORD_AGAIN = "Record it again, or copy the whole folder again."


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptError:
    """The exception that ended the script."""

    type: str
    message: str
    traceback: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """How digests were made: recordings whose digests have other names cannot be compared."""

    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The tolerance that a recording's metrics were measured with (see `model.Tolerance`)."""

    limits: dict[str, tuple[float, float]] = field(default_factory=dict)
    outputs: dict[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The manifest of a recording of format 1; keys that it does not know are passed over.

    ``complete`` is false for a run that did not reach its end. ``started`` is the start as the
    worker wrote it, ``seconds`` the run time; ``tolerance`` is null where nothing was measured.
    """

    format: str
    complete: bool
    name: str = ""
    level: str = ""
    status: str | None = None
    script: str | None = None
    argv: tuple[str, ...] = ()
    settings: dict[str, str | int | float | bool | None] = field(default_factory=dict)
    steps: int | None = None
    fingerprint: dict[str, str] = field(default_factory=dict)
    digest: Digest = Digest()
    error: ScriptError | None = None
    started: str | float | None = None
    seconds: float | None = None
    tolerance: Limits | None = None


class _Header(msgspec.Struct):
    format: str


def read_manifest(folder: Path) -> Manifest:
    """Read and check ``folder/manifest.json``.

    Raises `RecordingError` where it is missing, too large, not JSON, of another format, or
    has a value of the wrong type.
    """
    path = folder / "manifest.json"
    regular_file_size(path)  # its words for a link and for what is missing
    data = read_file(path, most=MAX_BYTES, refusal=RecordingError)
    header = decode_json(data, _Header, path=path, refusal=RecordingError, hint=_RECORD_AGAIN)
    if header.format != FORMAT:
        raise _other_format(path, header.format)
    return decode_json(data, Manifest, path=path, refusal=RecordingError, hint=_RECORD_AGAIN)


def regular_file_size(path: Path) -> int:
    """The size of a regular file in bytes; symbolic links and others are refused.

    Raises `RecordingError` for anything but a regular file that can be looked at.
    """
    try:
        status = path.lstat()
    except FileNotFoundError as error:
        raise RecordingError(f"{path} is missing", hint=_RECORD_AGAIN) from error
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise RecordingError(
            f"{path} is {kind_of(status.st_mode)} and not a regular file",
            hint="Links in a recording are not followed: copy the whole folder again.",
        )
    return status.st_size


def _other_format(path: Path, found: str) -> RecordingError:
    shown = found[:80]
    if found.startswith("forkpoint.recording/"):
        return RecordingError(
            f"{path} has format {shown!r}; this forkpoint reads {FORMAT!r}",
            hint="Read it with the forkpoint that wrote it, or record it again with this one.",
        )
    return RecordingError(
        f"{path} has format {shown!r}, which is not a forkpoint recording",
        hint="Name a folder that `forkpoint record --out` wrote.",
    )
