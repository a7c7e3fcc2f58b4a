"""Whether each origin is needed: all others substituted, and this one left as it is."""

from __future__ import annotations

from forkpoint.compare import DIFFERING, equal_steps
from forkpoint.diagnose.bench import Case
from forkpoint.diagnose.experiments.findings import MOST_ORIGINS, Findings
from forkpoint.diagnose.lockstep import substituted
from forkpoint.diagnose.words import base_name, counted
from forkpoint.model import Experiment, Outcome
from forkpoint.store import Recording

_MOST_STEPS = 8


def necessity(case: Case) -> Findings:
    """Run the candidate with the baseline's outputs of all origins' ops but one, for each."""
    origins = case.comparison.origins
    ops = tuple(dict.fromkeys(origin.op for origin in origins))
    if reason := _untried(case):
        return Findings(experiment=_experiment((), Outcome.INCONCLUSIVE, reason))
    if len(ops) == 1:
        return Findings(experiment=_alone(case))
    told: list[str] = []
    needed: list[bool | None] = []
    differing = _differing(case)
    for op in ops[:MOST_ORIGINS]:
        steps = sorted({step for origin in origins if origin.op == op for step in origin.steps})
        tried = [step for step in steps if step in differing][:_MOST_STEPS]
        text, result = _without(case, op, ops, tried)
        told.append(f"{base_name(op)}: {text}")
        needed.append(result)
    if len(ops) > MOST_ORIGINS:
        told.append(f"{counted(len(ops) - MOST_ORIGINS, 'more op')} not tried")
    proven = all(needed) and len(ops) <= MOST_ORIGINS
    outcome = Outcome.SUPPORTED if proven else Outcome.INCONCLUSIVE
    return Findings(experiment=_experiment(ops, outcome, "; ".join(told)))


def _without(
    case: Case, op: str, ops: tuple[str, ...], tried: list[int]
) -> tuple[str, bool | None]:
    """What a run shows in which this op alone is not substituted; null where it shows nothing."""
    if not tried:
        return "not tried: no step in which it differs has outputs that differ", None
    others = tuple(other for other in ops if other != op)
    result = substituted(case, others, tried, purpose=f"all origins but {op}")
    if isinstance(result, str):
        return f"the run failed: {result}", None
    apart = len(tried) - len(result)
    if apart:
        return f"without it, {apart} of {counted(len(tried), 'step')} differ", True
    return (
        f"without it, none of {counted(len(tried), 'step')} differs (origins behind it, "
        "substituted, hide it, or its difference never reaches an output)",
        False,
    )


def _untried(case: Case) -> str:
    """Why leaving one out would prove nothing."""
    if not _differing(case):
        return "not tried: no output differs, so none can show what an origin does"
    enough = next((e for e in case.comparison.experiments if e.name == "sufficiency"), None)
    if enough is None or enough.outcome is not Outcome.SUPPORTED:
        return (
            "not tried: it is not known that the origins together are the whole cause, so a step "
            "that differs without one of them may differ for another reason"
        )
    return ""


def _alone(case: Case) -> Experiment:
    """One origin: the runs in which nothing was substituted are those without it."""
    steps = sorted(_differing(case))
    passes = [case.first, *([case.again] if case.again not in (None, case.first) else [])]
    apart = []
    for paths in passes:
        assert paths is not None  # filtered above
        with Recording.open(paths[0]) as one, Recording.open(paths[1]) as two:
            apart.append(len(steps) - len(equal_steps(one, two, steps)))
    runs = "run of each environment" if len(passes) == 1 else "runs of each environment"
    told = (
        f"in {len(passes)} {runs} with nothing substituted, {min(apart)} of "
        f"{counted(len(steps), 'step')} differ; with it substituted, none (see sufficiency)"
    )
    outcome = Outcome.SUPPORTED if min(apart) == len(steps) else Outcome.INCONCLUSIVE
    return _experiment((), outcome, told)


def _differing(case: Case) -> frozenset[int]:
    return frozenset(s.index for s in case.comparison.steps if s.verdict in DIFFERING)


def _experiment(ops: tuple[str, ...], outcome: Outcome, text: str) -> Experiment:
    return Experiment(
        name="necessity",
        hypothesis="each origin is needed: without it, the difference is not explained",
        did=f"ran the script with all but one of {', '.join(ops)} substituted, for each"
        if ops
        else "looked at the runs in which nothing was substituted",
        outcome=outcome,
        evidence=text,
    )
