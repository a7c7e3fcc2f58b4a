"""One more call of a module, op by op: what ran (`Survey`), what it made (`Keeper`)."""

from __future__ import annotations

from typing import Any, Callable, Container, Iterable, Iterator, Mapping, NamedTuple, Sequence

import torch

from . import ops
from ._compat import Mode, has_plain_memory, run_op
from .guard import Guard
from .known import storage_of
from .layouts import twin


class Key(NamedTuple):
    """Which op call: ``call`` counts those of the same op in the same module."""

    module: str
    op: str
    call: int


RESULT = Key("", "", 0)
"""Stands for what the module itself returns."""


class Tensors(NamedTuple):
    """An op call's tensors; ``outputs`` without those that the op did not compute.

    ``plain`` are its other arguments as text, and ``again`` makes the call with other inputs.
    """

    inputs: Sequence[torch.Tensor]
    outputs: Sequence[torch.Tensor]
    signature: str
    plain: str
    again: Callable[[Sequence[torch.Tensor]], Sequence[torch.Tensor]]


class Listener:
    """Is told of the op calls that a trace sees.

    ``wanted``: the calls whose inputs are looked at, so that those of an op that writes to them
    are copied first.
    """

    wanted: Container[Key] = ()

    def computed(self, key: Key, tensors: Tensors) -> None:
        """An op call has ended that computed something, and all its tensors can be read."""

    def returned(self, path: str, result: object) -> None:
        """The module at ``path`` has returned."""


class Trace(Mode):
    """Hands op calls to a listener, with the module that is on top of the thread's stack."""

    def __init__(self, guard: Guard, listener: Listener) -> None:
        super().__init__()
        self._guard = guard
        self._thread = guard.thread
        self._listener = listener
        self._ops: dict[object, ops.Op] = {}
        self.counts: dict[tuple[str, str], int] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run one op, and show its tensors."""
        kwargs = kwargs or {}
        if self._thread.busy:
            return func(*args, **kwargs)
        op = self._ops.get(func)
        if op is None:
            op = self._ops[func] = ops.Op(func)
        call = ops.Call(op, args, kwargs)
        key = self._number(op)
        inputs: list[torch.Tensor] = []
        with self._guard:
            inputs = [tensor for _, tensor in call.inputs]
            if op.written and key in self._listener.wanted:
                inputs = [twin(t) if has_plain_memory(t) else t for t in inputs]
        result = run_op(func, args, kwargs)
        with self._guard:
            made = _computed(op, call, result)
            if made and all(map(has_plain_memory, [*inputs, *made])):
                again = Again(op, args, kwargs)
                found = Tensors(inputs, made, call.signature, again.plain, again)
                self._listener.computed(key, found)
        return result

    def _number(self, op: ops.Op) -> Key:
        stack = self._thread.stack
        like = (stack[-1] if stack else "", op.name)
        number = self.counts.get(like, 0)
        self.counts[like] = number + 1
        return Key(*like, number)


class Again:
    """An op's call without its tensors, to be made with others."""

    def __init__(self, op: ops.Op, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self._op = op
        self._args = [_emptied(value) for value in args]
        self._kwargs = {name: _emptied(value) for name, value in kwargs.items()}
        self.plain = "%r %r" % (self._args, self._kwargs)

    def __call__(self, inputs: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """What the op computes of copies of these tensors."""
        left = iter([twin(tensor) for tensor in inputs])
        args = [_filled(value, left) for value in self._args]
        kwargs = {name: _filled(value, left) for name, value in self._kwargs.items()}
        call = ops.Call(self._op, args, kwargs)
        return _computed(self._op, call, run_op(self._op.func, args, kwargs))


class _Tensor:
    """Stands where a call had a tensor."""

    def __repr__(self) -> str:
        return "tensor"


def _emptied(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return _Tensor()
    return [_emptied(item) for item in value] if isinstance(value, (list, tuple)) else value


def _filled(value: Any, tensors: Iterator[torch.Tensor]) -> Any:
    if isinstance(value, _Tensor):
        return next(tensors)
    return [_filled(item, tensors) for item in value] if isinstance(value, list) else value


def _computed(op: ops.Op, call: ops.Call, result: object) -> list[torch.Tensor]:
    """The op's results that are no views of its inputs, no noise and not uninitialised."""
    if op.uninitialised:
        return []
    written = {id(tensor) for tensor in call.written}
    given = {
        storage_of(tensor)
        for _, tensor in call.inputs
        if id(tensor) not in written and has_plain_memory(tensor)
    }
    results = [tensor for slot, tensor in ops.returned(result)[0] if slot not in op.noise]
    known = {id(tensor) for tensor in results}
    results += [tensor for tensor in call.written if id(tensor) not in known]
    return [
        tensor
        for tensor in results
        if not has_plain_memory(tensor) or not tensor.numel() or storage_of(tensor) not in given
    ]


class Weights:
    """The memory of a module's parameters: nobody writes to it, so it needs no copies."""

    def __init__(self, root: torch.nn.Module) -> None:
        self._storages = {storage_of(p) for p in root.parameters() if has_plain_memory(p)}

    def hold(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor lies there."""
        return bool(tensor.numel()) and storage_of(tensor) in self._storages


class Shapes(NamedTuple):
    """The shapes of an op call's inputs and outputs, and the bytes that keeping them takes."""

    slots: tuple[Sequence[torch.Size], Sequence[torch.Size]]
    size: int = 0


class Survey(Listener):
    """Shapes of all op calls, in their order; nothing is kept."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self.calls: dict[Key, Shapes] = {}
        self._result = Shapes(((), ()))

    def ended(self, result: Iterable[torch.Tensor]) -> None:
        """Note what the module returned."""
        self._result = Shapes(((), [tensor.shape for tensor in result]))

    def find(self, key: Key) -> Shapes | None:
        """The shapes of a call, or of the `RESULT`."""
        return self._result if key == RESULT else self.calls.get(key)

    def computed(self, key: Key, tensors: Tensors) -> None:
        """Note the shapes."""
        many = tensors.inputs, tensors.outputs
        kept = [t for some in many for t in some if not self._weights.hold(t)]
        slots = [t.shape for t in tensors.inputs], [t.shape for t in tensors.outputs]
        self.calls[key] = Shapes(slots, sum(t.numel() * t.element_size() for t in kept))

    def windows(self, most: int) -> Iterator[frozenset[Key]]:
        """Calls to keep at one time, ``most`` bytes of them; larger ones are in no window."""
        window: set[Key] = set()
        room = most
        for key, shapes in self.calls.items():
            if shapes.size > most:
                continue
            if shapes.size > room:
                yield frozenset(window)
                window, room = set(), most
            window.add(key)
            room -= shapes.size
        yield frozenset(window)  # an empty one, too: the results of a call are compared once


class Keeper(Listener):
    """Copies of the tensors of the calls that are wanted."""

    def __init__(self, wanted: Container[Key], weights: Weights) -> None:
        self.wanted = wanted
        self._weights = weights
        self.kept: dict[Key, Tensors] = {}

    def computed(self, key: Key, tensors: Tensors) -> None:
        """Copy what is wanted."""
        if key in self.wanted:
            inputs, outputs = (
                [self._copy(tensor) for tensor in many]
                for many in (tensors.inputs, tensors.outputs)
            )
            self.kept[key] = tensors._replace(inputs=inputs, outputs=outputs)

    def _copy(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.detach() if self._weights.hold(tensor) else twin(tensor)
