"""Which steps of two runs belong together.

One thread makes its steps in one order, so they are matched by number. Several threads make them
in no fixed order, and the names of models follow it ("Net", "Net#2", by their first calls): then
models are matched by their weights, and steps by model, inputs and occurrence.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from forkpoint.store import Recording, StepRow
from forkpoint_worker.schema import KIND_INPUT, KIND_WEIGHTS

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Match:
    """What the steps and outermost modules of a run are called in another one's terms.

    Steps that the other has not are numbered after all of its own.
    """

    steps: Mapping[int, int]
    modules: Mapping[str, str] = field(default_factory=dict)

    def then(self, other: Match) -> Match:
        """Both renamings, one after the other."""
        return Match(
            {step: other.steps.get(number, number) for step, number in self.steps.items()},
            {name: other.modules.get(found, found) for name, found in self.modules.items()},
        )


def several_threads(*recordings: Recording) -> bool:
    """Whether the steps of a run were made by more than one thread."""
    return any(len({step.thread for step in one.steps()}) > 1 for one in recordings)


def match_steps(baseline: Recording, candidate: Recording) -> Match | None:
    """The candidate's steps in terms of the baseline's; None where their numbers do."""
    if not several_threads(baseline, candidate):
        return None
    modules = _match_modules(baseline, candidate)
    one, two = baseline.steps(), candidate.steps()
    given = _digests(baseline, KIND_INPUT), _digests(candidate, KIND_INPUT)
    alike = _matched(
        [(step.id, (step.module, given[0].get(step.id))) for step in one],
        [(step.id, (modules[step.module], given[1].get(step.id))) for step in two],
    )
    # what was given other inputs is matched by order, so that the inputs are said to differ
    taken = set(alike.values())
    rest = _matched(
        [(step.id, step.module) for step in one if step.id not in taken],
        [(step.id, modules[step.module]) for step in two if step.id not in alike],
    )
    found = {**alike, **rest}
    after = max((step.id for step in one), default=-1) + 1
    alone = [step.id for step in two if step.id not in found]
    found |= {step: after + i for i, step in enumerate(alone)}
    return Match(found, modules)


def _match_modules(baseline: Recording, candidate: Recording) -> dict[str, str]:
    """The candidate's outermost modules by the names that the baseline has for them.

    Of one class, those with equal weights belong together, then those of equal order.
    """
    one, two = (_first_weights(recording) for recording in (baseline, candidate))
    alike = _matched(
        [(name, (_kind(name), digest)) for name, digest in one.items()],
        [(name, (_kind(name), digest)) for name, digest in two.items()],
    )
    taken = set(alike.values())
    rest = _matched(
        [(name, _kind(name)) for name in one if name not in taken],
        [(name, _kind(name)) for name in two if name not in alike],
    )
    found = {**alike, **rest}
    return {name: found.get(name, _unused(name, one)) for name in two}


def _unused(name: str, taken: Iterable[str]) -> str:
    return f"{name} (candidate only)" if name in taken else name


def _kind(name: str) -> str:
    """``Net`` of ``Net#2``."""
    return name.partition("#")[0]


def _first_weights(recording: Recording) -> dict[str, int | None]:
    """The digest of each outermost module's weights at its first call, in the order of those."""
    weights = _digests(recording, KIND_WEIGHTS)
    found: dict[str, int | None] = {}
    for step in recording.steps():
        found.setdefault(step.module, weights.get(step.id))
    return found


def _digests(recording: Recording, kind: int) -> dict[int, int]:
    """The digest of each step's event of a kind, by step."""
    c = recording.columns
    found = np.flatnonzero((c.kind == kind) & c.hashed)
    return dict(zip(c.step[found].tolist(), c.digest[found].tolist(), strict=True))


def _matched(one: Iterable[tuple[K, Hashable]], two: Iterable[tuple[K, Hashable]]) -> dict[K, K]:
    """For members of ``two``, those of ``one`` with an equal key, in the order of both."""
    waiting: defaultdict[Hashable, deque[K]] = defaultdict(deque)
    for member, key in one:
        waiting[key].append(member)
    found: dict[K, K] = {}
    for member, key in two:
        if waiting[key]:
            found[member] = waiting[key].popleft()
    return found


def renamed(rows: Iterable[StepRow], match: Match | None) -> dict[int, StepRow]:
    """Steps by their number in the other run's terms."""
    if match is None:
        return {row.id: row for row in rows}
    return {
        match.steps[row.id]: StepRow(
            id=match.steps[row.id],
            module=match.modules.get(row.module, row.module),
            level=row.level,
            state=row.state,
            thread=row.thread,
        )
        for row in rows
    }
