"""Running single op calls again: capsules, and calls that documents describe."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import importlib
import json
import os
import sys
import time
from typing import IO, Any, Callable, Iterator, Mapping, Sequence

import torch

from . import capsules, libraries, metrics, settings, state
from .capsules import INPUTS, OUTPUTS
from .digest import digest_text, dtype_name
from .exact import distances
from .hasher import Hasher, final
from .limits import memory_limit
from .mapped import Maps
from .ops import Op, returned, written_only
from .rebuild import Arguments, Malformed, tensors_of
from .settle import settle
from .status import Status

OVERTIME = "overtime.log"
"""The file in the control folder that is left where a call passed its time."""

_MAX_ROWS = 1 << 14
_GROWTH = 64  # times the bytes of its inputs that a call may take
_A_SECOND = 1 << 26  # bytes of inputs for which the time doubles
_POLL = 0.005


class Replay:
    """Does the calls of one file, one after the other, and writes an answer for each."""

    def __init__(self, job: Mapping[str, Any], control: str, status: Status) -> None:
        self._job = job
        self._answers = os.path.join(control, "replayed.jsonl")
        self._overtime = os.path.join(control, OVERTIME)
        self._status = status
        self._hasher = Hasher()
        self._own = state.capture()
        self._trust = bool(job.get("trust"))
        self._limits: Mapping[str, int] | None = job.get("limits")

    def go(self) -> None:
        """Answer every call; each answer is on disk before the next call begins."""
        settle()
        with open(self._job["calls"]) as calls, open(self._answers, "w") as answers:
            for line in _more(calls) if self._job.get("live") else calls:
                call = json.loads(line)
                self._status.write(-1, "", str(call["id"]))
                answers.write(json.dumps(self._answer(call)) + "\n")
                answers.flush()

    def _answer(self, call: Mapping[str, Any]) -> dict[str, Any]:
        started = time.monotonic()
        answer: dict[str, Any] = {"id": call["id"], "status": "ran", "reason": None}
        try:
            answer.update(self._one(call))
        except _Refused as refused:
            answer.update(status=refused.status, reason=str(refused))
        except (Malformed, KeyError, OSError) as error:
            text = str(error) if isinstance(error, Malformed) else repr(error)
            answer.update(status="unsupported", reason=text[:2000])
        except MemoryError:
            answer.update(status="raised", reason="MemoryError: it asks for more than it may have")
        except Exception as error:  # noqa: BLE001 - what an op raises is the answer
            reason = "%s: %s" % (type(error).__name__, str(error)[:2000])
            answer.update(status="raised", reason=reason)
        answer["seconds"] = time.monotonic() - started
        return answer

    def _one(self, call: Mapping[str, Any]) -> dict[str, Any]:
        subject = _Subject(call, trust=self._trust)
        op = Op(_find(subject.document["op"], trust=self._trust))
        _require_device(subject)
        with self._limited(subject):
            return self._ran(call, subject, op)

    def _ran(self, call: Mapping[str, Any], subject: _Subject, op: Op) -> dict[str, Any]:
        notes = self._set_state(subject)
        prepare = subject.arguments
        first = prepare()
        _require_repeatable(op, first, subject)
        with _mode(subject.state), _profiled(call) as kernels:
            outputs = _run(op, first)
        digests = self._digests(outputs)
        answer: dict[str, Any] = {"reason": "; ".join(notes) or None}
        answer["repeatable"] = all(
            self._again(op, prepare(), subject) == digests
            for _ in range(int(call.get("repeat", 1)) - 1)
        )
        answer["kernels"] = kernels
        if call.get("keep"):
            os.makedirs(call["keep"], exist_ok=True)
            capsules.write_outputs(call["keep"], outputs)
        against = [_Kept(subject.place(one)) for one in call.get("against") or ()]
        answer["outputs"] = [
            self._output(slot, tensor, digest, against, call)
            for (slot, tensor), digest in zip(outputs, digests)
        ]
        return answer

    @contextlib.contextmanager
    def _limited(self, subject: _Subject) -> Iterator[None]:
        """Let a call take what its inputs are worth in memory and time, and no more.

        A process that passes the time is ended from outside of Python, in the middle of an op.
        """
        if self._limits is None:
            yield
            return
        size = subject.bytes
        seconds = self._limits["seconds"] * (1 + size / _A_SECOND)
        with open(self._overtime, "w") as log:
            faulthandler.dump_traceback_later(seconds, exit=True, file=log)
            try:
                with memory_limit(self._limits["memory"] + _GROWTH * size):
                    yield
            finally:
                faulthandler.cancel_dump_traceback_later()
        os.unlink(self._overtime)

    def _again(self, op: Op, arguments: Arguments, subject: _Subject) -> list[str]:
        with _mode(subject.state):
            return self._digests(_run(op, arguments))

    def _set_state(self, subject: _Subject) -> list[str]:
        """Put the state in force that a call asks for; the environment's settings go first."""
        missing = state.restore(subject.state or self._own)
        settings.apply(self._job.get("settings") or {})
        on_gpu = any(torch.device(place).type == "cuda" for place in subject.devices())
        return ["not restored: " + name for name in missing if on_gpu or not state.of_gpu(name)]

    def _digests(self, outputs: Sequence[tuple[int, torch.Tensor]]) -> list[str]:
        raws = [self._hasher.submit(tensor) for _, tensor in outputs]
        self._hasher.fetch()
        return [
            digest_text(final(raw, dtype_name(tensor.dtype), tuple(tensor.shape)))
            for raw, (_, tensor) in zip(raws, outputs)
        ]

    def _output(
        self,
        slot: int,
        tensor: torch.Tensor,
        digest: str,
        against: Sequence[_Kept],
        call: Mapping[str, Any],
    ) -> dict[str, Any]:
        compare = _distances if call.get("as") == "float64" else _metrics
        found: dict[str, Any] = {
            "slot": slot,
            "dtype": dtype_name(tensor.dtype),
            "shape": list(tensor.shape),
            "digest": digest,
            "metrics": [compare(kept, slot, tensor) for kept in against],
        }
        if call.get("rows") and tensor.dim() and tensor.shape[0] <= _MAX_ROWS:
            rows = [(slot, row) for row in tensor.unbind(0)]
            found["rows"] = self._digests(rows)
        return found


