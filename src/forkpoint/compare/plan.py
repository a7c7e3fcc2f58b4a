"""What the second pass looks at more closely, and which tensors it keeps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from forkpoint.compare.pairing import Pairing, View
from forkpoint.compare.premises import Premises
from forkpoint.store import Recording, TensorRow, ValueRow
from forkpoint_worker.schema import COMPLETE, KIND_MODULE, ROLE_OUT

_WINDOW_FACTOR = 8
"""What a window is taken to hold, in outputs of its module: inputs, weights, intermediates."""

_Shape = tuple[str, tuple[tuple[str, tuple[int, ...]], ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """What to do in one step (see the protocol in `forkpoint_worker`)."""

    level: Literal["bare", "module", "op"] = "bare"
    store: tuple[Literal["root", "modules"], ...] = ()
    modules: tuple[str, ...] | None = None
    window: tuple[str | None, str | None] | None = None

    def as_json(self) -> dict[str, Any]:
        """The pick as the protocol spells it."""
        return {
            "level": self.level,
            "store": list(self.store),
            "modules": None if self.modules is None else list(self.modules),
            "window": None if self.window is None else list(self.window),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The second pass. Steps without a pick are run bare, with nothing kept.

    ``representatives`` are recorded op by op; ``unkept`` are steps whose outputs differ and do
    not fit into the budget, so they cannot be measured; ``bytes`` estimates what is kept.
    ``reserve`` are the bytes of the steps' own outputs, for which room is held.
    ``needs_bare_run`` says that no step is left bare: whether recording is neutral must then
    be checked by a run of its own.
    """

    steps: dict[int, Pick] = field(default_factory=dict)
    representatives: tuple[int, ...] = ()
    unkept: tuple[int, ...] = ()
    bytes: int = 0
    reserve: int = 0
    needs_bare_run: bool = False

    def as_json(self) -> dict[str, Any]:
        """The plan as the worker's job takes it."""
        return {
            "default": Pick().as_json(),
            "reserve": self.reserve,
            "steps": {str(step): pick.as_json() for step, pick in sorted(self.steps.items())},
        }


def second_pass(baseline: Recording, candidate: Recording, *, max_storage: int) -> Plan | None:
    """Plan the second pass from two recordings at module level; None where nothing diverges.

    ``max_storage`` is in bytes. Steps whose inputs or weights differ are not looked at again:
    their cause lies outside of them. Of those that were given what earlier steps returned, the
    outputs are measured, and no more.
    """
    pairing = Pairing(baseline, candidate)
    premises = Premises(pairing)
    comparable, chained = _to_judge(pairing, premises)
    divergent = [s for s in comparable if _differs(pairing, s)]
    if not divergent:
        return None
    roots = baseline.root_values()
    shapes = {s: _shape(pairing, premises, s) for s in comparable}
    representatives = _first_of_each(divergent, shapes)
    alike = next((s for s in comparable if s not in set(divergent)), None)
    watched = (*representatives, *(() if alike is None else (alike,)))
    budget = _Budget(max_storage)
    unlike = sorted((*divergent, *(s for s in chained if _differs(pairing, s))))
    kept = [s for s in unlike if budget.take(_root_tensors(pairing.a, s, roots))]
    reserve = budget.used
    windows = {s: _window(pairing, s, budget) for s in representatives}
    modules = _choose_modules(pairing.a, watched, budget)
    steps = {s: Pick(store=("root",)) for s in kept}
    for s in watched:
        steps[s] = Pick(
            level="op",
            store=(*(("root",) if s in kept else ()), "modules"),
            modules=tuple(modules[s]),
            window=windows.get(s),
        )
    return Plan(
        steps=steps,
        representatives=tuple(sorted(watched)),
        unkept=tuple(sorted(set(unlike) - set(kept))),
        bytes=budget.used,
        reserve=reserve,
        needs_bare_run=len(watched) == len(pairing.steps),
    )


