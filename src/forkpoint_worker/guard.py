"""Keeping the recorder's own work apart from the script's, in every thread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Callable

import torch

from ._compat import Unseen

if TYPE_CHECKING:
    from types import TracebackType

    from .op_recorder import OpMode
    from .steps import Step


class Enough(BaseException):
    """The run has seen enough; raised in the guard only, and never seen outside of it."""


class RecordingBroken(Exception):
    """The recorder itself failed; carries the cause. Raised where a recording in-process ends."""


class ThreadState(threading.local):
    """What one thread is doing."""

    step: Step | None = None  # the step under way
    after: Step | None = None  # the last finished step, for ops between steps
    stack: tuple[str, ...] = ()  # paths of the modules under way
    busy = False  # the recorder's own tensor work must not be recorded
    watched = 0  # watched functions under way: what they compute is in their results
    opaque = False  # inside something that must run as if nobody watched
    number: int | None = None  # 0 is the main thread
    mode: OpMode | None = None  # the dispatch mode that is active in this thread


class Guard:
    """Context of the recorder's own tensor operations and writes, one thread at a time.

    Ops in it are not recorded, leave no trace in autograd, and no mode of the script's sees them,
    which may count what it sees, or change it. An error in it ends here: the recorder is switched
    off, the error is kept, and the script runs on unobserved. So whoever takes something out of
    the block looks whether it is there. `Enough` ends the run (``ending``, which does not return)
    while no other thread can be in the guard. It is entered twice for every op, so it is no
    generator.
    """

    def __init__(self) -> None:
        self.thread = ThreadState()
        self.off = False
        self.error: Exception | None = None
        self.ending: Callable[[], None] | None = None
        self._lock = threading.Lock()
        self._graded = False  # the mode to go back to: used under the lock only
        self._unseen = Unseen()

    def __enter__(self) -> None:
        self.thread.busy = True
        self._lock.acquire()
        self._graded = torch.is_grad_enabled()
        if self._graded:
            torch.set_grad_enabled(False)
        self._unseen.begin()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if isinstance(error, Enough) and self.ending is not None:
            self.ending()
        self._unseen.end()
        if self._graded:
            torch.set_grad_enabled(True)
        if isinstance(error, (Exception, Enough)):
            self.fail(error)
        self._lock.release()
        self.thread.busy = False
        return isinstance(error, (Exception, Enough))

    def fail(self, error: BaseException) -> None:
        """Switch the recorder off for good; the first error is the one that counts."""
        self.off = True
        if self.error is None and isinstance(error, Exception):
            self.error = error
