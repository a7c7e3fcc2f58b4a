"""All variants of one step, in as many calls as the room for the whole call's tensors asks for."""

from __future__ import annotations

from typing import Any, Callable, Iterable, Iterator, Mapping, Sequence

import torch

from ._compat import has_plain_memory
from .digest import combine, digest_text, dtype_name
from .guard import Guard
from .hasher import Hasher, Raw, final
from .judge import OUT, Counts, Figures, Judge, Places, distance, largest, matching
from .layouts import Axes, orders, same_bits, take
from .trace import RESULT, Keeper, Key, Listener, Survey, Tensors, Trace, Weights
from .values import outputs
from .variants import Change, Inputs, Variant, copied, rows, wanted

Seen = Callable[[str, object], None]
Run = Callable[[Seen, Sequence[Any], Mapping[str, Any]], Any]
Named = Sequence["tuple[str, torch.Tensor]"]
Row = Mapping[str, Any]

UNCHANGED = "unchanged"
"""Stands for a variant where the call that changes nothing is told of."""

_PROBE = 2  # rows of the call that shows where rows lie


class Varied:
    """Makes the variants that are asked for of one step's inputs, and says what became of them."""

    def __init__(self, asked: Mapping[str, Any], room: int, guard: Guard, inputs: Inputs) -> None:
        self._asked = asked
        self._room = room
        self._guard = guard
        self._inputs = inputs

    def rows(self, module: torch.nn.Module, result: Named, run: Run) -> Iterator[Row]:
        """A row for each variant, and for each property of which none can be made."""
        caller = Caller(self._guard, self._inputs, run)
        weights = Weights(module)
        digests = Digests(self._guard, caller.hasher) if self._asked.get("digests") else None
        survey = Survey(weights)
        try:
            again, counts = caller.call(copied, digests or survey)
            survey.ended([tensor for _, tensor in again])
        except Exception as error:  # noqa: BLE001 - the script's module, called twice
            yield {"refused": "a second call raised %s" % described(error)}
            return
        with self._guard:
            same = _same(result, again)
        if not same:
            yield {"refused": "a second call with the same inputs gave other bits"}
        elif digests is not None:
            yield {"variant": UNCHANGED, "digests": digests.rows()}
            yield from self._digested(caller)
        else:
            yield from self._judged(result, caller, weights, (survey, counts))

    def _digested(self, caller: Caller) -> Iterator[Row]:
        """What each variant gave, to be held against the same variant in another environment."""
        for name, variant in wanted(self._asked, self._inputs):
            if isinstance(variant, str):
                yield {"property": name, "not_tried": variant}
                continue
            row = {"property": name, "variant": variant.label}
            digests = Digests(self._guard, caller.hasher)
            try:
                caller.call(variant.change, digests)
            except Exception as error:  # noqa: BLE001 - a model need not take every input
                yield dict(row, not_tried="it raised %s" % described(error))
            else:
                yield dict(row, digests=digests.rows())

    def _judged(
        self, result: Named, caller: Caller, weights: Weights, whole: tuple[Survey, Counts]
    ) -> Iterator[Row]:
        """How each variant compares with the whole call, rows with equal rows."""
        survey, counts = whole
        trials = []
        for name, variant in wanted(self._asked, self._inputs):
            if isinstance(variant, str):
                yield {"property": name, "not_tried": variant}
            else:
                trials.append(Trial(variant, caller, survey, counts))
        self._probe(trials, caller, weights)
        for window in survey.windows(self._room):
            keeper = Keeper(window, weights)
            caller.call(copied, keeper)
            for trial in trials:
                trial.run(keeper)
        for trial in trials:
            yield trial.row(result)

    def _probe(self, trials: Sequence[Trial], caller: Caller, weights: Weights) -> None:
        """Where a variant keeps the batch's size, look at a smaller batch for where rows lie."""
        alike = [trial for trial in trials if trial.variant.sizes[0] == trial.variant.sizes[1]]
        if not alike:
            return
        batch = alike[0].variant.whole.size
        few = min(_PROBE, batch - 1)
        probe = Survey(weights)
        smaller = rows("batch", "", batch, range(few))
        try:
            results, _ = caller.call(smaller.change, probe)
            probe.ended([tensor for _, tensor in results])
        except Exception as error:  # noqa: BLE001 - a model may want its own batch size
            for trial in alike:
                trial.reason = "a batch of %d raised %s" % (few, described(error))
        for trial in alike:
            trial.learn(probe, few)


class Caller:
    """Calls the module with changed inputs, under a trace."""

    def __init__(self, guard: Guard, inputs: Inputs, run: Run) -> None:
        self.guard = guard
        with guard:
            self.hasher = Hasher()
        self._inputs = inputs
        self._run = run

    def call(self, change: Change, listener: Listener) -> tuple[Named, Counts]:
        """The named outputs, and how often each op of each module was called."""
        with self.guard:
            args, kwargs = self._inputs.changed(change)
        trace = Trace(self.guard, listener)
        with trace:
            result = self._run(listener.returned, args, kwargs)
        named = [(name, tensor.detach()) for name, tensor in outputs(result).tensors]
        return named, trace.counts


