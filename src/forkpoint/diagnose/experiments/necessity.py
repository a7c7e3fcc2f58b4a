"""Whether each origin is needed: all others substituted, and this one left as it is."""

from __future__ import annotations

from forkpoint.diagnose.bench import Case
from forkpoint.diagnose.experiments.findings import MOST_ORIGINS, Findings
from forkpoint.diagnose.lockstep import substituted
from forkpoint.diagnose.words import base_name
from forkpoint.model import Experiment, Outcome

_MOST_STEPS = 8


def necessity(case: Case) -> Findings:
    """Run the candidate with the baseline's outputs of all origins' ops but one, for each."""
    origins = case.comparison.origins
    ops = tuple(dict.fromkeys(origin.op for origin in origins))
    if len(ops) == 1:
        text = "there is one origin: with nothing substituted, the steps differ, as compared"
        return Findings(experiment=_experiment(ops, Outcome.SUPPORTED, text))
    told: list[str] = []
    needed: list[bool | None] = []
    for op in ops[:MOST_ORIGINS]:
        steps = sorted({step for origin in origins if origin.op == op for step in origin.steps})
        tried = steps[:_MOST_STEPS]
        others = tuple(other for other in ops if other != op)
        result = substituted(case, others, tried, purpose=f"all origins but {op}")
        if isinstance(result, str):
            told.append(f"{op}: the run failed: {result}")
            needed.append(None)
            continue
        apart = len(tried) - len(result)
        name = base_name(op)
        told.append(
            f"{name}: without it, {apart} of {len(tried)} steps differ"
            if apart
            else f"{name}: without it, no step differs (origins behind it, substituted, hide it, "
            "or its difference never reaches an output)"
        )
        needed.append(bool(apart))
    if len(ops) > MOST_ORIGINS:
        told.append(f"{len(ops) - MOST_ORIGINS} more ops were not tried")
    if any(one is None for one in needed) or len(ops) > MOST_ORIGINS:
        outcome = Outcome.INCONCLUSIVE
    else:
        outcome = Outcome.SUPPORTED if all(needed) else Outcome.INCONCLUSIVE
    return Findings(experiment=_experiment(ops, outcome, "; ".join(told)))


def _experiment(ops: tuple[str, ...], outcome: Outcome, text: str) -> Experiment:
    return Experiment(
        name="necessity",
        hypothesis="each origin is needed: without it, the difference is not explained",
        did=f"ran the script with all but one of {', '.join(ops)} substituted, for each"
        if len(ops) > 1
        else "looked at how many origins there are",
        outcome=outcome,
        evidence=text,
    )
