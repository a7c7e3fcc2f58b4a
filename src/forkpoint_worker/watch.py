"""Watched functions: calls of named Python functions as events, without a change to their code.

A function is wrapped as soon as its module has been executed, so whoever imports it from there
later gets the wrapped one. What took it before (``from module import function`` in a module
loaded by then) is not seen.
"""

from __future__ import annotations

import functools
import inspect
import sys
from typing import TYPE_CHECKING, Any, Callable, Iterable, Mapping, Sequence

from . import schema
from ._compat import is_compiling
from .rows import Event
from .values import Flat, cut, from_numpy, positional

if TYPE_CHECKING:
    from .guard import Guard
    from .rows import Entry
    from .swap import Swap
    from .writer import Writer

_MOST = 100_000  # values of one call that are looked at


class CallRecorder:
    """Writes down calls of watched functions: arguments as they came in, then results.

    ``swap`` may put other results in place of those that were written down.
    """

    def __init__(self, guard: Guard, writer: Writer, swap: Swap | None = None) -> None:
        self._guard = guard
        self._writer = writer
        self._swap = swap
        self._counts: dict[str, int] = {}

    def called(self, name: str) -> bool:
        """Whether the function was called while this recorded."""
        return name in self._counts

    def note(self, kind: str, detail: str) -> None:
        """Say what could not be watched."""
        self._writer.uncovered.note(kind, detail)

    def call(
        self,
        name: str,
        function: Callable[..., Any],
        names: Sequence[str],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """Call a function that is watched under ``name``; ``names`` are its parameters."""
        thread = self._guard.thread
        if self._guard.off or thread.busy or thread.opaque:
            return function(*args, **kwargs)
        begun: tuple[Event, str] | None = None
        with self._guard:
            begun = self._begin(name, names, args, kwargs)
        if begun is None:  # the recorder broke over it
            return function(*args, **kwargs)
        event, given = begun
        thread.watched += 1
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            with self._guard:
                self._write(event, "%s -> raised %s" % (given, type(error).__name__))
                if self._swap is not None:
                    self._swap.missed(event, "it raised %s" % type(error).__name__)
            raise
        finally:
            thread.watched -= 1
        with self._guard:
            flat = self._end(event, given, result)
            if self._swap is not None:
                result = self._swap.result(event, result, flat, _flattened)
        return result

    def _begin(
        self,
        name: str,
        names: Sequence[str],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> tuple[Event, str]:
        thread = self._guard.thread
        event = Event(schema.KIND_WATCH, thread.stack[-1] if thread.stack else "", name)
        event.call = self._counts.get(name, 0)
        self._counts[name] = event.call + 1
        flat = _Values()
        flat.add_arguments(names, args, kwargs)
        event.inputs = self._read(flat)
        event.taken = flat
        return event, cut(flat.shown)

    def _end(self, event: Event, given: str, result: object) -> _Values:
        flat = _flattened(result)
        event.outputs = self._read(flat)
        event.given, event.plain = flat, flat.exact
        for kind in flat.opaque:
            self.note("result of an unknown type", "%s: %s" % (event.op, kind))
        if flat.cut:
            self.note("values left out", "%s: after the first %d" % (event.op, _MOST))
        self._write(event, "%s -> %s" % (given, cut(flat.shown)))
        tensors = [tensor for _, tensor in flat.tensors]
        self._writer.keep_all(event.outputs, tensors)
        return flat

    def _read(self, flat: Flat) -> list[Entry]:
        read = self._writer.anew  # whatever is known: numpy may have written to their memory
        return [
            (slot, name, read(tensor, schema.SOURCE_INPUT))
            for slot, (name, tensor) in enumerate(flat.tensors)
        ]

    def _write(self, event: Event, sign: str) -> None:
        """Queue an event of the step under way, or of the pause after a step (-1: before all)."""
        thread = self._guard.thread
        step = thread.step if thread.step is not None else thread.after
        event.sign = sign
        event.inside = int(thread.step is not None)
        self._writer.add(event, -1 if step is None else step.number)
        if thread.step is None:
            self._writer.flush()
            self._writer.commit()


class Functions:
    """The functions to watch, by names such as ``package.module:Class.method``."""

    def __init__(self, names: Iterable[str], recorder: CallRecorder) -> None:
        self._recorder = recorder
        self._names = list(dict.fromkeys(names))
        self._modules = {name.partition(":")[0] for name in self._names}
        self._imported: set[str] = set()
        self._lost: set[str] = set()
        self._undo: list[Callable[[], None]] = []

    def install(self) -> None:
        """Wrap what is loaded; the rest when it is."""
        if not self._names:
            return
        sys.meta_path.insert(0, self)
        for name in self._modules:
            if name in sys.modules:
                self._wrap_all(name, sys.modules[name])

    def uninstall(self) -> None:
        """Put everything back, and say what was never called."""
        if not self._names:
            return
        sys.meta_path.remove(self)
        for undo in reversed(self._undo):
            undo()
        for name in self._names:
            module = name.partition(":")[0]
            if module not in self._imported:
                self._recorder.note("watched module never imported", name)
            elif name not in self._lost and not self._recorder.called(name):
                self._recorder.note("watched function never called", name)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The import system asks: find the module as if we were not there, and wait for its end."""
        if name not in self._modules:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find is not None and finder is not self else None
            if spec is not None:
                self._follow(spec.loader)
                return spec
        return None

    def _follow(self, loader: Any) -> None:
        """The loader stays what it is (others ask it for source and data); only its end is seen."""
        execute = getattr(loader, "exec_module", None)
        if execute is None:
            return

        def exec_module(module: Any) -> None:
            execute(module)
            if module.__name__ in self._modules:
                self._wrap_all(module.__name__, module)

        loader.exec_module = exec_module

    def _wrap_all(self, name: str, module: object) -> None:
        self._imported.add(name)
        for watched in self._names:
            home, _, path = watched.partition(":")
            if home == name:
                problem = self._wrap(watched, module, path)
                if problem:
                    self._lost.add(watched)
                    self._recorder.note("watched function not found", watched + ": " + problem)

    def _wrap(self, watched: str, owner: Any, path: str) -> str:
        """Wrap one function; what is wrong with its name, or nothing."""
        *parents, last = path.split(".")
        for part in parents:
            if not hasattr(owner, part):
                return "there is no %s" % part
            owner = getattr(owner, part)
        if not hasattr(owner, last):
            return "there is no %s" % last
        raw = inspect.getattr_static(owner, last)
        function = raw.__func__ if isinstance(raw, (staticmethod, classmethod)) else raw
        if isinstance(function, type):
            return "it is a class; name one of its methods"
        if not callable(function):
            return "it is no function"
        wrapped: Any = self._wrapper(watched, function)
        if isinstance(raw, (staticmethod, classmethod)):
            wrapped = type(raw)(wrapped)
        own = last in vars(owner)
        try:
            setattr(owner, last, wrapped)
        except (AttributeError, TypeError) as error:
            return "it cannot be replaced (%s)" % error
        self._undo.append(
            functools.partial(setattr, owner, last, raw)
            if own
            else functools.partial(delattr, owner, last)
        )
        return ""

    def _wrapper(self, watched: str, function: Callable[..., Any]) -> Callable[..., Any]:
        recorder, names = self._recorder, positional(function)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if is_compiling():  # traced by torch.compile: the graph must not see us
                return function(*args, **kwargs)
            return recorder.call(watched, function, names, args, kwargs)

        return call


class _Values(Flat):
    """Also sets, in an order of their own, and arrays of numpy as tensors."""

    __slots__ = ("cut",)

    def __init__(self) -> None:
        super().__init__()
        self.cut = False

    def add(self, name: str, value: object, depth: int = 0) -> str:
        """Take in a value and what it holds, up to a number of values."""
        if len(self.plain) + len(self.tensors) >= _MOST:
            self.cut = True
            return "..."
        if isinstance(value, (set, frozenset)):
            value = sorted(value, key=repr)
        elif type(value).__module__.partition(".")[0] == "numpy":
            value = from_numpy(value)
        return super().add(name, value, depth)


def _flattened(result: object) -> _Values:
    flat = _Values()
    flat.structure = cut(flat.add("result", result))
    return flat
