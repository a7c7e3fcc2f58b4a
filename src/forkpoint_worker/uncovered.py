"""Noticing what runs and cannot be seen."""

from __future__ import annotations

import os
import sys
from typing import Any, Callable

import torch


class Uncovered:
    """Counts by (kind, detail)."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}
        self._changed: set[tuple[str, str]] = set()

    def note(self, kind: str, detail: object) -> None:
        """Count one more."""
        key = (kind, str(detail)[:300])
        self._counts[key] = self._counts.get(key, 0) + 1
        self._changed.add(key)

    def changes(self) -> list[tuple[str, str, int]]:
        """Rows (kind, detail, count) that changed since the last call."""
        changed, self._changed = self._changed, set()  # other threads go on noting
        return [(*key, self._counts[key]) for key in list(changed)]


def _file_name(path: object) -> str:
    return os.path.basename(str(path))


# how to name the program that an audit event's arguments start
_PROGRAM: dict[str, Callable[[tuple[Any, ...]], str]] = {
    "subprocess.Popen": lambda args: _file_name(args[0] or (args[1] or ["?"])[0]),
    "os.system": lambda _: "os.system",
    "os.posix_spawn": lambda args: _file_name(args[0]),
    "os.spawn": lambda args: _file_name(args[1]),
}


class Watch:
    """Watches for child processes, CUDA graphs and compiled graphs while a recording runs."""

    def __init__(self, uncovered: Uncovered) -> None:
        self._uncovered = uncovered
        self._live = True
        self._replay: Callable[..., Any] | None = None
        self._graphs = _graph_count()

    def start(self, on_fork: Callable[[], None]) -> None:
        """Begin; ``on_fork`` is called in every forked child. Audit hooks cannot be removed."""
        sys.addaudithook(self._audit)
        os.register_at_fork(before=self._forking, after_in_child=on_fork)
        graph = getattr(torch.cuda, "CUDAGraph", None)
        if graph is not None and hasattr(graph, "replay"):
            self._replay = graph.replay
            uncovered = self._uncovered
            original = graph.replay

            def replay(this: Any) -> Any:
                uncovered.note("CUDA graph", "replayed")
                return original(this)

            graph.replay = replay

    def stop(self) -> None:
        """End, and look at what torch.compile says of itself."""
        self._live = False
        if self._replay is not None:
            torch.cuda.CUDAGraph.replay = self._replay
        compiled = _graph_count() - self._graphs
        if compiled > 0:
            self._uncovered.note("compiled graph", "%d graphs compiled in this process" % compiled)

    def _forking(self) -> None:
        if self._live:
            self._uncovered.note("child process", "fork")

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if self._live and event in _PROGRAM:
            self._uncovered.note("child process", _PROGRAM[event](args))


def _graph_count() -> int:
    """How many graphs dynamo has compiled so far."""
    utils = sys.modules.get("torch._dynamo.utils")
    counters = getattr(utils, "counters", None)
    return int(counters["stats"]["unique_graphs"]) if counters else 0
