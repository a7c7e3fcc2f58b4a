"""Recording: `nn.Module.__call__` patched once, and ATen ops by a dispatch mode.

Nothing that the script computes passes through here changed: arguments and results are handed
on as they are, and digests are taken beside them.
"""

import contextlib
import threading

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from . import ops, schema
from ._compat import disable_modes, is_compiling, optimized_module_class
from .known import storage_of
from .status import NoStatus
from .steps import Roots, Step
from .values import Signatures, outputs
from .writer import Event, Writer

_GAP_FLUSH = 2000  # ops between steps are written in portions


class StopScript(BaseException):
    """Ends the script after the last step that was asked for; not an error of anybody's."""


class RecordingBroken(BaseException):
    """The recorder itself failed (a full disk, say); carries the cause."""


class _Thread(threading.local):
    step = None  # the step under way
    after = None  # the last finished step, for ops between steps
    stack = ()  # paths of the modules under way
    busy = False  # the recorder's own tensor work must not be recorded
    opaque = False  # inside something that must run as if nobody watched
    mode = False  # a dispatch mode is active in this thread


class Recorder:
    """Records while it is installed; one at a time in a process."""

    def __init__(self, folder, plan, options, status=None):
        self.steps = 0
        self.error = None
        self._plan = plan
        self._stop_after = options.get("stop_after")
        self._only = options.get("only")
        self._writer = Writer(
            folder, options["max_storage"], options.get("reference"), plan.reserve
        )
        self._status = status or NoStatus()
        self._thread = _Thread()
        self._lock = threading.RLock()
        self._off = False
        self._roots = Roots()
        self._signatures = Signatures()
        self._ops = {}
        self._texts = {}
        self._original = None
        self._mode = None

    @property
    def uncovered(self):
        """Where to note what cannot be seen."""
        return self._writer.uncovered

    @property
    def attention(self):
        """Attention implementations of the roots seen, as fingerprint entries."""
        return self._roots.attention

    @property
    def storage_full(self):
        """Whether tensors were left out for want of room."""
        return self._writer.shards.full

    @property
    def digest_methods(self):
        """How digests were computed, by device."""
        return self._writer.hasher.methods

    # installing

    def install(self):
        """Start to watch; ops too if any step is recorded op by op."""
        original = self._original = torch.nn.Module.__call__
        recorder = self

        def __call__(self, *args, **kwargs):  # noqa: N807 - it replaces Module.__call__
            if is_compiling():  # traced by torch.compile: the graph must not see us
                return original(self, *args, **kwargs)
            return recorder._call(self, args, kwargs)

        torch.nn.Module.__call__ = __call__
        if self._plan.has_ops:
            self._mode = _Mode(self)
            self._mode.__enter__()
            self._thread.mode = True

    def uninstall(self):
        """Stop to watch and write what is left."""
        torch.nn.Module.__call__ = self._original
        if self._mode is not None:
            self._mode.__exit__(None, None, None)
        if self.error is None and not self._off:
            with self._own_work():
                if self._thread.after is not None:
                    self._writer.flush(self._thread.after.number)
                self._writer.close()

    def leave(self):
        """In a forked child: never touch the recording again."""
        self._off = True

    @contextlib.contextmanager
    def _own_work(self):
        """The recorder's own tensor operations and writes; a failure ends the recording."""
        thread = self._thread
        before, thread.busy = thread.busy, True
        try:
            with self._lock, torch.no_grad():
                yield
        except Exception as error:
            self.error, self._off = error, True
            raise RecordingBroken from error
        finally:
            thread.busy = before

    # modules

    def _call(self, module, args, kwargs):
        thread, step = self._thread, self._thread.step
        if self._off or thread.busy or thread.opaque:
            return self._original(module, *args, **kwargs)
        if step is None:
            if self._only is not None and module is not self._only:
                return self._original(module, *args, **kwargs)
            return self._outermost(module, args, kwargs)
        if step.level == schema.BARE:
            return self._original(module, *args, **kwargs)
        path = step.path(module)
        result = self._run(step, path, module, args, kwargs)
        with self._own_work():
            self._module_end(step, path, result)
        return result

    def _outermost(self, module, args, kwargs):
        thread = self._thread
        step = self._begin(module, args, kwargs)
        thread.step = step
        state = schema.RAISED
        try:
            with self._ops_in_this_thread(step):
                result = self._run(step, "", module, args, kwargs)
            with self._own_work():
                self._module_end(step, "", result)
            state = schema.COMPLETE
        finally:
            thread.step, thread.stack = None, ()
            if not self._off:
                self._end(step, state)
        if self._stop_after is not None and step.number + 1 >= self._stop_after:
            raise StopScript
        return result

    def _run(self, step, path, module, args, kwargs):
        """The module's own call, as unobserved as it has to be."""
        thread = self._thread
        self._status.write(step.number, path or step.name)
        stack = thread.stack
        thread.stack = stack + (path,)
        try:
            if isinstance(module, optimized_module_class()):
                self.uncovered.note("compiled graph", path or step.name)
                return self._unseen(module, args, kwargs)
            if isinstance(module, torch.jit.ScriptModule):
                self.uncovered.note("scripted module", path or step.name)
            return self._original(module, *args, **kwargs)
        finally:
            thread.stack = stack

    def _unseen(self, module, args, kwargs):
        self._thread.opaque = True
        try:
            with disable_modes():
                return self._original(module, *args, **kwargs)
        finally:
            self._thread.opaque = False

    @contextlib.contextmanager
    def _ops_in_this_thread(self, step):
        """Dispatch modes belong to a thread: others than the main one get theirs a step long."""
        if step.level != schema.OP or self._thread.mode:
            yield
            return
        self._thread.mode = True
        try:
            with _Mode(self):
                yield
        finally:
            self._thread.mode = False

    def _begin(self, module, args, kwargs):
        with self._own_work():
            self._flush_gap()
            number, self.steps = self.steps, self.steps + 1
            step = Step(number, self._plan.pick(number), self._roots, module)
            if self._writer.reference is not None:
                step.kept = self._writer.reference.step(number)
            self._weights(step, module)
            event = Event(schema.KIND_INPUT, "")
            flat = self._signatures.inputs(module, args, kwargs)
            for slot, (name, tensor) in enumerate(flat.tensors):
                content = self._writer.content(tensor, schema.SOURCE_INPUT)
                event.inputs.append((slot, name, content))
            event.sign = event.plain = ", ".join(flat.plain)
            for kind in flat.opaque:
                self.uncovered.note("input of an unknown type", kind)
            self._writer.add(event)
            self._step_row(step, schema.OPEN)
            self._writer.flush(number)
            self._writer.commit()
        return step

    def _weights(self, step, module):
        tensors = list(module.named_parameters()) + list(module.named_buffers())
        if not self._roots.weights_changed(module, tensors):
            return
        event = Event(schema.KIND_WEIGHTS, "")
        for slot, (name, tensor) in enumerate(tensors):
            content = self._writer.content(tensor, schema.SOURCE_WEIGHT)
            event.inputs.append((slot, name, content))
        self._writer.add(event)

    def _module_end(self, step, path, result):
        event = Event(schema.KIND_MODULE, path)
        step.count(event)
        flat = outputs(result)
        writer = self._writer
        for slot, (name, tensor) in enumerate(flat.tensors):
            content = writer.content(tensor, schema.SOURCE_OP)
            event.outputs.append((slot, name, content))
        event.plain = ", ".join(flat.plain)
        for kind in flat.opaque:
            self.uncovered.note("output of an unknown type", kind)
        number = writer.add(event)
        tensors = [tensor for _, tensor in flat.tensors]
        if writer.reference is not None:
            writer.measure(number, event, tensors, step.kept)
        elif step.pick.keeps(path):
            self._keep(event.outputs, tensors, root=path == "")
        self._move_window(step, path, event.call)

    def _move_window(self, step, path, call):
        if step.pick.window:
            place = "%s:%d" % (path, call)
            if place == step.pick.after:
                step.window = True
            elif place == step.pick.until:
                step.window = False

    def _keep(self, entries, tensors, root=False):
        for (_, _, content), tensor in zip(entries, tensors):
            self._writer.keep(content, tensor, root)

    def _end(self, step, state):
        with self._own_work():
            self._step_row(step, state)
            self._writer.flush(step.number)
            self._writer.commit()
            step.inside, step.window = 0, False
            self._thread.after = step

    def _step_row(self, step, state):
        name = self._writer.index.name(step.name)
        thread = 0 if threading.current_thread() is threading.main_thread() else 1
        self._writer.index.add("step", (step.number, name, step.level, state, thread))

    def _flush_gap(self):
        if self._thread.after is not None:
            self._writer.flush(self._thread.after.number)
            self._thread.after = None

    # ops

    def dispatch(self, func, args, kwargs):
        """One ATen op call: run it, and write it down where the step asks for it."""
        thread = self._thread
        step = thread.step if thread.step is not None else thread.after
        if (
            step is None or step.level != schema.OP
            or self._off or thread.busy or thread.opaque
        ):  # fmt: skip
            return func(*args, **kwargs)
        op = self._ops.get(func)
        if op is None:
            op = self._ops[func] = ops.Op(func)
        call = ops.Call(op, args, kwargs)
        module = thread.stack[-1] if thread.stack else ""
        self._status.write(step.number, module, op.name)
        with self._own_work():
            event = self._op_begin(step, module, op, call)
        result = func(*args, **kwargs)
        with self._own_work():
            self._op_end(step, event, op, call, result)
        return result

    def _op_begin(self, step, module, op, call):
        writer = self._writer
        event = Event(schema.KIND_OP, module, op.name, step.inside)
        for slot, (name, tensor) in enumerate(call.inputs):
            event.inputs.append((slot, name, writer.identify(tensor)))
        if step.window:
            self._keep(event.inputs, [tensor for _, tensor in call.inputs])
        for tensor in call.written:
            writer.known.invalidate(tensor)
        return event

    def _op_end(self, step, event, op, call, result):
        writer = self._writer
        event.sign = self._signature(call.key)
        tensors, plain = ops.returned(result)
        event.plain = ", ".join(plain)
        given = {id(tensor) for _, tensor in tensors}
        last = max((slot for slot, _ in tensors), default=-1)
        extra = [tensor for tensor in call.written if id(tensor) not in given]
        tensors += enumerate(extra, last + 1)
        shared = self._sharing(event, call)
        for slot, tensor in tensors:
            content = self._output(op, slot, tensor, shared)
            event.outputs.append((slot, "[%d]" % slot if slot else "out", content))
        step.count(event)
        number = writer.add(event)
        if step.kept:
            writer.measure(number, event, [tensor for _, tensor in tensors], step.kept)
        if step.window:
            self._keep(event.outputs, [tensor for _, tensor in tensors])
        if not step.inside and writer.queued >= _GAP_FLUSH:
            writer.flush(step.number)

    def _sharing(self, event, call):
        """Inputs that are not written to, by storage: (content, tensor); views need no hash."""
        written = {id(tensor) for tensor in call.written}
        shared = {}
        for (_, tensor), (_, _, content) in zip(call.inputs, event.inputs):
            if content is not None and id(tensor) not in written and tensor.numel():
                shared.setdefault(storage_of(tensor), (content, tensor))
        return shared

    def _output(self, op, slot, tensor, shared):
        writer = self._writer
        if not writer.readable(tensor):
            return None
        base, owner = shared.get(storage_of(tensor) if tensor.numel() else None, (None, None))
        if base is not None:
            return writer.known.find(tensor) or writer.view(tensor, base, owner)
        if op.uninitialised or slot in op.noise:
            return writer.remember(tensor, schema.SOURCE_OP, None, None)
        return writer.fresh(tensor, schema.SOURCE_OP, mutated=bool(op.written))

    def _signature(self, key):
        try:
            return self._texts[key]
        except KeyError:
            text = self._texts[key] = ops.signature(key)
            return text


class _Mode(TorchDispatchMode):
    """Hands every op to the recorder; torch takes the mode off while the handler runs."""

    def __init__(self, recorder):
        super().__init__()
        self._recorder = recorder

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # noqa: ARG002
        return self._recorder.dispatch(func, args, kwargs or {})
