"""The worker's entry point: read the job, run the script as ``__main__``, write the result."""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import importlib.machinery
import json
import os
import runpy
import signal
import site
import sys
import time
import traceback
import types
import zipfile
from typing import TYPE_CHECKING, Any, Mapping

from . import PROTOCOL, manifest, status
from .lifeline import end_with
from .startup import AT_START

if TYPE_CHECKING:
    from .session import Session

_HERE = os.path.dirname(os.path.abspath(__file__))


def main(inject: str, control: str) -> None:
    """Run the job in ``control``; ends the process with the script's exit status."""
    pid = os.getpid()
    status.watch_faults(control)
    signal.signal(signal.SIGTERM, _terminated)
    sys.path.remove(inject)
    with open(os.path.join(control, "job.json")) as stream:
        job = json.load(stream)
    if job.get("host") is not None:
        end_with(job["host"])
    _restore_path(job)
    run = _Run(control, job)
    try:
        code = run.go()
    except BaseException as error:
        if os.getpid() != pid:
            raise
        run.fail(error)
        code = 70
    if os.getpid() == pid:
        run.report(code)
    sys.stdout.flush()
    sys.exit(code)


def _terminated(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _restore_path(job: Mapping[str, Any]) -> None:
    """What ``-I`` left out: PYTHONPATH and the user's site folder; the script's goes first."""
    extra = [path for path in job.get("sys_path") or () if path not in sys.path]
    at = 1 if sys.path and sys.path[0] == "" else 0
    sys.path[at:at] = extra
    if sys.prefix == sys.base_prefix and site.ENABLE_USER_SITE is not True:
        user = site.getusersitepackages()
        if os.path.isdir(user) and user not in sys.path:
            site.addsitedir(user)
    if job.get("module"):
        sys.path.insert(0, os.getcwd())


def _give_way(folder: str) -> None:
    """Forget modules, loaded by the worker, that the script would find in its own folder first.

    A ``json.py`` beside the script is what ``import json`` means there, though the worker and
    torch go on with the standard library's.
    """
    finder = importlib.machinery.PathFinder
    loaded = {name.partition(".")[0] for name in sys.modules if name not in AT_START}
    for name in loaded.difference(AT_START, sys.builtin_module_names, (__package__,)):
        spec = finder.find_spec(name, [folder])
        present = getattr(sys.modules.get(name), "__file__", None)
        if spec is not None and spec.loader is not None and spec.origin != present:
            for known in [n for n in sys.modules if n == name or n.startswith(name + ".")]:
                del sys.modules[known]


def _run_file(path: str) -> None:
    """Run a script as ``python path`` does; `runpy` makes a ``__package__`` that is not None."""
    if path.endswith(".pyc") or zipfile.is_zipfile(path):
        runpy.run_path(path, run_name="__main__")
        return
    module = types.ModuleType("__main__")
    loader = importlib.machinery.SourceFileLoader("__main__", path)
    facts = {"__file__": path, "__cached__": None, "__loader__": loader, "__builtins__": builtins}
    vars(module).update(facts)
    sys.modules["__main__"] = module
    with open(path, "rb") as stream:
        code = compile(stream.read(), path, "exec", dont_inherit=True)
    exec(code, vars(module))  # noqa: S102 - it is what was asked for


class _Run:
    def __init__(self, control: str, job: Mapping[str, Any]) -> None:
        self._control = control
        self._job = job
        self._clock = time.monotonic()
        self._session: Session | None = None
        self._result: dict[str, Any] = {
            "protocol": PROTOCOL, "status": "failed", "exit_code": None, "error": None,
            "steps": 0, "seconds": 0.0, "peak_rss": 0, "storage_full": False, "refused": 0,
            "fingerprint": {},
        }  # fmt: skip

    def go(self) -> int:
        """Do the job; the exit status of the process."""
        if self._job.get("protocol") != PROTOCOL:
            raise ValueError("this worker speaks protocol %d" % PROTOCOL)
        if self._job["kind"] == "unpack":
            return self._unpack()
        from . import settings  # noqa: PLC0415 - torch is imported as late as this

        settings.apply(self._job.get("settings") or {})
        if self._job["kind"] == "fingerprint":
            from . import fingerprint  # noqa: PLC0415

            self._result.update(status="completed", exit_code=0)
            self._result["fingerprint"] = fingerprint.collect(self._job.get("variables") or ())
            return 0
        if self._job["kind"] == "replay":
            return self._replay()
        if self._job["kind"] == "alone":
            return self._alone()
        return self._record()

    def _unpack(self) -> int:
        from .unpack import Unpack  # noqa: PLC0415

        watcher = status.LastEvent(os.path.join(self._control, "last_event"))
        Unpack(self._job, self._control, watcher).go()
        self._result.update(status="completed", exit_code=0)
        return 0

    def _replay(self) -> int:
        from . import fingerprint  # noqa: PLC0415
        from .replay import Replay  # noqa: PLC0415

        watcher = status.LastEvent(os.path.join(self._control, "last_event"))
        self._result["fingerprint"] = fingerprint.collect(self._job.get("variables") or ())
        Replay(self._job, self._control, watcher).go()
        self._result.update(status="completed", exit_code=0)
        return 0

    def _record(self) -> int:
        from .session import Session  # noqa: PLC0415

        watcher = status.LastEvent(os.path.join(self._control, "last_event"))
        self._session = Session(
            self._job["recording"], self._job, watcher, ending=self._end_in_the_middle
        )
        self._session.start()
        pid = os.getpid()
        outcome, code, error = self._run_script()
        if os.getpid() != pid:
            return code
        broken = self._session.recorder.error
        if broken is not None:
            outcome, code, error = "failed", 70, _described(broken)
        self._result.update(status=outcome, exit_code=code, error=error)
        self._session.stop(outcome, error)
        return code

    def _alone(self) -> int:
        """Run the script with nothing looked at."""
        outcome, code, error = self._run_script()
        self._result.update(status=outcome, exit_code=code, error=error)
        return code

    def _run_script(self) -> tuple[str, int, dict[str, str] | None]:
        """How the script ended: status, exit code and error."""
        outcome, code = "completed", 0
        error: dict[str, str] | None = None
        try:
            self._script()
        except SystemExit as end:
            code = _exit_code(end)
            outcome = "exited" if code else "completed"
        except KeyboardInterrupt:
            outcome, code = "interrupted", 130
        except BaseException as failure:  # noqa: BLE001 - it goes into the result
            outcome, code, error = "raised", 1, _described(failure)
            traceback.print_exc()
        return outcome, code, error

    def _end_in_the_middle(self) -> None:
        """The recording has seen enough: end the process, now and from whatever thread this is.

        Called while no other thread can record. Nothing of the script runs any more, no handler,
        no ``finally``, no other thread's: it cannot notice, nor keep the process alive.
        """
        code = 70
        try:
            assert self._session is not None  # it calls this
            self._session.close("stopped")
            self._result.update(status="stopped", exit_code=0, error=None)
            self.report(0)
            code = 0
        except BaseException as error:  # noqa: BLE001 - nothing may come out of here
            self.fail(error)
            self.report(code)
        finally:
            _flush()
            os._exit(code)

    def _script(self) -> None:
        """Run the script or module as ``python`` would, in this very process."""
        job = self._job
        argv = list(job.get("argv") or ())
        if job.get("module"):
            sys.argv = [job["module"]] + argv
            _give_way(os.getcwd())
            runpy.run_module(job["module"], run_name="__main__", alter_sys=True)
        else:
            sys.argv = [job["script"]] + argv
            folder = os.path.dirname(os.path.abspath(job["script"]))
            sys.path.insert(0, folder)
            _give_way(folder)
            _run_file(job["script"])

    def fail(self, error: BaseException) -> None:
        """The worker itself could not do its job."""
        self._result.update(status="failed", exit_code=70, error=_described(error))
        traceback.print_exc()

    def report(self, code: int) -> None:
        """Write ``result.json``."""
        self._result["seconds"] = time.monotonic() - self._clock
        self._result["peak_rss"] = _peak_rss()
        session = self._session
        if session is not None:
            self._result["steps"] = session.recorder.steps
            self._result["storage_full"] = session.recorder.storage_full
            self._result["refused"] = session.recorder.refused
            self._result["fingerprint"] = session.fingerprint
        if self._result["exit_code"] is None:
            self._result["exit_code"] = code
        manifest.write(os.path.join(self._control, "result.json"), self._result)


def _exit_code(end: SystemExit) -> int:
    """The status that Python would exit with."""
    if end.code is None:
        return 0
    if isinstance(end.code, int):
        return end.code & 0xFF
    print(end.code, file=sys.stderr)
    return 1


def _flush() -> None:
    """Write out what the script has printed and logged, as far as that goes."""
    logging = sys.modules.get("logging")
    handlers = [reference() for reference in getattr(logging, "_handlerList", ())]
    streams = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    for one in (*handlers, *streams):
        with contextlib.suppress(Exception):  # closed, or an object of the script's own
            one.flush()
    with contextlib.suppress(Exception):  # what C code has printed
        ctypes.CDLL(None).fflush(None)


def _described(error: BaseException) -> dict[str, str]:
    """An exception as plain data; frames of the worker are left out of its traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    shown = [frame for frame in frames if not _ours(frame.filename)] or list(frames)
    text = "".join(traceback.format_list(shown))
    text += "".join(traceback.format_exception_only(type(error), error))
    return {"type": type(error).__name__, "message": str(error), "traceback": text}


def _ours(filename: str) -> bool:
    name = os.path.abspath(filename)
    return name.startswith(_HERE) or name == runpy.__file__ or filename.startswith("<frozen")


def _peak_rss() -> int:
    try:
        import resource  # noqa: PLC0415
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
