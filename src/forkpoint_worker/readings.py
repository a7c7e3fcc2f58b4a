"""Which reading of the masks a module keeps to, found by calling it."""

from __future__ import annotations

from typing import Any, Callable, Iterator, Mapping, Sequence

import torch

from .inputs import Change, Inputs, Unvaried
from .judge import data_of
from .layouts import axes, same_bits
from .masks import very_negative
from .padding import Padder, Reading
from .variants import Variant, lengths

Named = Sequence["tuple[str, torch.Tensor]"]
Call = Callable[[Change], Named]


def paddings(
    asked: Mapping[str, Any], inputs: Inputs, result: Named, call: Call
) -> Iterator[Variant]:
    """Variants for the lengths that are asked for; raises `Unvaried` where none can be made."""
    padder = Padder(inputs, asked.get("fill") or {})
    many = lengths(asked, padder.size)
    reading = _accepted(padder, many[0], result, call)
    for wanted in many:
        yield padder.variant(reading, wanted)


def _accepted(padder: Padder, wanted: int, result: Named, call: Call) -> Reading:
    """The reading that the module keeps to."""
    found: list[tuple[Reading, list[torch.Tensor]]] = []
    raised = ""
    for reading in padder.readings():
        variant = padder.variant(reading, wanted)
        if variant.control is None and not padder.told:
            raise Unvaried("no other data are at hand to show that padded places do not matter")
        try:
            real = unmoved(variant, result, call)
        except Unvaried:
            raise
        except Exception as error:  # noqa: BLE001 - a model need not take every input
            raised = raised or "it raised %s: %s" % (type(error).__name__, str(error)[:200])
            continue
        if real is not None:
            found.append((reading, real))
    if not found:
        raise Unvaried(raised or _nothing(padder))
    first, same = found[0]
    for other, real in found[1:]:
        if not _alike(first, other) and not all(map(same_bits, same, real)):
            raise Unvaried(_both(first, other))
    return first


def unmoved(variant: Variant, result: Named, call: Call) -> list[torch.Tensor] | None:
    """The outputs at real places, if what is put into the padded ones changes none of them."""
    real = _real(variant, result, call(variant.change))
    if variant.control is None:
        return real
    again = _real(variant, result, call(variant.control))
    return real if all(map(same_bits, real, again)) else None


def _real(variant: Variant, result: Named, found: Named) -> list[torch.Tensor]:
    """What is data in a padded call's outputs; raises `Unvaried` where that is not certain."""
    if [name for name, _ in found] != [name for name, _ in result]:
        raise Unvaried("with padding it returns other outputs")
    many = []
    for (name, one), (_, two) in zip(result, found):
        where = axes(one.shape, two.shape, variant.sizes)
        if where is None:
            raise Unvaried("the padded places of the output %s are not certain" % name)
        many.append(data_of(variant, two, where, variant.varied, order=False))
        if _worse(data_of(variant, one, where, variant.whole, order=False), many[-1]):
            raise ValueError("padded places make numbers that are none")
    return many


def _worse(one: torch.Tensor, two: torch.Tensor) -> bool:
    if not two.is_floating_point():
        return False
    return bool(one.isfinite().all()) and not bool(two.isfinite().all())


def _alike(one: Reading, two: Reading) -> bool:
    """Whether two readings mean the same: one very negative number is as good as another."""
    return one.left == two.left and all(
        value == two.values[name] or (very_negative(value) and very_negative(two.values[name]))
        for name, value in one.values.items()
    )


def _nothing(padder: Padder) -> str:
    if padder.masks:
        return (
            "what is put into padded places changes the real ones, whatever %s holds there"
            % " and ".join(padder.masks)
        )
    return (
        "what is put into padded places changes the real ones, and no input is a mask; where one "
        "value means padding, name it with --pad NAME=VALUE"
    )


def _both(one: Reading, two: Reading) -> str:
    names = [name for name, value in one.values.items() if value != two.values[name]]
    name = names[0] if names else ""
    return (
        "what %s means cannot be told: with %s as with %s the padded places are left out, and the "
        "results differ; say it with --pad %s=VALUE"
        % (name, one.values.get(name), two.values.get(name), name)
    )
