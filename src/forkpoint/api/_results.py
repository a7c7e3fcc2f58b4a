"""The folder in which a comparison leaves all that it made."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec

from forkpoint.environments import Environment
from forkpoint.errors import UsageError
from forkpoint.host import Workload, unwritable
from forkpoint.model import Tolerance

FORMAT = "forkpoint.results/1"
DETAIL, BARE, SEARCH, SWAP = "-detail", "-bare", "-search", "-swap"
"""Ends of names: recordings of the second pass, of the bare run, and logs of the search and of
runs with swapped results."""

PARENT = "forkpoint-results"
OWN_NAMES = frozenset(
    {
        *("results.json", "request.json", "comparison.json", "audit.json", "report.html"),
        *("recordings", "logs", "artifacts", "capsules", "search"),
    }
)


class _Marker(msgspec.Struct):
    format: str


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a comparison was asked to do: enough to ask for it again.

    ``environments`` are pairs of a name and a spec's text; paths are absolute.
    """

    script: str | None
    module: str | None
    argv: tuple[str, ...]
    cwd: str
    environments: tuple[tuple[str, str], ...]
    tolerance: Tolerance

    @property
    def workload(self) -> Workload:
        """The script or module; raises `UsageError` where it is gone."""
        script = Path(self.script) if self.script is not None else None
        return Workload(script=script, module=self.module, argv=self.argv, cwd=Path(self.cwd))


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

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The results in a folder; raises `UsageError` where it holds none."""
        if not _is_ours(folder):
            raise UsageError(
                f"{folder} does not hold the results of a comparison.",
                hint="Name a folder that 'forkpoint compare' made; it prints its name at the end.",
            )
        return cls(folder.absolute())

    def remember(
        self, workload: Workload, environments: Sequence[Environment], tolerance: Tolerance
    ) -> None:
        """Write down what was asked for, so that `request` can tell."""
        asked = Request(
            script=None if workload.script is None else str(workload.script.absolute()),
            module=workload.module,
            argv=workload.argv,
            cwd=str(workload.cwd.absolute()),
            environments=tuple((one.name, one.spec.text) for one in environments),
            tolerance=tolerance,
        )
        (self.folder / "request.json").write_bytes(msgspec.json.encode(asked) + b"\n")

    def request(self) -> Request:
        """What was asked for; raises `UsageError` where that was not written down."""
        path = self.folder / "request.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Request)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{path} cannot be read: {error}",
                hint="Results of older versions have none: run 'forkpoint compare' again.",
            ) from error

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
    def capsules(self) -> Path:
        """Where a captured call of each origin goes."""
        return self.folder / "capsules"

    @property
    def search(self) -> Path:
        """Where the recordings of the search for origins lie meanwhile.

        Beside ``recordings``, not in it: an environment may have any name there.
        """
        return self.folder / "search"

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
