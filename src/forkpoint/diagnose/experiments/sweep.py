"""Which sizes trigger the difference: an origin's call at other sizes, in both environments.

Each size is tried with several random inputs. A rule of sizes is claimed only where all inputs
of a size agree with each other about whether the sides differ, at every size, and where the
rule then predicts sizes that it was not made from. Where only some of the inputs differ, or
where it changes with the magnitude of the values, values decide, and no rule is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from forkpoint.diagnose.bench import Bench, Case
from forkpoint.diagnose.experiments.findings import (
    Findings,
    Pair,
    Sides,
    all_looked_at,
    ask,
    evidence,
    pairs,
    short,
)
from forkpoint.diagnose.experiments.sweeping import Sweeping, Swept, sweeping
from forkpoint.host import Call
from forkpoint.model import Experiment, Origin, Outcome, Sweep

FRESH = 16
"""Sizes drawn at random, in each round, that a rule has to predict."""


def sweep(case: Case, *, fresh: int = FRESH) -> Findings:
    """Vary each origin's call; its rules go to `Origin.sweeps` and `Origin.rule`."""
    looked = pairs(case)
    under_way = {number: (pair, sweeping(pair, origin, fresh)) for number, origin, pair in looked}
    found = _together(case.benches, under_way)
    changed, told = {}, []
    for number, origin, _ in looked:
        swept = found[number]
        sweeps, rule = (swept.sweeps, swept.rule) if swept else ((), None)
        changed[number] = replace(origin, sweeps=sweeps, rule=rule)
        told.append(_told(origin, sweeps))
    ruled = [origin for origin in changed.values() if origin.rule]
    whole = all_looked_at(case)
    proven = whole and len(ruled) == len(changed)
    outcome = Outcome.SUPPORTED if proven else Outcome.INCONCLUSIVE
    experiment = Experiment(
        name="sweep",
        hypothesis="sizes, dtype, memory layout or an argument decide whether an origin differs",
        did="replayed one call of each origin in both environments at other sizes, one and several "
        "at a time, and with other dtypes, layouts and arguments, each with several random inputs, "
        "and had the simplest rule that fits predict sizes not tried",
        outcome=outcome,
        evidence=evidence(case, told, nothing="no origin could be replayed"),
        whole=whole,
    )
    return Findings(experiment=experiment, origins=changed)


def _together(
    benches: tuple[Bench, Bench], under_way: Mapping[int, tuple[Pair, Sweeping]]
) -> dict[int, Swept | None]:
    """Take all sweeps on, each round in one process a side; what each of them returned."""
    done: dict[int, Swept | None] = {}
    answers: dict[int, Mapping[str, Sides] | None] = dict.fromkeys(under_way)
    rounds = 0
    while answers:
        asked: dict[str, tuple[int, Pair, Call]] = {}
        for number, sent in answers.items():
            pair, one = under_way[number]
            try:
                calls = one.send(sent) if sent is not None else next(one)
            except StopIteration as ended:
                done[number] = ended.value
                continue
            asked |= {f"{number}: {call.id}": (number, pair, call) for call in calls}
        rounds += 1
        named = [(pair, replace(call, id=name)) for name, (_, pair, call) in asked.items()]
        given = ask(benches, named, purpose=f"sweep, round {rounds}") if named else {}
        left = [number for number in answers if number not in done]
        answers = {
            number: {
                call.id: given[name] for name, (owner, _, call) in asked.items() if owner == number
            }
            for number in left
        }
    return done


def _told(origin: Origin, swept: Sequence[Sweep]) -> str:
    name = short(origin)
    if not swept:
        return f"{name}: could not be run at other sizes"
    parts = []
    for one in swept:
        tried = sum(point.inputs for point in one.points)
        what = f"{len(one.points)} values, {tried} inputs"
        if one.rule is None:
            parts.append(f"{one.dimension}: {one.note or 'no rule'} ({what})")
        else:
            checked = f", {one.checked} more predicted rightly" if one.checked else ""
            parts.append(f"{one.dimension}: differs {one.rule} ({what}{checked})")
    return f"{name}: " + "; ".join(parts)
