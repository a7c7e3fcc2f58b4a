"""Keeping the recorder's own work apart from the script's, in every thread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import torch

from ._compat import unseen

if TYPE_CHECKING:
    from types import TracebackType

    from .op_recorder import OpMode
    from .steps import Step


class StopScript(BaseException):
    """Ends the script after the last step that was asked for; not an error of anybody's."""


class RecordingBroken(BaseException):
    """The recorder itself failed (a full disk, say); carries the cause."""


class ThreadState(threading.local):
    """What one thread is doing."""

    step: Step | None = None  # the step under way
    after: Step | None = None  # the last finished step, for ops between steps
    stack: tuple[str, ...] = ()  # paths of the modules under way
    busy = False  # the recorder's own tensor work must not be recorded
    opaque = False  # inside something that must run as if nobody watched
    number: int | None = None  # 0 is the main thread
    mode: OpMode | None = None  # the dispatch mode that is active in this thread


class Guard:
    """Context of the recorder's own tensor operations and writes, one thread at a time.

    Ops in it are not recorded, leave no trace in autograd, and no dispatch mode sees them: not
    one of the script's either, which may count what it sees. A failure in it ends the recording
    with `RecordingBroken`. It is entered twice for every op, so it is no generator.
    """

    def __init__(self) -> None:
        self.thread = ThreadState()
        self.off = False
        self.error: Exception | None = None
        self._lock = threading.Lock()
        self._graded = False  # the mode to go back to: used under the lock only
        self._unseen: object = None

    def __enter__(self) -> None:
        self.thread.busy = True
        self._lock.acquire()
        self._graded = torch.is_grad_enabled()
        if self._graded:
            torch.set_grad_enabled(False)
        self._unseen = unseen()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._unseen = None
        if self._graded:
            torch.set_grad_enabled(True)
        self._lock.release()
        self.thread.busy = False
        if isinstance(error, Exception):
            self.error, self.off = error, True
            raise RecordingBroken from error