class Trial:
    """One variant of one step, called once for each window of the whole call."""

    def __init__(self, variant: Variant, caller: Caller, whole: Survey, counts: Counts) -> None:
        self.variant = variant
        self.reason = ""  # why it could not be made
        self._caller = caller
        self._whole = whole
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
        except Exception as error:  # noqa: BLE001 - a model need not take every input
            self.reason = "it raised %s" % described(error)
        else:
            self._outputs, self._counts = found, (self._counts[0], counts)
        finally:
            self._judge.wanted = {}

    def row(self, result: Named) -> Row:
        """The variant's row of the answer."""
        head = {"property": self.variant.prompt, "variant": self.variant.label}
        if self.reason:
            return dict(head, not_tried=self.reason)
        self._judge.finish(*self._counts)
        with self._caller.guard:
            placed = self._placed(result)
            equal, figures = self._end(result, placed)
            return dict(head, equal=equal, metrics=figures, **self._calls(), **self._size(placed))
        return dict(head, not_tried="the recorder broke: %s" % self._caller.guard.error)

    def _placed(self, result: Named) -> Sequence[Axes] | None:
        """Where rows lie in each output; None where the outputs cannot be matched."""
        varied = self._outputs or ()
        if [name for name, _ in result] != [name for name, _ in varied]:
            return None
        found = []
        for slot, (_, tensor) in enumerate(varied):
            where = self._places.find(RESULT, OUT, slot, tensor.shape)
            if where is None:
                return None
            found.append(where)
        return found

    def _end(self, result: Named, placed: Sequence[Axes] | None) -> tuple[bool | None, Figures]:
        """Whether outputs are equal where the inputs are; None where they cannot be matched."""
        if placed is None:
            return None, None
        measured, equal = [], True
        for (_, one), (_, two), where in zip(result, self._outputs or (), placed):
            if not matching(self.variant, one, two, where):
                equal = False
                measured.append(distance(self.variant, one, two, where))
        return equal, largest(measured)

    def _size(self, placed: Sequence[Axes] | None) -> dict[str, Any]:
        """The variant's size, and the digest of what it shares with other sizes."""
        whole, size = self.variant.sizes
        if whole == size:
            return {"size": None, "shared": None}
        certain = placed is not None and all(len(orders(where)) == 1 for where in placed)
        return {"size": size, "shared": self._shared(placed or ()) if certain else None}

    def _shared(self, placed: Sequence[Axes]) -> str:
        hasher, part = self._caller.hasher, self.variant.shared
        parts = [
            take(tensor, where, part, True)
            for (_, tensor), where in zip(self._outputs or (), placed)
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
        breaks: dict[tuple[str, str], dict[str, Any]] = {}
        for key in self._whole.calls:  # in the order in which they ran
            if key in judged.findings:
                place = {"module": key.module, "op": key.op, "call": key.call, "calls": 0}
                found = breaks.setdefault(key[:2], dict(place, **judged.findings[key]))
                found["calls"] += 1
        return {"calls": counts, "breaks": list(breaks.values())}


class Digests(Listener):
    """Digests of what the modules and ops of one call gave, in the order in which they ended."""

    def __init__(self, guard: Guard, hasher: Hasher) -> None:
        self._guard = guard
        self._hasher = hasher
        self._found: list[tuple[str, str, list[tuple[Raw, str, tuple[int, ...]]]]] = []

    def returned(self, path: str, result: object) -> None:
        """Take in what a module returned."""
        with self._guard:
            tensors = [tensor for _, tensor in outputs(result).tensors]
            self._take(path, "", filter(has_plain_memory, tensors))

    def computed(self, key: Key, tensors: Tensors) -> None:
        """Take in what an op computed."""
        self._take(key.module, key.op, tensors.outputs)

    def _take(self, path: str, op: str, tensors: Iterable[torch.Tensor]) -> None:
        raw = [(self._hasher.submit(t), dtype_name(t.dtype), tuple(t.shape)) for t in tensors]
        self._found.append((path, op, raw))

    def rows(self) -> list[Any]:
        """Rows [path, op or "", [digest, ...]], as plain data."""
        with self._guard:
            self._hasher.fetch()
        return [[path, op, [digest_text(final(*one)) for one in many]]
                for path, op, many in self._found]  # fmt: skip


def _same(one: Named, two: Named) -> bool:
    return [name for name, _ in one] == [name for name, _ in two] and all(
        same_bits(a, b) for (_, a), (_, b) in zip(one, two)
    )


def described(error: Exception) -> str:
    """An exception in one line."""
    return ("%s: %s" % (type(error).__name__, error)).splitlines()[0][:300]
