"""Capsules: single op calls, with their inputs and outputs, as portable folders."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Callable, Iterable, Mapping, Sequence

import torch

from . import manifest, memory, schema, state
from .describe import Description
from .digest import digest_text, dtype_name
from .libraries import refused
from .mapped import read_json
from .shards import Shards, file_dtype, write_tensors

if TYPE_CHECKING:
    from .ops import Call, Op
    from .rows import Event
    from .steps import Step
    from .uncovered import Uncovered

_LARGEST = 16 << 20  # bytes of a capsule.json

INPUTS, OUTPUTS = "tensors.safetensors", "outputs.safetensors"


class Wanted:
    """Which op calls of a step to keep, from a plan's ``capsules``."""

    __slots__ = ("_calls", "_ops", "_whole")

    def __init__(self, asked: bool | Iterable[str | Sequence[Any]]) -> None:
        self._whole = asked is True
        entries = [] if isinstance(asked, bool) else list(asked)
        self._ops = {entry for entry in entries if isinstance(entry, str)}
        self._calls = {tuple(entry) for entry in entries if not isinstance(entry, str)}

    def takes(self, module: str, op: str, call: int) -> bool:
        """Whether this very call is wanted, whatever was kept before."""
        return (module, op, call) in self._calls

    def takes_first(self, op: str) -> bool:
        """Whether the first call of each of the op's signatures is wanted."""
        return self._whole or op in self._ops


class Draft:
    """A capsule whose op is still to run: its inputs are on disk."""

    def __init__(self, folder: str, data: dict[str, Any]) -> None:
        self.folder = folder
        self.data = data


class Capsules:
    """Writes the capsules of one recording; each signature once, unless a call is asked for."""

    def __init__(
        self, folder: str, shards: Shards, uncovered: Uncovered, fingerprint: Mapping[str, str]
    ) -> None:
        self._folder = folder
        self._shards = shards  # keeps account of the room
        self._uncovered = uncovered
        self._fingerprint = dict(fingerprint)
        self._seen: set[str] = set()
        self._count = 0

    def wants(self, wanted: Wanted, step: Step, module: str, op: Op, call: Call) -> bool:
        """Whether this call is to be kept; says so once for each signature."""
        number = step.calls.get((schema.KIND_OP, module, op.name, step.inside), 0)
        if step.inside and wanted.takes(module, op.name, number):
            return True
        if not wanted.takes_first(op.name) or call.signature in self._seen:
            return False
        self._seen.add(call.signature)
        return True

    def begin(
        self, op: Op, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Draft | None:
        """Write a call's inputs, before the op runs; None where there is no room."""
        description = Description(func, args, kwargs)
        if not self._shards.take(description.bytes):
            self._uncovered.note("capsule not kept", op.name)
            return None
        self._count += 1
        folder = os.path.join(self._folder, "%05d" % self._count)
        os.makedirs(folder)
        if description.reason is None:
            write_tensors(os.path.join(folder, INPUTS), dict(description.contents()))
        return Draft(folder, {
            "format": schema.CAPSULE_FORMAT,
            "call": description.document(),
            "state": state.capture(),
            "fingerprint": self._fingerprint,
            "random": op.draws(args, kwargs),
            "reason": description.reason or _unsuited(op),
        })  # fmt: skip

    def end(
        self,
        draft: Draft,
        step: Step,
        number: int,
        event: Event,
        tensors: Sequence[torch.Tensor],
    ) -> None:
        """Write the outputs, and with them ``capsule.json``: then the capsule is whole."""
        computed = [
            (slot, content, tensor)
            for (slot, _, content), tensor in zip(event.outputs, tensors)
            if content is not None and content.raw is not None and content.base is None
        ]
        size = sum(tensor.numel() * tensor.element_size() for _, _, tensor in computed)
        if not self._shards.take(size):
            self._uncovered.note("capsule not kept", event.op)
            return
        write_outputs(draft.folder, [(slot, tensor) for slot, _, tensor in computed])
        draft.data["outputs"] = [
            {
                "slot": slot,
                "dtype": content.layout.dtype,
                "shape": list(content.layout.shape),
                "digest": digest_text(content.digest or 0),
            }
            for slot, content, _ in computed
        ]
        draft.data["source"] = {
            "step": step.number,
            "inside": bool(step.inside),
            "module": event.module,
            "call": event.call,
            "event": number,
            "signature": event.sign,
        }
        manifest.write(os.path.join(draft.folder, "capsule.json"), draft.data)


def _unsuited(op: Op) -> str | None:
    return UNINITIALISED if op.uninitialised else refused(op.name)


UNINITIALISED = "its result is memory that nobody wrote to"


def write_outputs(folder: str, outputs: Iterable[tuple[int, torch.Tensor]]) -> None:
    """Write ``outputs.safetensors``: contiguous tensors by their slot's number."""
    content = {str(slot): memory.plain(tensor).cpu() for slot, tensor in outputs}
    write_tensors(os.path.join(folder, OUTPUTS), content)


def expected(tensor: torch.Tensor) -> tuple[str, list[int]]:
    """The dtype and shape with which `write_outputs` writes a tensor into the header."""
    return file_dtype(dtype_name(tensor.dtype), tensor.shape, tensor.element_size())


def read(folder: str) -> dict[str, Any]:
    """``capsule.json`` of a folder; raises `ValueError` where it is none."""
    data = read_json(os.path.join(folder, "capsule.json"), _LARGEST)
    if not isinstance(data, dict) or data.get("format") != schema.CAPSULE_FORMAT:
        raise ValueError("%s is no capsule of format %s" % (folder, schema.CAPSULE_FORMAT))
    return dict(data)