@dataclass(slots=True)
class _Budget:
    """Bytes left; equal tensors are stored once, so they count once."""

    limit: int
    used: int = 0
    _seen: set[int] = field(default_factory=set)

    def take(self, tensors: Iterable[TensorRow]) -> bool:
        """Count the tensors in if all of them fit."""
        fresh = {t.digest: t.nbytes or 0 for t in tensors if t.digest is not None}
        fresh = {digest: size for digest, size in fresh.items() if digest not in self._seen}
        if self.used + sum(fresh.values()) > self.limit:
            return False
        self.used += sum(fresh.values())
        self._seen.update(fresh)
        return True

    def reserve(self, size: int) -> bool:
        """Count in some bytes if they fit."""
        if self.used + size > self.limit:
            return False
        self.used += size
        return True


def _to_judge(pairing: Pairing, premises: Premises) -> tuple[list[int], list[int]]:
    """Steps with equal inputs; and those whose inputs differ as any such steps returned them."""
    comparable: list[int] = []
    chained: list[int] = []
    known: set[int] = set()
    for step in (step for step in pairing.steps if _ended(pairing, step)):
        if not premises.reason(step):
            comparable.append(step)
        elif (sources := premises.sources(step)) and known.issuperset(sources):
            chained.append(step)
        else:
            continue
        known.add(step)
    return comparable, chained


def _ended(pairing: Pairing, step: int) -> bool:
    rows = pairing.rows(step)
    views = pairing.a, pairing.b
    return all(row.state == COMPLETE for row in rows) and all(step in v.roots for v in views)


def _differs(pairing: Pairing, step: int) -> bool:
    a, b = pairing.a, pairing.b
    return a.digest(a.roots[step]) != b.digest(b.roots[step])


def _shape(pairing: Pairing, premises: Premises, step: int) -> _Shape:
    inputs = tuple((value.dtype, value.shape) for value in premises.inputs(step))
    return pairing.rows(step)[0].module, inputs


def _first_of_each(steps: Sequence[int], shapes: dict[int, _Shape]) -> tuple[int, ...]:
    first: dict[_Shape, int] = {}
    for step in steps:
        first.setdefault(shapes[step], step)
    return tuple(first.values())


def _root_tensors(view: View, step: int, roots: dict[int, tuple[ValueRow, ...]]) -> list[TensorRow]:
    event = int(view.columns.id[view.roots[step]])
    return [value.tensor for value in roots.get(event, ())]


def _window(pairing: Pairing, step: int, budget: _Budget) -> tuple[str | None, str | None] | None:
    """From the last identical module call before the fork to the first one that differs.

    None where the budget has no room for it.
    """
    events = pairing.events(step)
    pairs = events.alignment.pairs
    places = events.a[pairs[:, 0]]
    modules = pairing.a.columns.kind[places] == KIND_MODULE
    differing = np.flatnonzero(modules & events.differs)
    if not len(differing):
        return None
    until = int(differing[0])
    before = np.flatnonzero(modules[:until])
    outputs = pairing.a.recording.values(int(pairing.a.columns.id[places[until]]))
    size = sum(v.tensor.nbytes or 0 for v in outputs if v.role == ROLE_OUT)
    if not budget.reserve(_WINDOW_FACTOR * size):
        return None
    after = _call(pairing.a, int(places[before[-1]])) if len(before) else None
    return after, _call(pairing.a, int(places[until]))


def _call(view: View, place: int) -> str:
    """A module call as the protocol spells it: ``path:call``."""
    event = view.recording.event(place)
    return f"{event.module}:{event.call}"


def _choose_modules(view: View, steps: Sequence[int], budget: _Budget) -> dict[int, list[str]]:
    """Module paths to keep in each step: outer ones first, over all steps, while they fit."""
    outputs = {step: _module_outputs(view, step) for step in steps}
    chosen: dict[int, list[str]] = {step: [] for step in steps}
    wanted = sorted(
        (path.count(".") + bool(path), step, path) for step in steps for path in outputs[step]
    )
    for _, step, path in wanted:
        if budget.take(outputs[step][path]):
            chosen[step].append(path)
    return chosen


def _module_outputs(view: View, step: int) -> dict[str, list[TensorRow]]:
    values = view.recording.values_of_step(step)
    found: dict[str, list[TensorRow]] = {}
    for place in view.positions(step).tolist():
        if view.columns.kind[place] == KIND_MODULE:
            event = view.recording.event(place)
            tensors = [v.tensor for v in values.get(event.id, ()) if v.role == ROLE_OUT]
            found.setdefault(event.module, []).extend(tensors)
    return found
