"""The folder in which a comparison leaves all that it made."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec

from forkpoint.errors import UsageError
from forkpoint.host import Workload, unwritable

FORMAT = "forkpoint.results/1"
PARENT = "forkpoint-results"
OWN_NAMES = frozenset(
    {
        *("results.json", "comparison.json", "audit.json", "report.html"),
        *("recordings", "logs", "artifacts"),
    }
)


class _Marker(msgspec.Struct):
    format: str


@dataclass(frozen=True, slots=True)
class Results:
    """Where the parts of one comparison lie.

    ``results.json`` marks the folder as ours, ``recordings/NAME`` and ``recordings/NAME-detail``
    are the recordings of the first and the second pass, ``logs/`` holds what the script printed.
    """

    folder: Path

    @classmethod
    def create(cls, out: Path | None, workload: Workload, *, force: bool = False) -> Self:
        """Make the folder; the default is ``forkpoint-results/SCRIPT-TIME`` where the caller is.

        Raises `UsageError` where ``out`` holds anything but, with ``force``, older results.
        """
        folder = (out or _fresh(workload.label)).absolute()
        try:
            _make_way(folder, force=force)
            (folder / "recordings").mkdir(parents=True)
            marker = _Marker(FORMAT)
            (folder / "results.json").write_bytes(msgspec.json.encode(marker) + b"\n")
        except OSError as error:
            raise unwritable("The results", folder, error) from error
        return cls(folder)

    def recording(self, name: str, suffix: str = "") -> Path:
        """Where the recording of an environment goes; ``suffix`` tells passes apart."""
        return self.folder / "recordings" / f"{name}{suffix}"

    def logs(self, name: str, suffix: str = "") -> Path:
        """Where the output of that run goes."""
        return self.folder / "logs" / f"{name}{suffix}"

    @property
    def artifacts(self) -> Path:
        """Where the files that the script wrote go, in a folder for each environment."""
        return self.folder / "artifacts"

    @property
    def comparison(self) -> Path:
        """The JSON result."""
        return self.folder / "comparison.json"

    @property
    def audit(self) -> Path:
        """The JSON result of an audit."""
        return self.folder / "audit.json"

    @property
    def report(self) -> Path:
        """Where the HTML report goes by default."""
        return self.folder / "report.html"


def _fresh(label: str) -> Path:
    """A folder name that is not taken, by the time of day."""
    stem = f"{label}-{time.strftime('%Y%m%d-%H%M%S')}"
    candidates = (Path(PARENT) / (f"{stem}-{n}" if n else stem) for n in range(1000))
    return next(path for path in candidates if not path.exists())


def _make_way(folder: Path, *, force: bool) -> None:
    if not os.path.lexists(folder):
        return
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()
        return
    if not _is_ours(folder):
        raise UsageError(
            f"{folder} is in the way, and does not hold results of forkpoint only.",
            hint="Name another folder with --out. forkpoint never deletes what it did not write.",
        )
    if not force:
        raise UsageError(
            f"There are older results in {folder}.",
            hint="Name another folder with --out, or replace them with --force.",
        )
    shutil.rmtree(folder)


def _is_ours(folder: Path) -> bool:
    try:
        marker = msgspec.json.decode((folder / "results.json").read_bytes(), type=_Marker)
        names = {entry.name for entry in folder.iterdir()}
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return False
    return not folder.is_symlink() and marker.format == FORMAT and names <= OWN_NAMES
