"""All variants of one step, in as many calls as the room for the whole call's tensors asks for."""

from __future__ import annotations

from typing import Any, Callable, Iterable, Iterator, Mapping, Sequence

import torch

from ._compat import has_plain_memory
from .digest import digest_text, dtype_name
from .guard import Guard
from .hasher import Hasher, Raw, final
from .inputs import Change, Inputs, Unvaried, copied
from .judge import Counts
from .layouts import same_bits
from .packed import returned
from .readings import paddings
from .trace import Keeper, Key, Listener, Survey, Tensors, Trace, Weights
from .trial import Trial, described
from .values import outputs
from .variants import Variant, rows, wanted

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
        for name, variant in wanted(self._asked, self._inputs, _no_paddings):
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

        def made(asked: Mapping[str, Any], inputs: Inputs) -> Iterator[Variant | str]:
            return paddings(asked, inputs, result, caller.plainly)

        trials = []
        for name, variant in wanted(self._asked, self._inputs, made):
            if isinstance(variant, str):
                yield {"property": name, "not_tried": variant}
            else:
                trials.append(Trial(variant, caller, self._inputs, (survey, counts)))
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
        failed: Unvaried | None = None
        with self.guard:  # to which an exception would be a failure of the recorder
            try:
                args, kwargs = self._inputs.changed(change)
            except Unvaried as why:
                failed = why
        if failed is not None:
            raise failed
        trace = Trace(self.guard, listener)
        with trace:
            result = self._run(listener.returned, args, kwargs)
        return returned(result), trace.counts

    def plainly(self, change: Change) -> Named:
        """The named outputs alone."""
        return self.call(change, Listener())[0]


def _no_paddings(_asked: Mapping[str, Any], _inputs: Inputs) -> Iterator[Variant | str]:
    """For calls that are held against another environment's: what a mask means is not tried."""
    yield "padding is not compared by digests"


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
