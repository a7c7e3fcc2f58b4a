"""What a worker is asked to do, and the folder through which host and worker talk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Literal

import msgspec

from forkpoint.errors import UsageError
from forkpoint_worker import PROTOCOL

Level = Literal["bare", "module", "op"]

CAREFUL: Mapping[str, int] = {"memory": 1 << 29, "seconds": 45}
"""What a replayed call of a capsule from elsewhere may take: more with every byte of inputs."""

NO_TENSORS: Mapping[str, Any] = {"limits": {}, "outputs": {}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The user's script (a path) or module (a dotted name), its arguments, and where it runs."""

    script: Path | None = None
    module: str | None = None
    argv: tuple[str, ...] = ()
    cwd: Path = field(default_factory=Path.cwd)

    def __post_init__(self) -> None:
        """Raise `UsageError` where there is nothing, or not one thing, to run."""
        if (self.script is None) == (self.module is None):
            raise UsageError(
                "Name one script or one module to run.",
                hint="For example: forkpoint record --env torch==2.10.0 encode.py",
            )
        if self.script is not None and not self.script.is_file():
            raise UsageError(
                f"There is no script at {self.script}.",
                hint=f"Paths are taken from the current folder, {self.cwd}.",
            )

    @property
    def label(self) -> str:
        """A short name for people and for file names: ``encode``."""
        return self.script.stem if self.script else str(self.module).rpartition(".")[2]

    def words(self) -> tuple[str, ...]:
        """The workload as it is written on a command line."""
        head = (str(self.script),) if self.script else ("-m", str(self.module))
        return (*head, *(("--", *self.argv) if self.argv else ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run of a workload: what to record of it, where, and what to keep.

    The fields are those of ``job.json`` in `forkpoint_worker`'s protocol; ``plan``,
    ``reference`` and ``tolerance`` belong to the second pass. ``substitute`` names ops whose
    outputs are replaced by those that ``reference`` kept (`forkpoint_worker`), ``swap`` watched
    functions whose results are; ``calls`` is the file of what to replay or to unpack. ``steps``
    holds half-open ranges, ``max_storage`` is in bytes; ``variants`` asks for calls with other
    inputs. ``gate`` is a file that is written when ``reference`` may be read (`in_turn`).
    ``live``: the worker waits for more ``calls``. ``trust`` lets replays run ops of any library,
    ``limits`` are bytes (``memory``) and ``seconds`` that each call may take beyond its inputs.
    Kind ``alone`` runs the workload unobserved.
    """

    kind: Literal["record", "alone", "fingerprint", "replay", "unpack"] = "record"
    calls: Path | None = None
    workload: Workload | None = None
    recording: Path | None = None
    level: Level = "module"
    steps: tuple[tuple[int, int], ...] | None = None
    plan: Mapping[str, Any] | None = None
    reference: Path | None = None
    gate: Path | None = None
    max_storage: int = 0
    tolerance: Mapping[str, Any] = field(default_factory=lambda: dict(NO_TENSORS))
    stop_after: int | None = None
    watch: tuple[str, ...] = ()
    substitute: tuple[str, ...] = ()
    swap: tuple[str, ...] = ()
    store: tuple[str, ...] = ("root",)
    variants: Mapping[str, Any] | None = None
    live: bool = False
    trust: bool = False
    limits: Mapping[str, int] | None = None

    def document(
        self, name: str, settings: Mapping[str, str], variables: Iterable[str] = ()
    ) -> dict[str, Any]:
        """The content of ``job.json`` for the environment called ``name``.

        ``variables`` are names of environment variables that it sets: they belong to its
        fingerprint, whatever they are called.
        """
        workload = self.workload
        return {
            "protocol": PROTOCOL,
            "host": os.getpid(),
            "kind": self.kind,
            "calls": _absolute(self.calls),
            "script": _absolute(workload.script if workload else None),
            "module": workload.module if workload else None,
            "argv": list(workload.argv) if workload else [],
            "sys_path": caller_path(os.environ.get("PYTHONPATH", "")),
            "settings": dict(settings),
            "variables": sorted(variables),
            "recording": _absolute(self.recording),
            "name": name,
            "level": self.level,
            "steps": None if self.steps is None else [list(pair) for pair in self.steps],
            "plan": self.plan,
            "reference": _absolute(self.reference),
            "gate": _absolute(self.gate),
            "max_storage": self.max_storage,
            "tolerance": dict(self.tolerance),
            "stop_after": self.stop_after,
            "watch": list(self.watch),
            "substitute": {"ops": list(self.substitute), "watched": list(self.swap)}
            if self.substitute or self.swap
            else None,
            "store": list(self.store),
            "variants": self.variants,
            "live": self.live,
            "trust": self.trust,
            "limits": self.limits,
        }


@dataclass(frozen=True, slots=True)
class Control:
    """The control folder of one run: the job, the worker's answer, and every log."""

    folder: Path

    @property
    def result(self) -> Path:
        """What the worker writes last."""
        return self.folder / "result.json"

    @property
    def last_event(self) -> Path:
        """The last event begun: live progress, and the place of a crash."""
        return self.folder / "last_event"

    @property
    def fault_log(self) -> Path:
        """What `faulthandler` wrote when the process died."""
        return self.folder / "fault.log"

    @property
    def temporary(self) -> Path:
        """For temporary files of a run that is ended in its middle."""
        return self.folder / "tmp"

    @property
    def inject(self) -> Path:
        """The folder that the foreign interpreter gets on its path."""
        return self.folder / "inject"

    def prepare(self, document: Mapping[str, Any]) -> None:
        """Create the folder afresh, with the job and a copy of the worker's package in it.

        The package is copied, not linked to: a foreign interpreter must see it without the
        site-packages around it, and must not write byte code into ours.
        """
        for stale in (self.result, self.last_event, self.fault_log):
            stale.unlink(missing_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "job.json").write_bytes(msgspec.json.encode(document))
        with as_file(files("forkpoint_worker")) as package:
            shutil.copytree(package, self.inject / "forkpoint_worker", dirs_exist_ok=True)

    def tidy(self) -> None:
        """Remove the copy of the worker; the job, the answer and the logs stay."""
        shutil.rmtree(self.inject, ignore_errors=True)


def caller_path(pythonpath: str) -> list[str]:
    """The entries of a PYTHONPATH, absolute, as the interpreter would take them."""
    return [str(Path(entry).absolute()) for entry in pythonpath.split(os.pathsep) if entry]


def half_open(ranges: Sequence[str]) -> tuple[tuple[int, int], ...] | None:
    """Read step ranges such as ``0:10`` or ``7``; raise `UsageError` for anything else."""
    if not ranges:
        return None
    return tuple(_one_range(text) for text in ranges)


def _one_range(text: str) -> tuple[int, int]:
    first, colon, last = text.partition(":")
    try:
        start = int(first) if first or not colon else 0
        stop = (int(last) if last else 2**62) if colon else start + 1
    except ValueError:
        start, stop = 0, 0
    if not 0 <= start < stop:
        raise UsageError(
            f"'{text}' is not a range of steps.",
            hint="Write 0:10 for the first ten steps, 7 for step 7, 5: for all from step 5.",
        )
    return start, stop


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())
