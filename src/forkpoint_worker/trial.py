"""One variant of one step: made as often as needed, judged, and written down."""

from __future__ import annotations

from typing import Any, Iterable, Mapping, Protocol, Sequence

import torch

from .digest import combine, digest_text, dtype_name
from .guard import Guard
from .hasher import Hasher, final
from .inputs import Change, Inputs, Unvaried, copied
from .judge import OUT, Counts, Figures, Judge, Places, data_of, largest, measured
from .layouts import Axes, Axis, orders, same_bits
from .owners import NOBODY, SEVERAL, owners
from .readings import unmoved
from .trace import RESULT, Keeper, Key, Listener, Survey
from .variants import Variant

Named = Sequence["tuple[str, torch.Tensor]"]

OWN, MOVED, MIXED = "own", "moved", "mixed"
"""Whose are the rows of the outputs: each its input row's; another one's; or made of several."""

_MATTERS = "at this length, what is put into padded places changes the real ones"
_NO_ROWS = "its outputs have no rows: each is made of all samples"


class Calls(Protocol):
    """What calls the module (`varied.Caller`)."""

    guard: Guard
    hasher: Hasher

    def call(self, change: Change, listener: Listener) -> tuple[Named, Counts]:
        """The named outputs, and how often each op of each module was called."""

    def plainly(self, change: Change) -> Named:
        """The named outputs alone."""


class Trial:
    """One variant of one step, called once for each window of the whole call."""

    def __init__(
        self, variant: Variant, caller: Calls, inputs: Inputs, whole: tuple[Survey, Counts]
    ) -> None:
        self.variant = variant
        self.reason = ""  # why it could not be made
        self._caller = caller
        self._inputs = inputs
        self._whole, counts = whole
        self._counts = counts, counts
        self._outputs: Named | None = None
        self.learn(None, 0)

    def learn(self, probe: Survey | None, few: int) -> None:
        """Take where rows lie from another call, of ``few`` rows."""
        self._places = Places(self.variant, self._whole, probe, few)
        self._judge = Judge(self.variant, self._whole, self._places)

    def run(self, keeper: Keeper) -> None:
        """Call it, and judge the calls of which the keeper has the whole's tensors."""
        if self.reason:
            return
        self._judge.wanted = keeper.kept
        try:
            found, counts = self._caller.call(self.variant.change, self._judge)
        except Unvaried as why:
            self.reason = str(why)
        except Exception as error:  # noqa: BLE001 - a model need not take every input
            self.reason = "it raised %s" % described(error)
        else:
            self._outputs, self._counts = found, (self._counts[0], counts)
        finally:
            self._judge.wanted = {}

    def row(self, result: Named) -> Mapping[str, Any]:
        """The variant's row of the answer."""
        head = {"property": self.variant.prompt, "variant": self.variant.label}
        if self.reason:
            return dict(head, not_tried=self.reason)
        self._judge.finish(*self._counts)
        end = None
        with self._caller.guard:
            end = End(self.variant, self._places, result, self._outputs or ())
            end.compare()
        if end is None or self._caller.guard.off:
            return dict(head, not_tried="the recorder broke: %s" % self._caller.guard.error)
        rows = None
        if end.equal is False and self.variant.dim == 0:
            rows = self._rows(end)
        elif end.equal is False and not self._ignores(result):
            return dict(head, not_tried=_MATTERS)
        with self._caller.guard:
            found = dict(head, equal=end.equal, metrics=end.metrics, **self._calls())
            found.update(rows=rows, left_out=end.left_out, fills=self.variant.fills)
            found.update(unmatched=end.reason, **self._size(end))
            return found
        return dict(head, not_tried="the recorder broke: %s" % self._caller.guard.error)

    def _ignores(self, result: Named) -> bool:
        """Whether what is put into padded places leaves the real ones alone at this length."""
        if self.variant.prompt != "padding":
            return True
        try:
            return unmoved(self.variant, result, self._caller.plainly) is not None
        except Exception:  # noqa: BLE001 - a model need not take other padding
            return False

    def _rows(self, end: End) -> str | None:
        """Whose the rows of the outputs are; where they are moved, compare them so."""
        whole, varied = self.variant.sizes
        one = self._owners(copied, whole, end)
        two = self._owners(self.variant.change, varied, end)
        if one is None or two is None:
            return None
        many = [owner for found in (*one, *two) for owner in found]
        if SEVERAL in many:
            return MIXED
        if all(owner in (NOBODY, row) for found in (*one, *two) for row, owner in enumerate(found)):
            return OWN if any(owner != NOBODY for owner in many) else None
        if NOBODY in many:
            return None
        chosen = self.variant.whole.rows or range(whole)
        with self._caller.guard:
            end.compare([
                [a.index(chosen[owner]) for owner in b] if b else None for a, b in zip(one, two)
            ])  # fmt: skip
        return MOVED

    def _owners(self, base: Change, rows: int, end: End) -> list[list[int]] | None:
        try:
            return owners(self._caller.plainly, self._inputs, base, rows, end.dims)
        except Exception:  # noqa: BLE001 - a model need not take other contents
            return None

    def _size(self, end: End) -> dict[str, Any]:
        """The variant's size, and the digest of what it shares with other sizes."""
        whole, size = self.variant.sizes
        if whole == size:
            return {"size": None, "shared": None}
        return {"size": size, "shared": self._shared(end) if end.certain else None}

    def _shared(self, end: End) -> str:
        hasher, part = self._caller.hasher, self.variant.shared
        parts = [
            data_of(self.variant, tensor, where, part, order=True) for tensor, where in end.shown()
        ]
        raw = [hasher.submit(tensor) for tensor in parts]
        hasher.fetch()
        found = [final(r, dtype_name(t.dtype), t.shape) for r, t in zip(raw, parts)]
        return digest_text(combine(found))

    def _calls(self) -> dict[str, Any]:
        """How many calls came out in which way, and those that break the property, by place."""
        judged = self._judge
        counts: dict[str, int] = {}
        for verdict in judged.verdicts.values():
            counts[verdict] = counts.get(verdict, 0) + 1
        order = self._whole.calls  # in the order in which they ran
        return {
            "calls": counts,
            "breaks": _by_place(order, judged.findings),
            "mixing": _by_place(order, judged.mixing),
        }


