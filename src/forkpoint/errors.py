"""Everything that forkpoint raises on purpose.

    ForkpointError
    ├── UsageError            what the user asked for cannot be: wrong words, wrong values
    ├── EnvironmentFailed     an environment could not be built or started
    ├── WorkerFailed          the script's process did not do its job
    │   ├── ScriptFailed      the script raised or exited by itself
    │   ├── RecorderFailed    the script fails only while it is recorded
    │   ├── WorkerCrashed     a signal, out of memory, os._exit
    │   └── WorkerTimeout     --timeout ran out
    ├── NothingRecorded       the script ran and no step was seen
    ├── RecordingError        a recording is damaged, foreign or unsafe
    └── StorageFull           the disk or the storage budget ended a run

Each message says what was wrong and where; `hint` says what to do next.
"""

from __future__ import annotations

import errno

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Error numbers of a disk, a quota or a file size limit that has been reached."""


class ForkpointError(Exception):
    """Base of all errors that forkpoint raises on purpose."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(ForkpointError):
    """The request itself is wrong: an unknown token, a missing script, a bad range."""


class EnvironmentFailed(ForkpointError):
    """An environment could not be built, found or started."""


class WorkerFailed(ForkpointError):
    """The process that ran the script did not finish its job."""


class ScriptFailed(WorkerFailed):
    """The script raised an exception or exited with a status other than 0."""


class RecorderFailed(WorkerFailed):
    """The script failed while it was recorded, and ended well when it was run alone."""


class WorkerCrashed(WorkerFailed):
    """The process died: a signal, out of memory, or an exit nobody saw coming."""


class WorkerTimeout(WorkerFailed):
    """The time limit ran out and the process group was killed."""


class NothingRecorded(ForkpointError):
    """The script ran to its end and called no `nn.Module`."""


class RecordingError(ForkpointError):
    """A recording is damaged, of another version, or not a recording at all."""


class StorageFull(ForkpointError):
    """The disk is full, or a storage limit would be passed."""


def stopped(kept: str) -> KeyboardInterrupt:
    """A Ctrl-C that says what was kept, in place of what was noted on its way here."""
    stop = KeyboardInterrupt()
    stop.add_note(kept)
    return stop
