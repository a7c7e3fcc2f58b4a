"""The folder in which a comparison leaves all that it made."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import msgspec

from forkpoint.claims import Claim
from forkpoint.environments import Environment, write_atomically
from forkpoint.errors import UsageError
from forkpoint.host import Workload, unwritable
from forkpoint.model import Tolerance
from forkpoint.untrusted import read_json

FORMAT = "forkpoint.results/1"
DETAIL, BARE, SEARCH, SWAP = "-detail", "-bare", "-search", "-swap"
"""Ends of names: recordings of the second pass, of the bare run, and logs of the search and of
runs with swapped results."""

AGAIN, BARE_AGAIN, PLAIN = "-again", "-bare-again", "-plain"
"""Ends of names of recordings that are made only where two passes disagree: the first pass and
the bare run once more, and a second pass that looks at no ops of the steps in question."""

_LARGEST = 16 << 20
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

    The folder is claimed: no other process writes there as long as this object is held.
    ``results.json`` marks the folder as ours, ``recordings/NAME`` and ``recordings/NAME-detail``
    are the recordings of the first and the second pass, ``logs/`` holds what the script printed.
    """

    folder: Path
    _claim: Claim | None = field(default=None, compare=False, repr=False)

    @staticmethod
    def claim(out: Path | None, *, force: bool) -> Claim | None:
        """Claim the place before anything long is done; raises as `create` does."""
        if out is None:
            return None
        claim = Claim.on(out.absolute())
        _require_way(out, force=force)
        return claim

    @classmethod
    def create(
        cls,
        out: Path | None,
        workload: Workload,
        *,
        force: bool = False,
        claim: Claim | None = None,
    ) -> Self:
        """Make the folder; the default is ``forkpoint-results/SCRIPT-TIME`` where the caller is.

        Raises `UsageError` where ``out`` holds anything but, with ``force``, older results, and
        where another process writes there.
        """
        try:
            folder = out.absolute() if out else _fresh(workload.label).absolute()
            claim = claim or Claim.on(folder)
            if out:
                _make_way(folder, force=force)
            (folder / "recordings").mkdir(parents=True)
            marker = _Marker(FORMAT)
            write_atomically(folder / "results.json", msgspec.json.encode(marker) + b"\n")
        except OSError as error:
            raise unwritable("The results", folder, error) from error
        return cls(folder, claim)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The results in a folder, to go on with.

        Raises `UsageError` where it holds none, or where another process writes there.
        """
        if not _is_ours(folder):
            raise UsageError(
                f"{folder} does not hold the results of a comparison.",
                hint="Name a folder that 'forkpoint compare' made; it prints its name at the end.",
            )
        return cls(folder.absolute(), Claim.on(folder.absolute()))

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
        write_result(self.folder / "request.json", msgspec.json.encode(asked) + b"\n")

    def request(self) -> Request:
        """What was asked for; raises `UsageError` where that was not written down."""
        path = self.folder / "request.json"
        hint = "Results of older versions have none: run 'forkpoint compare' again."
        try:
            return read_json(path, Request, most=_LARGEST, hint=hint)
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}.", hint=hint) from error

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


def write_result(path: Path, content: bytes) -> None:
    """Write a result that is there whole or not at all; raises `StorageFull`, `UsageError`."""
    try:
        write_atomically(path, content)
    except OSError as error:
        raise unwritable("The result", path, error) from error


def _fresh(label: str) -> Path:
    """A new folder, called by the time of day; of two that ask at once each gets its own."""
    stem = f"{label}-{time.strftime('%Y%m%d-%H%M%S')}"
    for number in itertools.count():
        folder = Path(PARENT) / (f"{stem}-{number}" if number else stem)
        with suppress(FileExistsError):
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
            return folder
    raise AssertionError("numbers have no end")


def _make_way(folder: Path, *, force: bool) -> None:
    _require_way(folder, force=force)
    if os.path.lexists(folder):
        shutil.rmtree(folder)


def _require_way(folder: Path, *, force: bool) -> None:
    if not os.path.lexists(folder):
        return
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
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


def _is_ours(folder: Path) -> bool:
    try:
        marker = read_json(folder / "results.json", _Marker, most=_LARGEST)
        names = {entry.name for entry in folder.iterdir()}
    except (OSError, UsageError):
        return False
    return not folder.is_symlink() and marker.format == FORMAT and names <= OWN_NAMES
