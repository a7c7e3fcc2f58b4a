"""A worker ends with its host: nobody would read what it goes on to write."""

from __future__ import annotations

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with(host: int) -> None:
    """Let the system end this process when the one that started it dies, by SIGKILL too.

    Only Linux can; elsewhere a worker goes on to its end. Children of the script are not ended.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes  # noqa: PLC0415 - not needed elsewhere

    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    except (OSError, AttributeError):  # a C library without it
        return
    if os.getppid() != host:
        os._exit(1)  # it died before we could say so
