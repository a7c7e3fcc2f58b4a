"""The same call with other inputs: fewer rows, rows elsewhere, longer or shorter ones.

How each named input is filled where it gets longer: as ``fill`` says; masks (integers or bools
whose name holds "mask") with 0; other integers repeat their last column. Floating point inputs
are not filled unless ``fill`` names them, and without a mask nothing is padded: the model would
take the padding for data.
"""

from __future__ import annotations

import collections
from typing import Any, Callable, Iterator, Mapping, Sequence

import torch

from .layouts import Part
from .values import Signatures

PROMPTS = "batch", "position", "padding", "crop"
"""What a job can ask to be tried in this process."""

Change = Callable[[str, torch.Tensor], torch.Tensor]


class Unvaried(Exception):
    """A variant that cannot be made of these inputs; the text says why."""


class Inputs:
    """A call's arguments; tensors in tuples, lists and dicts are found and can be changed."""

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
        self._names = signatures.names(module)
        flat = signatures.inputs(module, args, kwargs)
        self.tensors = flat.tensors
        self.opaque = list(flat.opaque)
        if len(self.tensors) != self._reached():
            self.opaque.append("structure of another kind")

    def like(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Inputs:
        """Other arguments of the same module."""
        return Inputs(self._module, args, kwargs, self._signatures)

    def _reached(self) -> int:
        """How many tensors `changed` comes to: it does not rebuild dataclasses."""
        names: list[str] = []

        def note(name: str, tensor: torch.Tensor) -> torch.Tensor:
            names.append(name)
            return tensor

        self.changed(note)
        return len(names)

    def changed(self, change: Change) -> tuple[list[Any], dict[str, Any]]:
        """Arguments with ``change`` done to each tensor; the script's own stay as they are."""
        args = []
        for i, value in enumerate(self._args):
            known = i < len(self._names)
            name = self._names[i] if known else "args[%d]" % (i - len(self._names))
            args.append(_changed(name, value, change))
        return args, {key: _changed(key, value, change) for key, value in self._kwargs.items()}

    def size(self, dim: int) -> int:
        """The size that the inputs share in a dimension (1 is broadcast); raises `Unvaried`."""
        sizes = {tensor.shape[dim] for _, tensor in self.tensors if tensor.dim() > dim}
        varied = sizes - {1}
        if not sizes:
            raise Unvaried("no input has a dimension %d" % dim)
        if len(varied) > 1:
            raise Unvaried("the inputs have no size in common in dimension %d" % dim)
        return int(max(sizes))


def _changed(name: str, value: Any, change: Change) -> Any:
    """The value with its tensors changed; what is of another type stays, tensors and all."""
    if isinstance(value, torch.Tensor):
        return change(name, value)
    kind = type(value)
    if kind in (dict, collections.OrderedDict):
        return kind((k, _changed("%s.%s" % (name, k), v, change)) for k, v in value.items())
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        fields = zip(value._fields, value)
        return kind(*(_changed("%s.%s" % (name, field), v, change) for field, v in fields))
    if kind in (tuple, list):
        return kind(_changed("%s[%d]" % (name, i), v, change) for i, v in enumerate(value))
    return value


class Variant:
    """One way to call the module again.

    ``prompt`` is the property that it tries; ``whole`` and ``varied`` are the parts of the whole
    call's and of the varied call's rows (or places in ``dim``) that hold the same input.
    """

    def __init__(
        self, prompt: str, label: str, dim: int, whole: Part, varied: Part, change: Change
    ) -> None:
        self.prompt = prompt
        self.label = label
        self.dim = dim
        self.whole = whole
        self.varied = varied
        self.change = change

    @property
    def sizes(self) -> tuple[int, int]:
        """Sizes of the dimension in the whole and in the varied call."""
        return self.whole.size, self.varied.size


def rows(prompt: str, label: str, batch: int, index: Sequence[int]) -> Variant:
    """The rows ``index`` of a batch, in that order."""
    chosen = tuple(index)

    def change(_name: str, tensor: torch.Tensor) -> torch.Tensor:
        if not tensor.dim() or tensor.shape[0] != batch:
            return tensor.clone()
        return tensor.index_select(0, torch.tensor(chosen, device=tensor.device))

    return Variant(prompt, label, 0, Part(batch, chosen), Part(len(chosen), None), change)


def crop(dim: int, size: int, start: int, stop: int) -> Variant:
    """Places ``start`` to ``stop`` of a dimension only."""
    if not 0 <= start < stop <= size:
        raise Unvaried("%d:%d is no part of a dimension of %d" % (start, stop, size))

    def change(_name: str, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dim() <= dim or tensor.shape[dim] != size:
            return tensor.clone()
        return tensor.narrow(dim, start, stop - start).clone()

    label = "dimension %d cropped to %d:%d" % (dim, start, stop)
    whole = Part(size, tuple(range(start, stop)))
    return Variant("crop", label, dim, whole, Part(stop - start, None), change)


def pad(inputs: Inputs, size: int, wanted: int, fill: Mapping[str, float]) -> Variant:
    """Dimension 1 made longer at its end; raises `Unvaried` where nobody says with what."""
    long = [(n, t) for n, t in inputs.tensors if t.dim() > 1 and t.shape[1] == size]
    if not any(_is_mask(name, tensor) for name, tensor in long) and not fill:
        raise Unvaried("no input is a mask, so padding would be data; name it with --pad NAME=0")
    for name, tensor in long:
        if name not in fill and (tensor.is_floating_point() or tensor.is_complex()):
            raise Unvaried("nobody says how to pad %s; say it with --pad %s=VALUE" % (name, name))

    def change(name: str, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dim() < 2 or tensor.shape[1] != size:
            return tensor.clone()
        last = tensor.narrow(1, size - 1, 1)
        more = last.expand(-1, wanted - size, *tensor.shape[2:])
        if name in fill or _is_mask(name, tensor):
            more = torch.full_like(more, fill.get(name, 0))
        return torch.cat((tensor, more), 1)

    label = "padded from %d to %d" % (size, wanted)
    varied = Part(wanted, tuple(range(size)))
    return Variant("padding", label, 1, Part(size, None), varied, change)


def _is_mask(name: str, tensor: torch.Tensor) -> bool:
    return "mask" in name.rpartition(".")[2].lower() and not tensor.is_floating_point()


def copied(_name: str, tensor: torch.Tensor) -> torch.Tensor:
    """The change that changes nothing: what a call does to its inputs must stay with it."""
    return tensor.clone()


Made = Iterator["tuple[str, Variant | str]"]  # the property, and a variant or why there is none


def wanted(asked: Mapping[str, Any], inputs: Inputs) -> Made:
    """The variants that a job's ``variants`` asks for, of these inputs."""
    for prompt, make in zip(PROMPTS, (_batches, _positions, _paddings, _crops)):
        if asked.get(prompt) is None or asked[prompt] is False:
            continue
        try:
            for variant in make(asked, inputs):
                yield prompt, variant
        except Unvaried as reason:
            yield prompt, str(reason)


def _batches(asked: Mapping[str, Any], inputs: Inputs) -> Iterator[Variant]:
    batch = inputs.size(0)
    powers = {1 << n for n in range(batch.bit_length())}
    sizes = asked["batch"] or sorted(powers | {1, 2, 3, batch - 1})
    fitting = [n for n in sizes if 0 < n < batch]
    if not fitting:
        raise Unvaried("a batch of %d has no smaller one that was asked for" % batch)
    for n in fitting:
        yield rows("batch", "rows 0:%d of %d" % (n, batch), batch, range(n))


def _positions(_asked: Mapping[str, Any], inputs: Inputs) -> Iterator[Variant]:
    batch = inputs.size(0)
    if batch < 2:
        raise Unvaried("a batch of %d has one place only" % batch)
    for shift in sorted({1, batch // 2}):
        order = [(row + shift) % batch for row in range(batch)]
        yield rows("position", "rows moved by %d of %d" % (shift, batch), batch, order)
    if batch > 2:
        yield rows("position", "%d rows reversed" % batch, batch, range(batch - 1, -1, -1))


def _paddings(asked: Mapping[str, Any], inputs: Inputs) -> Iterator[Variant]:
    size = inputs.size(1)
    automatic = {size + 1, (size // 8 + 1) * 8, (size // 64 + 1) * 64}
    fitting = [n for n in asked["padding"] or sorted(automatic) if n > size]
    if not fitting:
        raise Unvaried("a length of %d has no longer one that was asked for" % size)
    for wanted_size in fitting:
        yield pad(inputs, size, wanted_size, asked.get("fill") or {})


def _crops(asked: Mapping[str, Any], inputs: Inputs) -> Iterator[Variant]:
    for dim, start, stop in asked["crop"]:
        size = inputs.size(dim)
        if (start, stop) != (0, size):
            yield crop(dim, size, start, stop)
