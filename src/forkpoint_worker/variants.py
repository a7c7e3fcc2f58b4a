"""The same call with other inputs: fewer rows, rows elsewhere, longer or shorter ones.

Longer ones are in `padding`.
"""

from __future__ import annotations

from typing import Any, Callable, Iterator, Mapping, Sequence

import torch

from .inputs import Change, Inputs, Unvaried
from .layouts import Part, Real
from .masks import between_places, reads_as_mask

PROMPTS = "batch", "position", "padding", "crop"
"""What a job can ask to be tried in this process."""


class Variant:
    """One way to call the module again.

    ``prompt`` is the property that it tries; ``whole`` and ``varied`` are the parts of the whole
    call's and of the varied call's rows (or places in ``dim``) that hold the same input. Of
    padding, ``real`` says which places of the whole call are none, ``fills`` what was put where
    (text by input), and ``control`` is a change that puts other padding there.
    """

    real: Real | None = None
    fills: Mapping[str, str] = {}
    control: Change | None = None

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
    def shared(self) -> Part:
        """The part of the varied call's rows or places that its property's other sizes hold, too.

        Batches are the first rows of a batch, so that is the first one; longer ones hold all
        places that the whole call has.
        """
        return Part(self.varied.size, (0,)) if self.dim == 0 else self.varied

    @property
    def sizes(self) -> tuple[int, int]:
        """Sizes of the dimension in the whole and in the varied call."""
        return self.whole.size, self.varied.size


def rows(prompt: str, label: str, batch: int, index: Sequence[int]) -> Variant:
    """The rows ``index`` of a batch, in that order."""
    chosen = tuple(index)

    def change(name: str, tensor: torch.Tensor) -> torch.Tensor:
        many = slices(name, tensor, batch)
        if not many:
            return tensor.clone()
        index = torch.tensor(chosen, device=tensor.device)
        if many == 1:
            return tensor.index_select(0, index)
        return tensor.unflatten(0, (batch, many)).index_select(0, index).flatten(0, 1)

    return Variant(prompt, label, 0, Part(batch, chosen), Part(len(chosen), None), change)


def slices(name: str, tensor: torch.Tensor, batch: int) -> int:
    """How many slices of its first dimension belong to one row; 0 for a tensor without rows."""
    if not tensor.dim() or tensor.shape[0] % batch or between_places(tensor):
        return 0
    many = tensor.shape[0] // batch
    heads = tensor.dim() == 3 and reads_as_mask(name, tensor)
    return many if many == 1 or heads else 0


def crop(dim: int, size: int, start: int, stop: int) -> Variant:
    """Places ``start`` to ``stop`` of a dimension only."""
    if not 0 <= start < stop <= size:
        raise Unvaried("%d:%d is no part of dimension %d, of size %d" % (start, stop, dim, size))
    if (start, stop) == (0, size):
        raise Unvaried("dimension %d is %d:%d already" % (dim, start, stop))

    def change(_name: str, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dim() <= dim or tensor.shape[dim] != size:
            return tensor.clone()
        return tensor.narrow(dim, start, stop - start).clone()

    label = "dimension %d cropped to %d:%d" % (dim, start, stop)
    whole = Part(size, tuple(range(start, stop)))
    return Variant("crop", label, dim, whole, Part(stop - start, None), change)


Made = Iterator["tuple[str, Variant | str]"]  # the property, and a variant or why there is none
Make = Callable[[Mapping[str, Any], Inputs], Iterator["Variant | str"]]


def wanted(asked: Mapping[str, Any], inputs: Inputs, paddings: Make) -> Made:
    """The variants that a job's ``variants`` asks for, of these inputs."""
    for prompt, make in zip(PROMPTS, (_batches, _positions, paddings, _crops)):
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


def lengths(asked: Mapping[str, Any], size: int) -> list[int]:
    """The lengths to pad samples of one length to; raises `Unvaried` where there are none."""
    automatic = {size + 1, (size // 8 + 1) * 8, (size // 64 + 1) * 64}
    fitting = [n for n in asked["padding"] or sorted(automatic) if n > size]
    if not fitting:
        raise Unvaried("a length of %d has no longer one that was asked for" % size)
    return fitting


def _crops(asked: Mapping[str, Any], inputs: Inputs) -> Iterator[Variant | str]:
    for dim, start, stop in asked["crop"]:
        try:
            yield crop(dim, inputs.size(dim), start, stop)
        except Unvaried as reason:  # the next one may well fit
            yield str(reason)
