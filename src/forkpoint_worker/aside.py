"""Stepping aside: what must run as if nobody watched, and is noted as uncovered."""

from __future__ import annotations

import contextlib
import functools
import sys
from typing import TYPE_CHECKING, Any, Callable, Iterator

import torch

from ._compat import TRACED, current_mode, is_compiling

if TYPE_CHECKING:
    from .guard import Guard
    from .outside import Outside
    from .writer import Writer

_TRACERS = (
    ("torch.jit", "trace"),
    ("torch.jit", "trace_module"),
    ("torch.jit", "_get_trace_graph"),
    ("torch.jit", "script"),
    ("torch.jit", "freeze"),
    ("torch.jit", "optimize_for_inference"),
    ("torch.onnx", "export"),
    ("torch.onnx", "dynamo_export"),
    ("torch.export", "export"),
    ("torch.export", "export_for_training"),
    ("torch.export", "draft_export"),
    ("torch.fx", "symbolic_trace"),
)
"""Functions that run a script's modules to see what they do; where torch has them."""


class Aside:
    """Takes our modes off and looks away, for a while; compiled and traced code runs so."""

    def __init__(self, guard: Guard, writer: Writer, outside: Outside | None) -> None:
        self._guard = guard
        self._thread = guard.thread
        self._writer = writer
        self._outside = outside
        self._undo: list[Callable[[], None]] = []

    def install(self) -> None:
        """From now on what compiles and traces, and what is compiled, runs unseen."""
        self._replace(torch, "compile", self._compiling)
        for module, name in _TRACERS:
            owner = sys.modules.get(module)
            if hasattr(owner, name):
                self._replace(owner, name, functools.partial(self._tracing, module + "." + name))
        if hasattr(torch.utils, "swap_tensors"):
            self._replace(torch.utils, "swap_tensors", self._swapping)

    def uninstall(self) -> None:
        """Put everything back."""
        for undo in reversed(self._undo):
            undo()
        self._undo.clear()

    @contextlib.contextmanager
    def unseen(self) -> Iterator[None]:
        """Under a mode that watches, torch would run other code, or trace the mode itself."""
        thread = self._thread
        mode = thread.mode if thread.mode is current_mode() else None  # else one of the script's
        opaque, thread.opaque = thread.opaque, True
        if mode is not None:
            mode.__exit__(None, None, None)
        end = self._outside.plain() if self._outside is not None else None
        try:
            yield
        finally:
            if end is not None:
                end()
            if mode is not None:
                mode.__enter__()
            thread.opaque = opaque
            self._writer.known.forget_uncounted()

    def _replace(self, owner: Any, name: str, wrap: Callable[[Any], Any]) -> None:
        original = getattr(owner, name)
        ours = wrap(original)
        setattr(owner, name, ours)

        def undo() -> None:
            if getattr(owner, name, None) is ours:  # else the script has put something else there
                setattr(owner, name, original)

        self._undo.append(undo)

    def _compiling(self, compile_: Callable[..., Any]) -> Callable[..., Any]:
        """`torch.compile` so that compiled functions, too, run as if nobody watched."""

        @functools.wraps(compile_)
        def compile_unseen(model: Any = None, *args: Any, **kwargs: Any) -> Any:
            compiled = compile_(model, *args, **kwargs)
            if model is None or isinstance(model, torch.nn.Module):
                return compiled  # a decorator that comes back here, or known by its class
            return self._function(compiled, "compiled graph", getattr(compiled, "__name__", "?"))

        return compile_unseen

    def _tracing(self, name: str, tracer: Callable[..., Any]) -> Callable[..., Any]:
        return self._function(tracer, TRACED, name)

    def _function(self, function: Callable[..., Any], kind: str, name: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if is_compiling() or self._guard.off or self._thread.opaque:
                return function(*args, **kwargs)
            self._writer.uncovered.note(kind, name)
            with self.unseen():
                return function(*args, **kwargs)

        return call

    def _swapping(self, swap: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
        """`torch.utils.swap_tensors` refuses tensors that somebody has a weak reference to."""

        @functools.wraps(swap)
        def swap_tensors(t1: Any, t2: Any) -> None:
            if not self._guard.off:
                with self._guard:
                    self._writer.known.release(t1, t2)
            swap(t1, t2)

        return swap_tensors
