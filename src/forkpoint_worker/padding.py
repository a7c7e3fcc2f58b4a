"""Longer samples: which inputs get longer, on which side, and what is put there.

What a mask means is found by experiment. A reading of the masks (which of their values leaves a
place out) is taken only if the model keeps to it: what is put into the padded places must not
change one bit of the real ones. What the script's own rows end or begin with says on which side it
pads. Where no reading, or more than one, comes out right, nothing is padded.
"""

from __future__ import annotations

import itertools
from typing import Iterator, Mapping, NamedTuple

import torch

from .inputs import Change, Inputs, Unvaried
from .layouts import Part, Real
from .masks import Value, between_places, ignoring, kept_places, leading, reads_as_mask, trailing
from .proof import other_numbers
from .variants import Variant

_STAY = ("position", "type", "segment")
_MOST_READINGS = 16


class Reading(NamedTuple):
    """One way to read the masks: the value of each that leaves a place out."""

    values: Mapping[str, Value]
    left: bool


class Padder:
    """Pads the samples of one call; raises `Unvaried` where these inputs cannot be padded."""

    def __init__(self, inputs: Inputs, fill: Mapping[str, float]) -> None:
        self.size = _length(inputs, fill)
        self._fill = fill
        self._rows = inputs.size(0)
        self._long = {
            name: (tensor, dims)
            for name, tensor in inputs.tensors
            if name not in inputs.packed and (dims := _dims(name, tensor, self.size, self._rows))
        }
        self.masks = {n: t for n, (t, _) in self._long.items() if reads_as_mask(n, t)}
        self._lengths = [
            t
            for n, t in inputs.tensors
            if "len" in n.rpartition(".")[2].lower() and t.dim() == 1 and not t.is_floating_point()
        ]
        self._check()

    def _check(self) -> None:
        """Raise `Unvaried` where nobody says what padding is."""
        contents = {n: t for n, (t, _) in self._long.items() if n not in self.masks}
        if not self._long:
            raise Unvaried("it takes packed sequences, which have no padded places")
        told = set(self._fill) & set(self._long)
        ids = any(not t.is_floating_point() for t in contents.values())
        if not (self.masks or self._lengths or told or ids):
            raise Unvaried(
                "no input is a mask, so padding would be data; name it with --pad NAME=0"
            )
        if not (self.masks or self._lengths or ids):
            for name in contents:
                if name not in told:
                    raise Unvaried(
                        "nobody says how to pad %s; say it with --pad %s=VALUE" % (name, name)
                    )

    @property
    def told(self) -> bool:
        """Whether somebody said what to put somewhere."""
        return bool(set(self._fill) & set(self._long))

    def readings(self) -> Iterator[Reading]:
        """All ways to read the masks, the likeliest first."""
        options = [
            [self._fill[n]] if n in self._fill else ignoring(t) for n, t in self.masks.items()
        ]
        for chosen in itertools.islice(itertools.product(*options), _MOST_READINGS):
            values = dict(zip(self.masks, chosen))
            sides = [(leading(self.masks[n], v), trailing(self.masks[n], v))
                     for n, v in values.items() if 0 not in self._long[n][1]]  # fmt: skip
            left = any(first for first, _ in sides) and not any(last for _, last in sides)
            yield Reading(values, left)

    def variant(self, reading: Reading, wanted: int) -> Variant:
        """The call with samples of the length ``wanted``."""
        size, more = self.size, wanted - self.size
        side = " on the left" if reading.left else ""
        places = range(more, wanted) if reading.left else range(size)
        found = Variant(
            "padding",
            "padded from %d to %d%s" % (size, wanted, side),
            1,
            Part(size, None),
            Part(wanted, tuple(places)),
            self._change(reading, more, control=False),
        )
        found.real = self._real(reading)
        found.fills = self._said(reading)
        if self._loose():
            found.control = self._change(reading, more, control=True)
        return found

    def _change(self, reading: Reading, more: int, control: bool) -> Change:
        loose = self._loose() if control else ()

        def change(name: str, tensor: torch.Tensor) -> torch.Tensor:
            if name not in self._long:
                return tensor.clone()
            for dim in self._long[name][1]:
                ahead = self._ahead(name, tensor, dim, more, reading)
                if name in loose:
                    ahead = _other(tensor, ahead)
                tensor = torch.cat((ahead, tensor) if reading.left else (tensor, ahead), dim)
            return tensor

        return change

    def _ahead(
        self, name: str, tensor: torch.Tensor, dim: int, more: int, reading: Reading
    ) -> torch.Tensor:
        """What is put into the padded places of one dimension."""
        edge = tensor.narrow(dim, 0 if reading.left else tensor.shape[dim] - 1, 1)
        shape = list(tensor.shape)
        shape[dim] = more
        last = dim == self._long[name][1][-1]  # of a mask's dimensions, the last are what is seen
        if name in reading.values and last:
            return torch.full(shape, reading.values[name], dtype=tensor.dtype, device=tensor.device)
        if name in self._fill:
            return torch.full(shape, self._fill[name], dtype=tensor.dtype, device=tensor.device)
        if tensor.is_floating_point() and name not in reading.values:
            return tensor.new_zeros(shape)
        return edge.expand(shape)

    def _loose(self) -> frozenset[str]:
        """The inputs whose padding should not matter, and of which there is other data."""
        return frozenset(
            name
            for name, (tensor, _) in self._long.items()
            if name not in self.masks
            and name not in self._fill
            and not any(word in name.lower() for word in _STAY)
            and (tensor.is_floating_point() or bool((tensor != tensor.reshape(-1)[0]).any()))
        )

    def _real(self, reading: Reading) -> Real | None:
        """Which places of the script's own call are data; None for all."""
        kept = torch.ones((self._rows, self.size), dtype=torch.bool)
        for name, value in reading.values.items():
            if 0 in self._long[name][1]:  # places by places, for all rows alike
                continue
            found = kept_places(self.masks[name], value)
            if found is not None and len(found) in (1, self._rows):
                kept = kept & found.cpu()
        for lengths in self._lengths:
            if len(lengths) == self._rows:
                kept = kept & (torch.arange(self.size) < lengths.cpu().unsqueeze(1))
        return None if bool(kept.all()) else Real(kept)

    def _said(self, reading: Reading) -> Mapping[str, str]:
        edge = "its first place" if reading.left else "its last place"
        said = {}
        for name, (tensor, _) in self._long.items():
            if name in reading.values:
                said[name] = "%s, which leaves out" % (reading.values[name],)
            elif name in self._fill:
                said[name] = "%g" % self._fill[name]
            else:
                said[name] = "0" if tensor.is_floating_point() else edge
        return said


