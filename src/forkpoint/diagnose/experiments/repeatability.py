"""Whether each environment gives its own bits again, in a fresh process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from forkpoint.compare import equal_steps, unrepeatable_steps
from forkpoint.diagnose.bench import Case
from forkpoint.diagnose.experiments.findings import Findings, Sides, ask, evidence, pairs, short
from forkpoint.model import Experiment, Outcome
from forkpoint.store import Recording

_TIMES = 10


def repeatability(case: Case) -> Findings:
    """Compare two runs of each environment, and run each origin's own call several times."""
    told: list[str] = []
    seen: list[bool | None] = []
    if case.again is None:
        told.append("no second run of the script went to its end")
        seen.append(None)
    else:
        for said, same in _scripts(case, case.again):
            told.append(said)
            seen.append(same)
    calls, steady = _alone(case)
    experiment = Experiment(
        name="repeatability",
        hypothesis="each environment gives its own bits again",
        did="held two runs of the script in each environment, in processes of their own, against "
        f"each other, and ran the origins' own calls {_TIMES} times each",
        outcome=_outcome([*seen, *steady]),
        evidence="; ".join((*told, *([calls] if calls else []))),
    )
    return Findings(experiment=experiment)


def _outcome(seen: Sequence[bool | None]) -> Outcome:
    if False in seen:
        return Outcome.REFUTED
    return Outcome.INCONCLUSIVE if None in seen or not seen else Outcome.SUPPORTED


def _scripts(case: Case, again: tuple[Path, Path]) -> Iterator[tuple[str, bool | None]]:
    """Of each environment, what two runs of the script gave; null where not all was compared."""
    every = [step.index for step in case.comparison.steps]
    for bench, earlier, later in zip(case.benches, case.first, again, strict=True):
        with Recording.open(earlier) as one, Recording.open(later) as two:
            doubtful = set(unrepeatable_steps(one, two)).intersection(every)
            same = equal_steps(one, two, every)
        told = f"{bench.name}: {len(same):,} of {len(every):,} steps gave the same bits in two runs"
        if doubtful:
            yield f"{told}, {len(doubtful):,} did not", False
        else:
            whole = len(same) == len(every)
            yield told, True if whole else None


def _alone(case: Case) -> tuple[str, list[bool | None]]:
    """Whether the origins' own calls repeat, each side with its own capsule."""
    looked = pairs(case)
    if not looked:
        return "", []
    asked = [(pair, pair.call(str(number), repeat=_TIMES)) for number, _, pair in looked]
    answers = ask(case.benches, asked, purpose="repeating the origins")
    steady: dict[str, bool | None] = {}
    for number, origin, _ in looked:
        name, same = short(origin), _repeats(answers[str(number)])
        before = steady.get(name, True)
        steady[name] = False if False in (before, same) else before and same
    words = {True: "repeats", False: "does not repeat", None: "did not run"}
    told = [f"{name}: {words[same]}" for name, same in steady.items()]
    return evidence(case, told, nothing=""), list(steady.values())


def _repeats(sides: Sides) -> bool | None:
    if any(side.status != "ran" for side in sides):
        return None
    return all(side.repeatable for side in sides)
