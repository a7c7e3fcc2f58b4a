"""Putting back what more calls of a module could change, so that the script does not notice them.

Put back are the random generators, buffers, and the attributes of modules. Not seen is what a
module changes inside of an attribute (a list that it appends to); a call that depends on that
does not repeat itself, which is checked before anything is said about the module.
"""

from __future__ import annotations

import random
from typing import Any

import torch

from .layouts import same_bits

_OWN = ("_parameters", "_buffers", "_modules")


class Generators:
    """The states of the random generators that ops draw from by default."""

    def __init__(self) -> None:
        self._python = random.getstate()
        self._cpu = torch.get_rng_state()
        live = torch.cuda.is_available() and torch.cuda.is_initialized()
        self._cuda = torch.cuda.get_rng_state_all() if live else []

    def put_back(self) -> None:
        """Set all of them to what they were."""
        random.setstate(self._python)
        torch.set_rng_state(self._cpu)
        if self._cuda:
            torch.cuda.set_rng_state_all(self._cuda)

    def moved(self) -> bool:
        """Whether anything was drawn from them since."""
        now = Generators()
        states = zip([self._cpu, *self._cuda], [now._cpu, *now._cuda])
        return self._python != now._python or not all(same_bits(a, b) for a, b in states)


class Modules:
    """Buffers and attributes of a module and of all below it, as they are now."""

    @classmethod
    def keep(cls, root: torch.nn.Module, most: int) -> Modules | None:
        """Take note of them; None where the buffers take more than ``most`` bytes."""
        size = sum(buffer.numel() * buffer.element_size() for buffer in root.buffers())
        return cls(root) if size <= most else None

    def __init__(self, root: torch.nn.Module) -> None:
        self._modules = list(root.modules())
        self._buffers = [
            (module, name, tensor)
            for module in self._modules
            for name, tensor in module._buffers.items()
            if tensor is not None
        ]
        self._copies = [tensor.detach().clone() for _, _, tensor in self._buffers]
        self._attributes = [_attributes(module) for module in self._modules]

    def put_back(self) -> None:
        """Rebind attributes and buffers, and rewrite the buffers that were written to."""
        for module, before in zip(self._modules, self._attributes):
            now = vars(module)
            for name in [name for name in now if name not in before and name not in _OWN]:
                del now[name]
            now.update(before)
        for (module, name, tensor), copy in zip(self._buffers, self._copies):
            module._buffers[name] = tensor
            if not same_bits(tensor.detach(), copy):
                tensor.detach().copy_(copy)


def _attributes(module: torch.nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name not in _OWN}


def weight_marks(root: torch.nn.Module) -> list[tuple[int, int]]:
    """Where each parameter lies and how often it was written to."""
    return [(p.data_ptr(), -1 if p.is_inference() else int(p._version)) for p in root.parameters()]
