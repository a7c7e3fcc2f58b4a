"""A call's arguments, and the same arguments with other tensors in them.

Containers of any kind are rebuilt by `copy.deepcopy`, which is told beforehand what takes the
place of each tensor: mappings, dataclasses, caches and their subclasses stay what they are.
"""

from __future__ import annotations

import copy
from typing import Any, Callable, Iterator, Mapping, Sequence

import torch
from torch.nn.utils.rnn import PackedSequence

from .masks import reads_as_mask
from .packed import Packed
from .values import Signatures, parts

Change = Callable[[str, torch.Tensor], torch.Tensor]

_DEPTH = 8


class Unvaried(Exception):
    """A variant that cannot be made of these inputs; the text says why."""


def copied(_name: str, tensor: torch.Tensor) -> torch.Tensor:
    """The change that changes nothing: what a call does to its inputs must stay with it."""
    return tensor.clone()


class Inputs:
    """A call's arguments; ``tensors`` are [(name, tensor)].

    Packed sequences stand among them as a padded tensor ([samples, places, ...]) and its lengths,
    under the names ``x.data`` and ``x.lengths``. ``opaque`` says what cannot be varied.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        signatures: Signatures,
    ) -> None:
        self._module = module
        self._args = args
        self._kwargs = kwargs
        self._signatures = signatures
        flat = signatures.inputs(module, args, kwargs)
        self.opaque = list(flat.opaque)
        self._packed = [Packed(name, value) for name, value in self._sequences()]
        self.packed = frozenset(name for one in self._packed for name, _ in one.tensors)
        inside = {id(part) for one in self._packed for part in one.value}
        self._plain = [(name, t) for name, t in flat.tensors if id(t) not in inside]
        self.tensors = self._plain + [pair for one in self._packed for pair in one.tensors]
        if not self.opaque:
            self.opaque += self._out_of_reach()

    def like(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Inputs:
        """Other arguments of the same module."""
        return Inputs(self._module, args, kwargs, self._signatures)

    def changed(self, change: Change) -> tuple[list[Any], dict[str, Any]]:
        """Arguments with ``change`` done to each tensor; the script's own stay as they are.

        A tensor that is given twice is one tensor in the changed arguments, too. Raises
        `Unvaried` where a packed sequence cannot be changed like that.
        """
        memo: dict[int, Any] = {id(module): module for module in self._module.modules()}
        memo.update((id(weight), weight) for weight in self._module.parameters())
        for one in self._packed:
            try:
                memo[id(one.value)] = one.changed(change, as_it_is=change is copied)
            except (ValueError, RuntimeError) as why:
                raise Unvaried(str(why)) from why
        for name, tensor in self._plain:
            if id(tensor) not in memo:
                memo[id(tensor)] = change(name, tensor)
        return copy.deepcopy(list(self._args), memo), copy.deepcopy(dict(self._kwargs), memo)

    def size(self, dim: int) -> int:
        """The size that the inputs share in a dimension (1 is broadcast); raises `Unvaried`.

        Of the rows (0), tensors of two dimensions or more that are no masks decide where they
        agree: a mask may be one of places by places.
        """
        sizes = {tensor.shape[dim] for _, tensor in self.tensors if tensor.dim() > dim}
        if dim == 0:
            decisive = {
                t.shape[0] for n, t in self.tensors if t.dim() > 1 and not reads_as_mask(n, t)
            }
            sizes = decisive if len(decisive - {1}) == 1 else sizes
        varied = sizes - {1}
        if not sizes:
            raise Unvaried("no input has a dimension %d" % dim)
        if len(varied) > 1:
            raise Unvaried("the inputs have no size in common in dimension %d" % dim)
        return int(max(sizes))

    def _out_of_reach(self) -> list[str]:
        """What is still the script's own tensor after a copy."""
        try:
            args, kwargs = self.changed(copied)
        except Exception as error:  # noqa: BLE001 - a copy runs code of the objects' classes
            return ["structure of another kind (%s: %s)" % (type(error).__name__, error)]
        own = {id(tensor) for _, tensor in self._plain} - {id(w) for w in self._module.parameters()}
        now = self._signatures.inputs(self._module, args, kwargs).tensors
        if any(id(tensor) in own for _, tensor in now) or len(now) < len(self._plain):
            return ["structure of another kind"]
        return []

    def _sequences(self) -> Iterator[tuple[str, PackedSequence]]:
        names = self._signatures.names(self._module)
        for i, value in enumerate(self._args):
            yield from _sequences(names[i] if i < len(names) else "args[%d]" % i, value)
        for name, value in self._kwargs.items():
            yield from _sequences(name, value)


def _sequences(name: str, value: Any, depth: int = 0) -> Iterator[tuple[str, PackedSequence]]:
    if isinstance(value, PackedSequence):
        yield name, value
    elif not isinstance(value, torch.Tensor) and depth < _DEPTH:
        for part, item in parts(name, value) or ():
            yield from _sequences(part, item, depth + 1)
