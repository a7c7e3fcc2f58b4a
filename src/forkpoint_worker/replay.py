"""Running single op calls again: capsules, and calls that documents describe."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import sys
import time
from typing import IO, Any, Callable, Iterator, Mapping, Sequence

import torch

from . import capsules, metrics, settings, state
from .capsules import INPUTS, OUTPUTS
from .digest import digest_text, dtype_name
from .exact import distances
from .hasher import Hasher, final
from .mapped import Maps
from .ops import Op, returned, written_only
from .rebuild import Arguments, Malformed, tensors_of
from .settle import settle
from .status import Status

_MAX_ROWS = 1 << 14
_POLL = 0.005


class Replay:
    """Does the calls of one file, one after the other, and writes an answer for each."""

    def __init__(self, job: Mapping[str, Any], control: str, status: Status) -> None:
        self._job = job
        self._answers = os.path.join(control, "replayed.jsonl")
        self._status = status
        self._hasher = Hasher()
        self._own = state.capture()

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
            answer.update(status="unsupported", reason=text)
        except Exception as error:  # noqa: BLE001 - what an op raises is the answer
            reason = "%s: %s" % (type(error).__name__, str(error)[:2000])
            answer.update(status="raised", reason=reason)
        answer["seconds"] = time.monotonic() - started
        return answer

    def _one(self, call: Mapping[str, Any]) -> dict[str, Any]:
        subject = _Subject(call)
        op = Op(_find(subject.document["op"]))
        _require_device(subject)
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

    def __init__(self, call: Mapping[str, Any]) -> None:
        self._folder: str | None = call.get("capsule")
        data = capsules.read(self._folder) if self._folder else {}
        if data.get("reason"):
            raise _Refused("unsupported", data["reason"])
        self.random = bool(data.get("random"))
        self.document: Mapping[str, Any] = call.get("call") or data["call"]
        self.device: str | None = call.get("device")
        self._raised = call.get("as") == "float64"
        self.state: Mapping[str, Any] | None = None
        asked = call.get("state", True)
        if isinstance(asked, str):
            self.state = capsules.read(asked)["state"]
        elif asked:
            self.state = data.get("state")
        self._maps = Maps(self._folder or ".")

    def arguments(self) -> Arguments:
        """Arguments for one run."""
        return Arguments(self.document, self._stored, device=self.device, raised=self._raised)

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
        found = self._maps.tensor(INPUTS, key, torch.uint8, (-1,))
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


def _find(name: str) -> Callable[..., Any]:
    """The op overload of this name; nothing but ops of torch's own libraries is looked up."""
    refused = capsules.refused(name)
    if refused is not None:
        raise _Refused("unsupported", refused)
    library, base, overload = name.split(".")
    try:
        found = getattr(getattr(getattr(torch.ops, library), base), overload)
    except (AttributeError, RuntimeError):
        found = None
    if not isinstance(found, torch._ops.OpOverload):
        raise _Refused("no_such_op", "torch %s has no op %s" % (torch.__version__, name))
    checked: Callable[..., Any] = found
    return checked


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
