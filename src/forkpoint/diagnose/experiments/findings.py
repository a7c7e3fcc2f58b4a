"""What experiments are given beyond a case, and what they give back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from forkpoint.diagnose.bench import Bench, Case
from forkpoint.host import Call, Replayed
from forkpoint.model import Experiment, Origin
from forkpoint.process import in_parallel

MOST_ORIGINS = 4
"""Origins that an experiment looks at; the rest is counted in its evidence."""


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

    def ask(self, calls: Sequence[Call], *, purpose: str) -> dict[str, tuple[Replayed, Replayed]]:
        """Run the same calls on both sides; what came of each, by id."""
        tasks = [
            partial(bench.replay, sided, purpose=purpose)
            for bench, sided in zip(self.benches, self._sided(calls), strict=True)
        ]
        one, two = in_parallel(tasks)
        return {call.id: (one[call.id], two[call.id]) for call in calls}

    def with_benches(self, benches: tuple[Bench, Bench]) -> Pair:
        """The same call in other environments."""
        return Pair(benches=benches, folders=self.folders)

    def call(self, name: str, document: Mapping[str, Any] | None = None, **more: Any) -> Call:
        """The baseline's call, or another one over the baseline's bytes."""
        return Call(id=name, capsule=self.folders[0], call=document, **more)

    def _sided(self, calls: Sequence[Call]) -> tuple[list[Call], list[Call]]:
        """Each side runs with the numerics state that it had itself in the script."""
        return list(calls), [_with_state(call, self.folders[1]) for call in calls]


def _with_state(call: Call, folder: Path) -> Call:
    return Call(
        id=call.id,
        capsule=call.capsule,
        call=call.call,
        repeat=call.repeat,
        state=folder,
        as_=call.as_,
        device=call.device,
        keep=call.keep,
        against=call.against,
        rows=call.rows,
        profile=call.profile,
    )


def pairs(case: Case) -> Iterator[tuple[int, Origin, Pair]]:
    """The origins that replay shows, alone, with their capsules; at most `MOST_ORIGINS`."""
    found = 0
    for number, origin in enumerate(case.comparison.origins):
        if origin.confirmed != "replay" or origin.capsule is None or found == MOST_ORIGINS:
            continue
        place = (case.folder.parent / origin.capsule).parent
        one, two = (place / bench.name for bench in case.benches)
        if not (one.is_dir() and two.is_dir()):
            continue
        found += 1
        yield number, origin, Pair(benches=case.benches, folders=(one, two))


def not_looked_at(case: Case, looked: int) -> str:
    """Words for the origins that an experiment did not take; empty where it took all."""
    left = len(case.comparison.origins) - looked
    if not left:
        return ""
    them = "origin was" if left == 1 else "origins were"
    return f"{left} more {them} not tried: shown inside the script only, or beyond the first few"


def differ(answers: tuple[Replayed, Replayed]) -> bool | None:
    """Whether the two sides gave other bits; null where one of them did not run."""
    one, two = answers
    if one.status != "ran" or two.status != "ran" or not one.outputs:
        return None
    return one.digests != two.digests
