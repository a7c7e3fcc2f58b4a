"""What the host can see while a worker runs, and after it has died."""

import faulthandler
import mmap
import os

SIZE = 1024


class LastEvent:
    """A small file mapped into memory: the last event begun survives SIGKILL and segfaults."""

    def __init__(self, path):
        with open(path, "w+b") as stream:
            stream.truncate(SIZE)
            self._map = mmap.mmap(stream.fileno(), SIZE)

    def write(self, step, module, op=""):
        """Note that an event of a step begins."""
        text = ("%d\t%s\t%s" % (step, module, op)).encode("utf-8", "replace")[: SIZE - 1]
        self._map[: len(text) + 1] = text + b"\0"


class NoStatus:
    """Stands in where nobody watches (recording inside a notebook)."""

    def write(self, step, module, op=""):
        """Do nothing."""


def watch_faults(folder):
    """Let `faulthandler` write Python stacks to ``fault.log`` when the process is hit by a signal.

    The file stays open as long as the process lives.
    """
    stream = open(os.path.join(folder, "fault.log"), "w")  # noqa: SIM115
    faulthandler.enable(file=stream, all_threads=True)
