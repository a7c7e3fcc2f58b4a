"""Recording: `nn.Module.__call__` patched once, and ATen ops by a dispatch mode (`op_recorder`).

Nothing that the script computes passes through here changed: arguments and results are handed
on as they are, and digests are taken beside them.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import threading
from typing import Any, Callable, Iterator, Mapping, Sequence

import torch

from . import schema
from ._compat import TRACED, is_compiled, is_compiling, no_numbers, tracing
from .aside import Aside
from .auditor import Auditor, Ticket
from .capsules import Capsules
from .guard import Enough, Guard
from .op_recorder import OpMode, OpRecorder
from .options import Options
from .outside import Outside
from .plan import Plan
from .rows import Event
from .status import NoStatus, Status
from .steps import Roots, Step
from .swap import Swap
from .uncovered import Uncovered
from .values import Signatures, outputs
from .watch import CallRecorder
from .writer import Writer


class Recorder:
    """Records while it is installed; one at a time in a process."""

    def __init__(
        self, folder: str, plan: Plan, options: Options, status: Status | None = None
    ) -> None:
        self.steps = 0
        self._plan = plan
        self._options = options
        self._writer = Writer(folder, options.max_storage, options.reference, plan.reserve)
        self._status = status or NoStatus()
        self._guard = Guard()
        self._guard.ending = options.ending
        self._thread = self._guard.thread
        self._threads = itertools.count(1)
        self._under_way: set[int] = set()
        self._roots = Roots()
        self._signatures = Signatures()
        self._ops = OpRecorder(
            self._guard,
            self._writer,
            self._status,
            Capsules(
                folder + "/capsules", self._writer.shards, self.uncovered, options.fingerprint
            ),
            options.substitute,
        )
        reference = options.reference
        swap = Swap(options.swap, reference, self._writer) if reference and options.swap else None
        self.calls = CallRecorder(self._guard, self._writer, swap)
        asked = options.variants
        self._auditor = Auditor(asked, options.max_storage, self._guard) if asked else None
        looks = options.only is None and plan.observes
        self._outside = Outside(self._guard, self.uncovered) if looks else None
        self._aside = Aside(self._guard, self._writer, self._outside)
        self._original: Callable[..., Any] = torch.nn.Module.__call__
        self._installed: Callable[..., Any] | None = None
        self._mode: OpMode | None = None

    @property
    def error(self) -> Exception | None:
        """What broke the recording, or None."""
        return self._guard.error

    @property
    def uncovered(self) -> Uncovered:
        """Where to note what cannot be seen."""
        return self._writer.uncovered

    @property
    def attention(self) -> Mapping[str, str]:
        """Attention implementations of the roots seen, as fingerprint entries."""
        return self._roots.attention

    @property
    def refused(self) -> int:
        """How many tensors the disk did not take."""
        return self._writer.refused

    @property
    def storage_full(self) -> bool:
        """Whether tensors were left out for want of room."""
        return self._writer.shards.full

    @property
    def digest_methods(self) -> Mapping[str, str]:
        """How digests were computed, by device."""
        return self._writer.hasher.methods

    # installing

    def install(self) -> None:
        """Start to watch; ops too if any step is recorded op by op."""
        original = self._original = torch.nn.Module.__call__
        record = self._call

        @functools.wraps(original, updated=())
        def __call__(self: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
            if is_compiling():  # traced by torch.compile: the graph must not see us
                return original(self, *args, **kwargs)
            return record(self, args, kwargs)

        del __call__.__wrapped__  # nobody is to go around us by it
        torch.nn.Module.__call__ = self._installed = __call__
        self._aside.install()
        if self._plan.has_ops:
            self._mode = self._thread.mode = OpMode(self._ops)
            self._mode.__enter__()
        if self._outside is not None:
            self._outside.install()

    def uninstall(self) -> None:
        """Stop to watch and write what is left."""
        if torch.nn.Module.__call__ is self._installed:  # else the script has wrapped it
            torch.nn.Module.__call__ = self._original
        self._aside.uninstall()
        if self._outside is not None:
            self._outside.uninstall()
        if self._mode is not None:
            self._mode.__exit__(None, None, None)
            self._thread.mode = None
        if not self._guard.off:
            with self._guard:
                self.close()
        self._guard.off = True

    def close(self) -> None:
        """Write what is left; in the guard."""
        self._writer.flush()
        self._writer.close()

    def leave(self) -> None:
        """In a forked child: never touch the recording again."""
        self._guard.off = True

    # modules

    def _call(self, module: torch.nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        thread = self._thread
        step = thread.step
        if self._guard.off or thread.busy or thread.opaque:
            return self._original(module, *args, **kwargs)
        if step is None:
            return self._outermost(module, args, kwargs)
        if step.again is not None:
            path = step.path(module)
            result = self._run(step, path, module, args, kwargs)
            step.again(path, result)
            return result
        if step.level == schema.BARE:
            return self._original(module, *args, **kwargs)
        return self._inner(step, module, args, kwargs)

    def _inner(
        self, step: Step, module: torch.nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        if tracing():
            return self._unrecorded(TRACED, module, args, kwargs)
        path = step.path(module)
        result = self._run(step, path, module, args, kwargs)
        with self._guard:
            self._module_end(step, path, result)
        return result

    def _unrecorded(
        self, why: str, module: torch.nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """A call that makes no numbers, but a graph or shapes: it is no step."""
        self.uncovered.note(why, type(module).__name__)
        with self._aside.unseen():
            return self._original(module, *args, **kwargs)

    def _outermost(
        self, module: torch.nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        only = self._options.only
        if only is not None and module is not only:
            return self._original(module, *args, **kwargs)
        empty = no_numbers(args, kwargs)
        if empty:
            return self._unrecorded(empty, module, args, kwargs)
        outside = self._outside
        back = outside is not None and outside.suspend()
        try:
            return self._step(module, args, kwargs)
        finally:
            if back and outside is not None:
                outside.resume()

    def _step(self, module: torch.nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        thread = self._thread
        begun: tuple[Step, Ticket | None] | None = None
        with self._guard:
            step = self._begin(module, args, kwargs)
            auditor = self._auditor
            begun = step, auditor.before(step, module, args, kwargs) if auditor else None
        if begun is None:  # the recorder broke over it
            return self._original(module, *args, **kwargs)
        step, ticket = begun
        thread.step = step
        state = schema.RAISED
        try:
            with self._ops_in_this_thread(step):
                result = self._run(step, "", module, args, kwargs)
            with self._guard:
                self._module_end(step, "", result)
            state = schema.COMPLETE
            if ticket is not None:
                self._vary(step, module, ticket, result)
        finally:
            thread.step, thread.stack = None, ()
            if not self._guard.off:
                with self._guard:
                    self._end(step, state)
                    self._enough(step)
        return result

    def _enough(self, step: Step) -> None:
        """End the run where all steps that were asked for have ended; in the guard."""
        self._under_way.discard(step.number)
        last = self._options.stop_after
        if last is None or self.steps < last:
            return
        if not any(number < last for number in self._under_way):
            raise Enough

    def _vary(self, step: Step, module: torch.nn.Module, ticket: Ticket, result: object) -> None:
        """Make the step's call again with other inputs; the script has its result already."""
        assert self._auditor is not None  # it gave the ticket
        try:
            self._auditor.after(ticket, result, functools.partial(self._again, step, module))
        except Exception as error:  # noqa: BLE001 - ours, whatever it is: the script goes on
            self._guard.fail(error)

    def _again(
        self,
        step: Step,
        module: torch.nn.Module,
        seen: Callable[[str, object], None],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """Call a step's module once more; ``seen`` gets the path and result of each module."""
        step.again = seen
        try:
            result = self._run(step, "", module, args, kwargs)
            seen("", result)
            return result
        finally:
            step.again = None

    def _run(
        self,
        step: Step,
        path: str,
        module: torch.nn.Module,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """The module's own call, as unobserved as it has to be."""
        thread = self._thread
        self._status.write(step.number, path or step.name)
        stack = thread.stack
        thread.stack = (*stack, path)
        try:
            if is_compiled(module):
                self.uncovered.note("compiled graph", path or step.name)
                with self._aside.unseen():
                    return self._original(module, *args, **kwargs)
            if isinstance(module, torch.jit.ScriptModule):
                self.uncovered.note("scripted module", path or step.name)
            return self._original(module, *args, **kwargs)
        finally:
            thread.stack = stack

    @contextlib.contextmanager
    def _ops_in_this_thread(self, step: Step) -> Iterator[None]:
        """Dispatch modes belong to a thread: others than the main one get theirs a step long."""
        if step.level != schema.OP or self._thread.mode is not None:
            yield
            return
        self._thread.mode = OpMode(self._ops)
        try:
            with self._thread.mode:
                yield
        finally:
            self._thread.mode = None

    def _begin(
        self, module: torch.nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Step:
        writer = self._writer
        number, self.steps = self.steps, self.steps + 1
        self._under_way.add(number)
        step = Step(number, self._plan.pick(number), self._roots, module)
        step.thread = self._thread_number()
        if writer.reference is not None:
            step.kept = writer.reference.step(number)
        writer.known.watch(step.level == schema.OP)
        self._weights(step, module)
        self._inputs(step, module, args, kwargs)
        self._step_row(step, schema.OPEN)
        writer.flush()
        writer.commit()
        self._thread.after = None
        return step

    def _inputs(
        self,
        step: Step,
        module: torch.nn.Module,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> None:
        """The step's input event; hashed every time, as numpy may have written to their memory."""
        writer = self._writer
        event = Event(schema.KIND_INPUT, "")
        flat = self._signatures.inputs(module, args, kwargs)
        for slot, (name, tensor) in enumerate(flat.tensors):
            content = writer.anew(tensor, schema.SOURCE_INPUT)
            event.inputs.append((slot, name, content))
        event.taken, event.sign, event.plain = flat, flat.shown, flat.exact
        for kind in flat.opaque:
            self.uncovered.note("input of an unknown type", kind)
        writer.add(event, step.number)

    def _weights(self, step: Step, module: torch.nn.Module) -> None:
        changed = self._roots.changed_weights(module)
        if changed is None:
            return
        event = Event(schema.KIND_WEIGHTS, "")
        for slot, (name, tensor) in enumerate(self._roots.weights(module).items()):
            read = self._writer.anew if name in changed else self._writer.content
            content = read(tensor, schema.SOURCE_WEIGHT)
            event.inputs.append((slot, name, content))
        self._writer.add(event, step.number)

    def _module_end(self, step: Step, path: str, result: object) -> None:
        event = Event(schema.KIND_MODULE, path)
        step.count(event)
        flat = outputs(result)
        writer = self._writer
        for slot, (name, tensor) in enumerate(flat.tensors):
            content = writer.content(tensor, schema.SOURCE_OP)
            event.outputs.append((slot, name, content))
        event.plain = flat.exact
        if path == "":
            event.given = flat
        for kind in flat.opaque:
            self.uncovered.note("output of an unknown type", kind)
        number = writer.add(event, step.number)
        if writer.reference is not None:
            writer.measure(number, event, [tensor for _, tensor in flat.tensors], step.kept)
        elif step.pick.keeps(path):
            tensors = [tensor for _, tensor in flat.tensors]
            writer.keep_all(event.outputs, tensors, root=path == "")
        if step.pick.window:
            step.move_window(path, event.call)

    def _end(self, step: Step, state: int) -> None:
        self._step_row(step, state)
        self._writer.flush()
        self._writer.commit()
        step.inside, step.window = 0, False
        self._thread.after = step

    def _step_row(self, step: Step, state: int) -> None:
        name = self._writer.index.names[step.name]
        self._writer.index.add("step", (step.number, name, step.level, state, step.thread))

    def _thread_number(self) -> int:
        """0 is the main thread, the others are numbered as they come."""
        thread = self._thread
        if thread.number is None:
            main = threading.current_thread() is threading.main_thread()
            thread.number = 0 if main else next(self._threads)
        return thread.number
