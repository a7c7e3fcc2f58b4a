"""Noticing what runs and cannot be seen."""

import os
import sys

import torch


class Uncovered:
    """Counts by (kind, detail)."""

    def __init__(self):
        self._counts = {}
        self._changed = set()

    def note(self, kind, detail):
        """Count one more."""
        key = (kind, str(detail)[:300])
        self._counts[key] = self._counts.get(key, 0) + 1
        self._changed.add(key)

    def changes(self):
        """Rows (kind, detail, count) that changed since the last call."""
        rows = [key + (self._counts[key],) for key in self._changed]
        self._changed.clear()
        return rows


class Watch:
    """Watches for child processes, CUDA graphs and compiled graphs while a recording runs."""

    _AUDITED = {
        "subprocess.Popen": lambda args: os.path.basename(str(args[0] or (args[1] or ["?"])[0])),
        "os.system": lambda args: "os.system",
        "os.posix_spawn": lambda args: os.path.basename(str(args[0])),
        "os.spawn": lambda args: os.path.basename(str(args[1])),
    }

    def __init__(self, uncovered):
        self._uncovered = uncovered
        self._live = True
        self._replay = None
        self._graphs = _graph_count()

    def start(self, on_fork):
        """Begin; ``on_fork`` is called in every forked child. Audit hooks cannot be removed."""
        sys.addaudithook(self._audit)
        os.register_at_fork(before=self._forking, after_in_child=on_fork)
        graph = getattr(torch.cuda, "CUDAGraph", None)
        if graph is not None and hasattr(graph, "replay"):
            self._replay = graph.replay
            uncovered = self._uncovered
            original = graph.replay

            def replay(this):
                uncovered.note("CUDA graph", "replayed")
                return original(this)

            graph.replay = replay

    def stop(self):
        """End, and look at what torch.compile says of itself."""
        self._live = False
        if self._replay is not None:
            torch.cuda.CUDAGraph.replay = self._replay
        compiled = _graph_count() - self._graphs
        if compiled > 0:
            self._uncovered.note("compiled graph", "%d graphs compiled in this process" % compiled)

    def _forking(self):
        if self._live:
            self._uncovered.note("child process", "fork")

    def _audit(self, event, args):
        if self._live and event in self._AUDITED:
            self._uncovered.note("child process", self._AUDITED[event](args))


def _graph_count():
    """How many graphs dynamo has compiled so far."""
    utils = sys.modules.get("torch._dynamo.utils")
    counters = getattr(utils, "counters", None)
    return counters["stats"]["unique_graphs"] if counters else 0