def _length(inputs: Inputs, fill: Mapping[str, float]) -> int:
    """How many places samples have; raises `Unvaried` where that is not certain."""
    masks = {t.shape[-1] for n, t in inputs.tensors if t.dim() > 1 and reads_as_mask(n, t)}
    contents = [(n, t) for n, t in inputs.tensors if t.dim() > 1 and not reads_as_mask(n, t)]
    ids = {t.shape[1] for _, t in contents if t.dim() == 2 and not t.is_floating_point()}
    told = {t.shape[1] for n, t in contents if n in fill}
    deep = {t.shape[1] for _, t in contents if t.dim() > 2}
    flat = {t.shape[1] for _, t in contents}
    for sizes in (
        ids & masks,
        ids - {1},
        deep & masks,
        flat & masks,
        told,
        deep - {1},
        flat,
        masks,
    ):
        if len(sizes) == 1:
            return int(next(iter(sizes)))
        if sizes:
            break
    if not contents and not masks:
        raise Unvaried("no input has a dimension 1")
    raise Unvaried("the inputs have no size in common in dimension 1")


def _dims(name: str, tensor: torch.Tensor, size: int, rows: int) -> list[int]:
    """The dimensions of an input that get longer."""
    if tensor.dim() == 1:
        placed = any(word in name.lower() for word in _STAY)
        return [0] if placed and tensor.shape[0] == size != rows else []
    if not reads_as_mask(name, tensor):
        return [1] if tensor.shape[1] == size else []
    if tensor.shape[-1] != size:
        return []
    first = 0 if _square(tensor) and (size != rows or between_places(tensor)) else 1
    return [dim for dim in range(first, tensor.dim()) if tensor.shape[dim] == size]


def _square(tensor: torch.Tensor) -> bool:
    return bool(tensor.dim() == 2 and tensor.shape[0] == tensor.shape[1])


def _other(tensor: torch.Tensor, ahead: torch.Tensor) -> torch.Tensor:
    """Other data than that, of the same kind."""
    if tensor.is_floating_point():
        return other_numbers(ahead, torch.Generator().manual_seed(ahead.shape[1]))
    values = torch.unique(tensor)
    at = torch.searchsorted(values, ahead.contiguous())
    return values[(at + 1) % len(values)]