def _by_place(order: Iterable[Key], found: Mapping[Key, Mapping[str, Any]]) -> list[dict[str, Any]]:
    places: dict[tuple[str, str], dict[str, Any]] = {}
    for key in order:
        if key in found:
            place = {"module": key.module, "op": key.op, "call": key.call, "calls": 0}
            one = places.setdefault(key[:2], dict(place, **found[key]))
            one["calls"] += 1
    return list(places.values())


class End:
    """The outputs of the varied call beside those of the whole call.

    ``equal`` is None where they cannot be matched, for ``reason``; ``left_out`` names outputs that
    have no rows and differ: what is made of all samples is no sample's result.
    """

    def __init__(self, variant: Variant, places: Places, whole: Named, varied: Named) -> None:
        self._variant = variant
        self._names = [name for name, _ in varied]
        self._whole = [tensor for _, tensor in whole]
        self._varied = [tensor for _, tensor in varied]
        self.equal: bool | None = None
        self.metrics: Figures = None
        self.reason: str | None = None
        self.left_out: list[str] = []
        self._where: list[Axes] = []
        if [name for name, _ in whole] != self._names:
            self.reason = "it returns other outputs"
            return
        for slot, (name, tensor) in enumerate(varied):
            where = places.find(RESULT, OUT, slot, tensor.shape)
            where = self._shorter(slot) if where is None else where
            if where is None:
                self.reason = "the output %s cannot be matched row by row" % name
                return
            self._where.append(where)

    @property
    def certain(self) -> bool:
        """Whether it is known how all rows (or places) lie."""
        return self.reason is None and all(len(orders(where)) == 1 for where in self._where)

    @property
    def dims(self) -> list[int | None]:
        """The dimension of the rows in each output; None where there is none."""
        known = [where[0].dim if where else None for where in self._where]
        return known or [0 if t.dim() else None for t in self._whole]

    def shown(self) -> list[tuple[torch.Tensor, Axes]]:
        """The varied call's outputs that were compared."""
        many = zip(self._names, self._varied, self._where)
        return [(tensor, where) for name, tensor, where in many if name not in self.left_out]

    def compare(self, moved: Sequence[Sequence[int] | None] | None = None) -> None:
        """Compare what is made of equal inputs; ``moved``: where each row lies in the whole."""
        if self.reason is not None:
            return
        self.equal, self.left_out, figures = True, [], []
        compared = 0
        for slot, where in enumerate(self._where):
            one, two = self._whole[slot], self._varied[slot]
            if self._variant.dim == 0 and not where and not same_bits(one, two):
                self.left_out.append(self._names[slot])
                continue
            compared += 1
            found = self._pairs(slot, where, moved[slot] if moved else None)
            if not any(same_bits(*both) for both in found):
                self.equal = False
                measures = [one for one in (measured(*both) for both in found) if one]
                figures.append(min(measures, key=_max_abs, default=None))
        self.metrics = largest(figures)
        if not compared or (self.left_out and not any(self._where)):
            self.equal, self.reason = None, _NO_ROWS

    def _pairs(
        self, slot: int, where: Axes, moved: Sequence[int] | None
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """What should be equal, in each order in which rows may lie."""
        variant, whole, varied = self._variant, self._whole[slot], self._varied[slot]
        if moved is not None and where:
            dim = where[0].dim
            index = torch.tensor(list(moved), device=whole.device)
            return [_trimmed(whole.index_select(dim, index), varied)]
        return [
            _trimmed(
                data_of(variant, whole, where, variant.whole, order),
                data_of(variant, varied, where, variant.varied, order),
            )
            for order in orders(where)
        ]

    def _shorter(self, slot: int) -> Axes | None:
        """Rows that are padded to the longest of a batch: other dimensions shrink with it."""
        one, two = self._whole[slot].shape, self._varied[slot].shape
        sizes = self._variant.sizes
        if self._variant.dim != 0 or len(one) != len(two) or not one or (one[0], two[0]) != sizes:
            return None
        return (Axis(0, 1),) if all(a >= b for a, b in zip(one, two)) else None


def _trimmed(one: torch.Tensor, two: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The first without what it has more, where that is but one number (padding)."""
    cut = one
    for dim, (a, b) in enumerate(zip(one.shape, two.shape)):
        if a > b:
            rest = cut.narrow(dim, b, a - b)
            if rest.numel() and not bool((rest == rest.reshape(-1)[0]).all()):
                return one, two
            cut = cut.narrow(dim, 0, b)
    return cut, two


def _max_abs(figures: Mapping[str, Any]) -> float:
    return float(figures["max_abs"])


def described(error: Exception) -> str:
    """An exception in one line."""
    return ("%s: %s" % (type(error).__name__, error)).splitlines()[0][:300]
