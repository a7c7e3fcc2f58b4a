"""The verdict in plain words: sentences that say what the experiments showed, and no more."""

from __future__ import annotations

from collections.abc import Sequence

from forkpoint.compare import DIFFERING
from forkpoint.model import Comparison, Experiment, Origin, Outcome

_NAMED = 4  # origins that a sentence names before it counts the rest
_SHORT = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "float64": "fp64"}


def explain(comparison: Comparison) -> tuple[str, ...]:
    """One to five sentences; none where nothing was diagnosed."""
    by_name = {experiment.name: experiment for experiment in comparison.experiments}
    if not comparison.origins:
        tried = by_name.get("origins")
        return (f"The cause is not known: {tried.evidence}.",) if tried else ()
    found = (
        _which(comparison),
        _in_place(comparison.origins),
        _shapes(comparison),
        _truth(comparison.origins),
        _enough(comparison, by_name.get("sufficiency")),
    )
    return tuple(sentence for sentence in found if sentence)


def short(origin: Origin) -> str:
    """``native_layer_norm (fp32)``."""
    name = origin.op.split(".")[1] if "." in origin.op else origin.op
    floats = [_SHORT[dtype] for dtype in origin.dtypes if dtype in _SHORT]
    kinds = floats or list(origin.dtypes)
    return f"`{name}` ({', '.join(kinds)})" if kinds else f"`{name}`"


def _which(comparison: Comparison) -> str:
    origins = comparison.origins
    names = list(dict.fromkeys(short(origin) for origin in origins))
    listed = _listed(names[:_NAMED])
    if len(names) > _NAMED:
        listed = f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
    verb = "differs by itself" if len(names) == 1 else "differ by themselves"
    only = "Only " if _complete(comparison) else ""
    lead = f"{only}{listed} {verb}"
    count = comparison.propagated
    if not count:
        return f"{lead}."
    if count == 1:
        return f"{lead}; the one other op call that differs passes it on."
    return f"{lead}; the other {count:,} differing op calls pass it on."


def _complete(comparison: Comparison) -> bool:
    return any(
        one.name == "sufficiency" and one.outcome is Outcome.SUPPORTED
        for one in comparison.experiments
    )


def _in_place(origins: Sequence[Origin]) -> str:
    """What could be shown inside the running script only."""
    names = [short(origin) for origin in origins if origin.confirmed == "in_place"]
    if not names:
        return ""
    verb = "was" if len(names) == 1 else "were"
    return f"{_listed(names[:_NAMED])} {verb} shown inside the script only, not by replay alone."


def _shapes(comparison: Comparison) -> str:
    """Which of the recorded input shapes are affected: a count, and no rule."""
    rows = comparison.shapes
    touched = sum(any(name in row.verdicts for name in DIFFERING) for row in rows)
    if len(rows) < 2 or not touched:
        return ""
    if touched == len(rows):
        return f"All {len(rows)} input shapes that ran are affected."
    return f"{touched} of {len(rows)} input shapes that ran are affected."


def _truth(origins: Sequence[Origin]) -> str:
    known = [origin for origin in origins if origin.oracle is not None]
    if not known or len(known) < len(origins):
        return ""
    baseline = max(o.oracle.baseline_max_ulp for o in known if o.oracle)
    candidate = max(o.oracle.candidate_max_ulp for o in known if o.oracle)
    call = "the call that was replayed" if len(known) == 1 else "the calls that were replayed"
    return (
        f"In {call}, the baseline is up to {_ulp(baseline)} and the candidate up to "
        f"{_ulp(candidate)} from the float64 value."
    )


def _ulp(value: float) -> str:
    text = f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
    return f"{text} ULP"


def _enough(comparison: Comparison, sufficiency: Experiment | None) -> str:
    if sufficiency is None:
        return ""
    them = "it" if len({o.op for o in comparison.origins}) == 1 else "them"
    steps = sum(step.verdict in DIFFERING for step in comparison.steps)
    if sufficiency.outcome is not Outcome.SUPPORTED:
        return f"Whether that is the whole cause is not known: {sufficiency.evidence}."
    if "more steps were not tried" in sufficiency.evidence:
        return f"Substituting {them}: {sufficiency.evidence}."
    every = "the differing step" if steps == 1 else f"all {steps} differing steps"
    return f"Substituting {them} makes {every} identical."


def _listed(names: Sequence[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
