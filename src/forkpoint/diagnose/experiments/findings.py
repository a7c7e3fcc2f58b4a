"""What experiments are given beyond a case, and what they give back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from forkpoint.diagnose.bench import Bench, Case
from forkpoint.diagnose.words import base_name
from forkpoint.host import Call, Replayed
from forkpoint.model import Experiment, Origin
from forkpoint.process import in_parallel

MOST_ORIGINS = 4
"""Origins that an experiment looks at; the rest is counted in its evidence."""

Sides = tuple[Replayed, Replayed]
"""What came of one call in the baseline and in the candidate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """An experiment's result; ``origins`` are those it learnt about, by their number."""

    experiment: Experiment
    origins: Mapping[int, Origin] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One origin's call on both sides: the two capsules, and the benches to run them in."""

    benches: tuple[Bench, Bench]
    folders: tuple[Path, Path]

    def call(self, name: str, document: Mapping[str, Any] | None = None, **more: Any) -> Call:
        """The baseline's call, or another one over the baseline's bytes."""
        return Call(id=name, capsule=self.folders[0], call=document, **more)

    def ask(self, calls: Sequence[Call], *, purpose: str) -> dict[str, Sides]:
        """Run the same calls on both sides; what came of each, by id."""
        return ask(self.benches, [(self, call) for call in calls], purpose=purpose)


def ask(
    benches: tuple[Bench, Bench], asked: Sequence[tuple[Pair, Call]], *, purpose: str
) -> dict[str, Sides]:
    """Run calls of several origins on both sides at once; what came of each, by id.

    Each side runs with the numerics state that it had itself in the script.
    """
    sided = (
        [call for _, call in asked],
        [replace(call, state=pair.folders[1]) for pair, call in asked],
    )
    tasks = [
        partial(bench.replay, calls, purpose=purpose)
        for bench, calls in zip(benches, sided, strict=True)
    ]
    one, two = in_parallel(tasks)
    return {call.id: (one[call.id], two[call.id]) for _, call in asked}


def pairs(case: Case) -> list[tuple[int, Origin, Pair]]:
    """The origins that replay shows, alone, with their capsules; at most `MOST_ORIGINS`."""
    return list(_pairs(case))[:MOST_ORIGINS]


def _pairs(case: Case) -> Iterator[tuple[int, Origin, Pair]]:
    for number, origin in enumerate(case.comparison.origins):
        if origin.confirmed != "replay" or origin.capsule is None:
            continue
        place = (case.folder.parent / origin.capsule).parent
        one, two = (place / bench.name for bench in case.benches)
        if one.is_dir() and two.is_dir():
            yield number, origin, Pair(benches=case.benches, folders=(one, two))


def short(origin: Origin) -> str:
    """The op's name without its library and overload."""
    return base_name(origin.op)


def all_looked_at(case: Case) -> bool:
    """Whether an experiment that replays calls can speak of every origin."""
    return 0 < len(case.comparison.origins) == len(pairs(case))


def evidence(case: Case, told: Sequence[str], *, nothing: str) -> str:
    """What was told of the origins, and how many were not looked at, and why."""
    if not told:
        return nothing
    alone = sum(1 for _ in _pairs(case))
    counts = (
        (len(case.comparison.origins) - alone, "shown inside the script only"),
        (max(0, alone - MOST_ORIGINS), f"{MOST_ORIGINS} are looked at, at most"),
    )
    return "; ".join((*told, *(_left(count, why) for count, why in counts if count)))


def _left(count: int, why: str) -> str:
    return f"{count} more {'origin was' if count == 1 else 'origins were'} not tried: {why}"


def differ(answers: Sides) -> bool | None:
    """Whether the two sides gave other bits; null where one of them did not run."""
    one, two = answers
    if one.status != "ran" or two.status != "ran" or not one.outputs:
        return None
    return one.digests != two.digests
