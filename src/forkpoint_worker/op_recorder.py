"""Recording ATen ops, by a dispatch mode: below autograd and autocast, so casts are seen."""

from __future__ import annotations

from typing import Any, Callable, Iterable, Mapping, Sequence

import torch

from . import ops, schema
from ._compat import Mode, has_plain_memory, run_op
from .capsules import Capsules, Draft
from .guard import Guard
from .known import Content, storage_of
from .rows import Event
from .status import Status
from .steps import Step
from .substitute import Substitution
from .uncovered import Uncovered
from .writer import Writer

_GAP_COMMIT = 2000  # ops between steps are written in portions


class OpRecorder:
    """Writes down the ops of the steps that are recorded op by op, and those between them."""

    def __init__(
        self,
        guard: Guard,
        writer: Writer,
        status: Status,
        capsules: Capsules,
        substitute: Iterable[str] = (),
    ) -> None:
        self._guard = guard
        self._thread = guard.thread
        self._writer = writer
        self._status = status
        self._capsules = capsules
        self._substitution = Substitution(substitute, writer) if substitute else None
        self._ops: dict[object, ops.Op] = {}

    def dispatch(
        self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """One ATen op call: run it, and write it down where the step asks for it."""
        thread = self._thread
        step = thread.step if thread.step is not None else thread.after
        if (
            step is None or step.level != schema.OP
            or self._guard.off or thread.busy or thread.opaque
        ):  # fmt: skip
            return run_op(func, args, kwargs)
        begun: tuple[ops.Call, Event, Draft | None] | None = None
        with self._guard, self._legible(func):
            op = self._op(func)
            call = ops.Call(op, args, kwargs)
            module = thread.stack[-1] if thread.stack else ""
            self._status.write(step.number, module, op.name)
            event = self._begin(step, module, op, call)
            draft = None
            wanted = step.pick.capsules
            if wanted is not None and self._capsules.wants(wanted, step, module, op, call):
                draft = self._capsules.begin(op, func, args, kwargs)
            begun = call, event, draft
        result = run_op(func, args, kwargs)
        if begun is not None and not self._guard.off:
            call, event, draft = begun
            with self._guard, self._legible(func):
                self._end(step, event, call, result, draft)
        return result

    def _legible(self, func: Callable[..., Any]) -> _Legible:
        return _Legible(self._writer.uncovered, func)

    def _op(self, func: Callable[..., Any]) -> ops.Op:
        op = self._ops.get(func)
        if op is None:
            op = self._ops[func] = ops.Op(func)
        return op

    def _begin(self, step: Step, module: str, op: ops.Op, call: ops.Call) -> Event:
        writer = self._writer
        event = Event(schema.KIND_OP, module, op.name, step.inside)
        event.sign = call.signature
        # a claim rests on the ops that a plan names: what they are given is read, not remembered
        read = writer.reread if op.name in step.pick.ops else writer.identify
        for slot, (name, tensor) in enumerate(call.inputs):
            event.inputs.append((slot, name, read(tensor)))
        if call.generator is not None:
            content = writer.anew(call.generator, schema.SOURCE_OUTSIDE)
            event.inputs.append((len(event.inputs), schema.GENERATOR, content))
        if step.window:
            writer.keep_all(event.inputs, [tensor for _, tensor in call.inputs])
        for tensor in call.written:
            if has_plain_memory(tensor):
                writer.known.invalidate(tensor)
        return event

    def _end(
        self,
        step: Step,
        event: Event,
        call: ops.Call,
        result: object,
        draft: Draft | None,
    ) -> None:
        writer, op = self._writer, call.op
        results, plain = ops.returned(result)
        if plain:
            event.plain = ", ".join(plain)
        slotted = results + ops.written_only(results, call.written)
        for slot, tensor in slotted:
            content = self._output(event, op, call, slot, tensor)
            event.outputs.append((slot, "[%d]" % slot if slot else "out", content))
        step.count(event)
        number = writer.add(event, step.number)
        if step.kept:
            writer.measure(number, event, [tensor for _, tensor in slotted], step.kept)
        if step.window or (writer.reference is None and op.name in step.pick.ops):
            writer.keep_all(event.outputs, [tensor for _, tensor in slotted])
        if draft is not None:
            writer.hasher.fetch()
            self._capsules.end(draft, step, number, event, [tensor for _, tensor in slotted])
        if self._substitution is not None and step.inside:
            self._substitution.apply(op, event, slotted, step.kept)
        if not step.inside and writer.queued >= _GAP_COMMIT:
            writer.flush()
            writer.commit()

    def _output(
        self,
        event: Event,
        op: ops.Op,
        call: ops.Call,
        slot: int,
        tensor: torch.Tensor,
    ) -> Content | None:
        writer = self._writer
        if not writer.readable(tensor):
            return None
        if tensor.numel():
            storage = storage_of(tensor)
            # most outputs lie in memory of their own
            found = _shared(event, call, storage) if writer.known.occupies(storage) else None
            if found is not None:
                return writer.known.find(tensor) or writer.view(tensor, *found)
        if op.uninitialised or slot in op.noise:
            return writer.remember(tensor, schema.SOURCE_OP, None, None)
        content = writer.fresh(tensor, schema.SOURCE_OP, mutated=bool(op.written))
        event.computed.append(content)
        return content


def _shared(event: Event, call: ops.Call, storage: int) -> tuple[Content, torch.Tensor] | None:
    """The first input that lies in a storage which is not written to: its views need no hash."""
    for tensor in call.written:
        if has_plain_memory(tensor) and storage_of(tensor) == storage:
            return None
    for (_, tensor), (_, _, content) in zip(call.inputs, event.inputs):
        if content is not None and tensor.numel() and storage_of(tensor) == storage:
            return content, tensor
    return None


class _Legible:
    """What torch refuses to say of a tensor of some unknown kind is noted; the op has run."""

    __slots__ = ("_func", "_uncovered")

    def __init__(self, uncovered: Uncovered, func: Callable[..., Any]) -> None:
        self._uncovered = uncovered
        self._func = func

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if not isinstance(error, (RuntimeError, NotImplementedError)):
            return False
        lines = str(error).splitlines() or [type(error).__name__]
        self._uncovered.note("op not read", "%s: %s" % (self._func, lines[0]))
        return True


class OpMode(Mode):
    """Hands every op to the recorder; torch takes the mode off while the handler runs."""

    def __init__(self, recorder: OpRecorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Record one op call."""
        return self._recorder.dispatch(func, args, kwargs or {})
