"""Calling modules again with varied inputs (`variants`), and writing down what became of each.

The script's own call runs first, unobserved, and its result is what the script gets. Then the
same call is made again with copies of its inputs; where that does not give the same bits, or
the call draws random numbers, nothing can be said of the module, and that is the answer.
"""

from __future__ import annotations

import json
from typing import Any, Mapping, Sequence

import torch

from ._compat import is_compiled
from .digest import dtype_name
from .guard import Guard
from .inputs import Inputs, copied
from .packed import returned
from .restore import Generators, Modules, weight_marks
from .steps import Step
from .values import Signatures, outputs
from .variants import PROMPTS
from .varied import Run, Seen, Varied


class Ticket:
    """A step whose own call is about to run: copies of its inputs, and how its module was."""

    def __init__(self, step: Step, module: torch.nn.Module, inputs: Inputs) -> None:
        self.step = step
        self.module = module
        self.inputs = inputs
        if not inputs.opaque:  # else it is refused
            self.inputs = inputs.like(*inputs.changed(copied))
        self.weights = weight_marks(module)
        self.generators = Generators()

    def about(self) -> dict[str, Any]:
        """What every row of the answer begins with."""
        return {
            "step": self.step.number,
            "module": self.step.name,
            "inputs": [
                {"name": name, "shape": list(tensor.shape), "dtype": dtype_name(tensor.dtype)}
                for name, tensor in self.inputs.tensors
            ],
        }


class Auditor:
    """Varies the steps that a job's ``variants`` names: by default one of each input shape."""

    def __init__(self, asked: Mapping[str, Any], room: int, guard: Guard) -> None:
        self._asked = asked
        self._room = room
        self._guard = guard
        self._signatures = Signatures()
        self._seen: set[tuple[Any, ...]] = set()

    def before(
        self, step: Step, module: torch.nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Ticket | None:
        """A ticket for the step, where it is to be varied."""
        ranges = self._asked.get("steps")
        if ranges is not None and not any(start <= step.number < stop for start, stop in ranges):
            return None
        inputs = Inputs(module, args, kwargs, self._signatures)
        shapes = tuple((name, tuple(t.shape), t.dtype) for name, t in inputs.tensors)
        kind = step.name, shapes, step.number if ranges is not None else None
        if kind in self._seen or len(self._seen) >= self._asked["limit"]:
            return None
        self._seen.add(kind)
        return Ticket(step, module, inputs)

    def after(self, ticket: Ticket, result: object, run: Run) -> None:
        """Vary the step; ``run`` calls its module with the given arguments, unrecorded."""
        self._write(ticket.about())
        if not any(self._asked.get(name) not in (None, False) for name in PROMPTS):
            return
        with self._guard:
            refused, modules = _refusal(ticket, result), None
            if not refused:
                modules = Modules.keep(ticket.module, self._room)
            generators = Generators()
        if modules is None:
            refused = refused or "its buffers are larger than the storage limit"
            self._write(dict(ticket.about(), refused=refused))
            return
        kept = modules

        def anew(seen: Seen, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
            with self._guard:  # a call must not find what another one left in buffers
                kept.put_back()
            return run(seen, args, kwargs)

        try:
            varied = Varied(self._asked, self._room, self._guard, ticket.inputs)
            for row in varied.rows(ticket.module, returned(result), anew):
                self._write(dict(ticket.about(), **row))
        finally:
            with self._guard:
                modules.put_back()
                generators.put_back()

    def _write(self, row: Mapping[str, Any]) -> None:
        with self._guard, open(self._asked["out"], "a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")


def _refusal(ticket: Ticket, result: object) -> str:
    """Why the call cannot be made again, where that is known beforehand."""
    inputs, module = ticket.inputs, ticket.module
    if inputs.opaque:
        return "it takes a %s, which cannot be copied" % inputs.opaque[0]
    if is_compiled(module) or isinstance(module, torch.jit.ScriptModule):
        return "it is compiled, so its ops cannot be seen"
    if not inputs.tensors or not outputs(result).tensors:
        return "it takes no tensor, or returns none"
    if ticket.generators.moved():
        mode = "it is in training mode" if module.training else "though not in training mode"
        return "it draws random numbers (%s)" % mode
    if ticket.weights != weight_marks(module):
        return "the call writes to its own weights"
    return ""