def _more(stream: IO[str]) -> Iterator[str]:
    """Whole lines as they are added, until an empty one, or until the host is gone."""
    host = os.getppid()
    rest = ""
    while os.getppid() == host:
        rest += stream.readline()
        if not rest.endswith("\n"):
            time.sleep(_POLL)
            continue
        line, rest = rest, ""
        if not line.strip():
            return
        yield line


class _Refused(Exception):
    """A call that is not run; ``status`` is the answer's."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Subject:
    """What a call runs: its document, the bytes behind it, and the state that it asks for."""

    def __init__(self, call: Mapping[str, Any], *, trust: bool) -> None:
        self._folder: str | None = call.get("capsule")
        data = _content(self._folder) if self._folder else {}
        reason = data.get("reason")
        if reason and not (trust and libraries.is_about_trust(reason)):
            raise _Refused("unsupported", str(reason)[:2000])
        self.random = bool(data.get("random"))
        self.document: Mapping[str, Any] = call.get("call") or data["call"]
        self.device: str | None = call.get("device")
        self._raised = call.get("as") == "float64"
        self.state: Mapping[str, Any] | None = None
        asked = call.get("state", True)
        if isinstance(asked, str):
            self.state = _content(asked)["state"]
        elif asked:
            self.state = data.get("state")
        self._maps = Maps(self._folder or ".")

    def arguments(self) -> Arguments:
        """Arguments for one run."""
        try:
            return Arguments(self.document, self._stored, device=self.device, raised=self._raised)
        except (TypeError, AttributeError, IndexError, OverflowError) as error:
            raise Malformed("no call can be made of it: %s" % error) from error

    @property
    def bytes(self) -> int:
        """Bytes of all storages; each is checked against the file when it is read."""
        return sum(max(0, int(one["bytes"])) for one in self.document["storages"])

    def devices(self) -> list[str]:
        """Where the call's tensors are to lie."""
        if self.device:
            return [self.device]
        return [one["device"] for one in self.document["tensors"]]

    def place(self, against: str) -> str:
        """The folder of outputs that ``against`` names."""
        if against != "capsule":
            return against
        if self._folder is None:
            raise Malformed("a call without a capsule has no outputs of its own")
        return self._folder

    def _stored(self, key: str, count: int) -> torch.Tensor:
        if self._folder is None:
            raise Malformed("a call without a capsule has no stored bytes")
        if not count:
            return torch.empty(0, dtype=torch.uint8, device="cpu")
        try:
            found = self._maps.tensor(INPUTS, key, torch.uint8, (-1,))
        except ValueError as error:
            raise Malformed(str(error)) from error
        if found.numel() != count:
            raise Malformed("storage %r has %d bytes, not %d" % (key, found.numel(), count))
        return found


class _Kept:
    """Outputs in a folder; read when they are compared."""

    def __init__(self, folder: str) -> None:
        self._maps = Maps(folder)

    def like(self, slot: int, tensor: torch.Tensor) -> torch.Tensor | None:
        """What was kept of a slot, if it has the tensor's dtype and shape."""
        entry = self._maps.entries(OUTPUTS).get(str(slot))
        if entry is None or (entry["dtype"], entry["shape"]) != capsules.expected(tensor):
            return None
        return self._maps.tensor(OUTPUTS, str(slot), tensor.dtype, tensor.shape)

    def floating(self, slot: int) -> torch.Tensor | None:
        """What was kept of a slot, if it is a floating tensor."""
        entry = self._maps.entries(OUTPUTS).get(str(slot))
        dtype = _FLOATS.get(entry["dtype"]) if entry else None
        if entry is None or dtype is None:
            return None
        return self._maps.tensor(OUTPUTS, str(slot), dtype, entry["shape"])


