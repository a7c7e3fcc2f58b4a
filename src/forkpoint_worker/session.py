"""One recording from its folder's creation to its manifest; also for use inside a process."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any, Callable, Iterable, Iterator, Mapping

import torch

from . import fingerprint, manifest
from .guard import RecordingBroken
from .options import Options
from .plan import Plan
from .recorder import Recorder
from .reference import Reference
from .schema import EVENTS, FORMAT
from .status import Status
from .uncovered import Watch
from .watch import Functions

_GB = 1 << 30


class Session:
    """A recording under way. ``job`` has the keys of the protocol's ``job.json``.

    ``ending`` ends the process when the recorder has seen enough; it calls `close`.
    """

    def __init__(
        self,
        folder: str,
        job: Mapping[str, Any],
        status: Status | None = None,
        only: torch.nn.Module | None = None,
        ending: Callable[[], None] | None = None,
    ) -> None:
        os.makedirs(folder)
        self._folder = folder
        self._started = time.time()
        self._clock = time.monotonic()
        self._data: dict[str, Any] = {
            "format": FORMAT,
            "name": job.get("name") or "",
            "level": "plan" if job.get("plan") else job.get("level") or "module",
            "script": job.get("script") or job.get("module") or "",
            "argv": list(job.get("argv") or ()),
            "settings": job.get("settings") or {},
            "digest": {"name": EVENTS},
            "started": self._started,
            "tolerance": (job.get("tolerance") or {}) if job.get("reference") else None,
        }
        self._variables = tuple(job.get("variables") or ())
        self.fingerprint = fingerprint.collect(self._variables)
        self._write(complete=False, status="running", error=None)
        reference = job.get("reference")
        tolerance = job.get("tolerance") or {}
        self.recorder = Recorder(
            folder,
            Plan(job),
            Options(
                max_storage=job.get("max_storage", 2 * _GB),
                stop_after=job.get("stop_after"),
                reference=Reference(reference, tolerance, job.get("gate")) if reference else None,
                only=only,
                substitute=_substituted(job, "ops"),
                swap=_substituted(job, "watched"),
                fingerprint=self.fingerprint,
                variants=job.get("variants"),
                ending=ending,
            ),
            status,
        )
        self._watch = Watch(self.recorder.uncovered)
        self._functions = Functions(job.get("watch") or (), self.recorder.calls)

    def start(self) -> None:
        """Begin to record."""
        self._watch.start(on_fork=self.recorder.leave)
        self.recorder.install()
        self._functions.install()

    def stop(self, status: str, error: Mapping[str, str] | None = None) -> None:
        """End the recording; it is complete where the run was whole (``status``)."""
        self._watch.stop()
        self._functions.uninstall()
        self.recorder.uninstall()
        self._finish(status, error)

    def close(self, status: str) -> None:
        """End the recording in the middle of the script, which is not touched; in the guard."""
        self.recorder.close()
        self._finish(status, None)

    def _finish(self, status: str, error: Mapping[str, str] | None) -> None:
        self.fingerprint = dict(fingerprint.collect(self._variables), **self.recorder.attention)
        whole = status in ("completed", "stopped") and self.recorder.error is None
        self._write(complete=whole, status=status, error=error)

    def _write(self, complete: bool, status: str, error: Mapping[str, str] | None) -> None:
        steps = self.recorder.steps if hasattr(self, "recorder") else 0
        data = dict(
            self._data, complete=complete, status=status, error=error, steps=steps,
            fingerprint=self.fingerprint, seconds=time.monotonic() - self._clock,
        )  # fmt: skip
        if steps:
            data["digest"]["methods"] = self.recorder.digest_methods
        manifest.write(os.path.join(self._folder, "manifest.json"), data)


def _substituted(job: Mapping[str, Any], what: str) -> tuple[str, ...]:
    """Names of the ``ops`` or ``watched`` functions whose results come from the reference."""
    substitute = job.get("substitute")
    if not substitute:
        return ()
    if not job.get("reference"):
        raise ValueError("substitute needs a reference: the recording that kept the outputs")
    return tuple(substitute.get(what) or ())


@contextlib.contextmanager
def record_model(
    model: torch.nn.Module,
    folder: str | os.PathLike[str],
    *,
    level: str = "module",
    store: Iterable[str] = ("root",),
    max_storage: int = 2 * _GB,
    watch: Iterable[str] = (),
) -> Iterator[Session]:
    """Record the calls of one module in this process: each outermost call of it is a step.

    ``level`` is "module" or "op"; ``store`` names outputs to keep ("root", "modules"),
    ``watch`` functions whose calls are recorded, too ("package.module:function").
    Only one recording can be under way in a process. Raises `RecordingBroken` at the end of the
    block where the recorder failed; the block itself has run as if nobody watched.
    """
    job = {
        "level": level, "store": store, "max_storage": max_storage, "name": "this process",
        "watch": watch,
    }  # fmt: skip
    session = Session(os.fspath(folder), job, only=model)
    session.start()
    status, error = "completed", None
    try:
        yield session
    except BaseException as failure:
        status, error = "raised", described(failure)
        raise
    finally:
        broken = session.recorder.error
        if broken is not None:
            status, error = "failed", described(broken)
        session.stop(status, error)
    if broken is not None:
        raise RecordingBroken("%s: %s" % (type(broken).__name__, broken)) from broken


def described(error: BaseException) -> dict[str, str]:
    """An exception as the manifest has it."""
    return {"type": type(error).__name__, "message": str(error), "traceback": ""}