_FLOATS = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
}  # fmt: skip


def _metrics(kept: _Kept, slot: int, tensor: torch.Tensor) -> Any:
    if not metrics.measurable(tensor.dtype):
        return None
    other = kept.like(slot, tensor)
    return None if other is None else json.loads(metrics.compare(other, tensor, None))


def _distances(kept: _Kept, slot: int, tensor: torch.Tensor) -> Any:
    other = kept.floating(slot)
    if other is None or not tensor.dtype.is_floating_point or other.shape != tensor.shape:
        return None
    return distances(other, tensor.cpu())


def _content(folder: str) -> dict[str, Any]:
    try:
        return capsules.read(folder)
    except ValueError as error:
        raise Malformed(str(error)) from error


def _find(name: object, *, trust: bool) -> Callable[..., Any]:
    """The op overload of this name; nothing but ops of torch's own libraries is looked up.

    ``trust`` lets other libraries in, and imports the package that is called as the library is,
    where the op is not there yet and such a package is.
    """
    parts = libraries.parts_of(name) if isinstance(name, str) else None
    refused = libraries.refused(str(name), trust=trust)
    if refused is not None or parts is None:
        raise _Refused("unsupported", refused or "an op without a name")
    library, base, overload = parts
    if not _registered(library, base, overload) and trust and library not in libraries.OWN:
        with contextlib.suppress(ImportError):
            importlib.import_module(library)
    if _registered(library, base, overload):
        # of a name that is registered no attribute but the op itself is to be had
        found = getattr(getattr(getattr(torch.ops, library), base), overload)
        if isinstance(found, torch._ops.OpOverload):
            checked: Callable[..., Any] = found
            return checked
    where = "torch %s" % torch.__version__
    if library not in libraries.OWN:
        where += " (with or without a package called %s)" % library
    raise _Refused("no_such_op", "%s has no op %s" % (where, name))


def _registered(library: str, base: str, overload: str) -> bool:
    """Whether torch's registry of ops has this one: nothing is looked up as an attribute."""
    schemas = torch._C._jit_get_schemas_for_operator("%s::%s" % (library, base))
    wanted = "" if overload == "default" else overload
    return any(schema.overload_name == wanted for schema in schemas)


def _require_device(subject: _Subject) -> None:
    for place in subject.devices():
        device = torch.device(place)
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            raise _Refused("no_such_device", "there is no %s here" % place)
        if device.type not in ("cpu", "cuda"):
            raise _Refused("no_such_device", "replay knows cpu and cuda, not %s" % place)


def _require_repeatable(op: Op, arguments: Arguments, subject: _Subject) -> None:
    if subject.random or op.draws(arguments.positional, arguments.keywords):
        raise _Refused("random", "%s draws from a random generator" % op.name)
    if op.uninitialised:
        raise _Refused("unsupported", capsules.UNINITIALISED)


def _run(op: Op, arguments: Arguments) -> list[tuple[int, torch.Tensor]]:
    """Run the op; its tensors by slot, as a recording numbers them."""
    result = op.func(*arguments.positional, **arguments.keywords)
    given = dict(zip(op.arguments, arguments.positional), **arguments.keywords)
    names = [name for name in op.arguments if name in op.written and name in given]
    written = tensors_of([given[name] for name in names])
    tensors, _ = returned(result)
    return [
        (slot, tensor)
        for slot, tensor in tensors + written_only(tensors, written)
        if slot not in op.noise
    ]


@contextlib.contextmanager
def _mode(wanted: Mapping[str, Any] | None) -> Iterator[None]:
    inference = bool(wanted and wanted.get("inference"))
    with torch.inference_mode() if inference else torch.no_grad():
        yield


@contextlib.contextmanager
def _profiled(call: Mapping[str, Any]) -> Iterator[list[str]]:
    """Names of the CUDA kernels that ran; on a CPU, marks around what MKL and oneDNN print."""
    names: list[str] = []
    if not call.get("profile"):
        yield names
        return
    if not torch.cuda.is_available():
        _mark("begin", call["id"])
        yield names
        _mark("end", call["id"])
        return
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        yield names
        torch.cuda.synchronize()
    names += [
        event.name
        for event in profile.events() or ()
        if str(event.device_type).endswith("CUDA") and not event.name.startswith("Mem")
    ]


def _mark(word: str, name: object) -> None:
    """A line on standard output, in order with what native code prints there."""
    ctypes.CDLL(None).fflush(None)
    print("forkpoint-call %s %s" % (word, name))
    sys.stdout.flush()
