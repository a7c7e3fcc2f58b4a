"""The verdict in plain words: sentences that say what the experiments showed, and no more."""

from __future__ import annotations

from collections.abc import Sequence

from forkpoint.compare import DIFFERING
from forkpoint.model import Comparison, Experiment, Origin, Outcome

_NAMED = 4  # origins that a sentence names before it counts the rest
_SHORT = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "float64": "fp64"}


def explain(comparison: Comparison) -> tuple[str, ...]:
    """Whole sentences, the cause first; none where nothing was diagnosed."""
    by_name = {experiment.name: experiment for experiment in comparison.experiments}
    if not comparison.origins:
        tried = by_name.get("origins")
        return (f"The cause is not known: {tried.evidence}.",) if tried else ()
    found = (
        _which(comparison),
        _sides(comparison.origins),
        _hidden(comparison),
        _in_place(comparison.origins),
        _shapes(comparison),
        _sizes(comparison.origins),
        _truth(comparison.origins),
        _enough(comparison, by_name.get("sufficiency")),
        _remedies(comparison.origins),
    )
    return tuple(sentence for sentence in found if sentence)


def base_name(op: str) -> str:
    """``native_layer_norm`` of ``aten.native_layer_norm.default``."""
    return op.split(".")[1] if "." in op else op


def short(origin: Origin) -> str:
    """``native_layer_norm (fp32)``."""
    name = base_name(origin.op)
    floats = [_SHORT[dtype] for dtype in origin.dtypes if dtype in _SHORT]
    kinds = floats or list(origin.dtypes)
    return f"`{name}` ({', '.join(kinds)})" if kinds else f"`{name}`"


def _which(comparison: Comparison) -> str:
    origins = comparison.origins
    names = _names(origins)
    verb = "differs by itself" if len(names) == 1 else "differ by themselves"
    complete = _complete(comparison)
    lead = f"{'Only ' if complete else ''}{_listed(names)} {verb}"
    count = comparison.propagated
    if not count:
        return f"{lead}."
    if count == 1:
        which = "the one other" if complete else "one other"
        return f"{lead}; {which} op call that differs passes it on."
    which = f"the other {count:,}" if complete else f"{count:,} other"
    return f"{lead}; {which} differing op calls pass it on."


def _names(origins: Sequence[Origin]) -> list[str]:
    return list(dict.fromkeys(short(origin) for origin in origins))


def _listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    if len(names) > _NAMED:
        return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
    return joined(names)


def _sides(origins: Sequence[Origin]) -> str:
    """Where an op's own result has the same bits, what beside it differs."""
    told = [
        f"Of {short(origin)} only a side output differs"
        + (f" ({origin.output})" if origin.output else "")
        + ", not its result"
        for origin in origins
        if origin.side_only
    ]
    more = f"; and of {len(told) - _NAMED} more" if len(told) > _NAMED else ""
    return f"{'; '.join(told[:_NAMED])}{more}." if told else ""


def _hidden(comparison: Comparison) -> str:
    """What no output shows."""
    shown = {step.index for step in comparison.steps if step.verdict in DIFFERING}
    hidden = [origin for origin in comparison.origins if shown.isdisjoint(origin.steps)]
    if not hidden:
        return ""
    names = _names(hidden)
    if len(hidden) == len(comparison.origins):
        names = ["it" if len(names) == 1 else "them"]
    return f"No output of a step shows {_listed(names)}: in those steps, all outputs are identical."


def _complete(comparison: Comparison) -> bool:
    return any(
        one.name == "sufficiency" and one.outcome is Outcome.SUPPORTED and one.whole
        for one in comparison.experiments
    )


def _in_place(origins: Sequence[Origin]) -> str:
    """What could be shown inside the running script only."""
    names = _names([origin for origin in origins if origin.confirmed == "in_place"])
    if not names:
        return ""
    verb = "was" if len(names) == 1 else "were"
    return f"{_listed(names)} {verb} shown inside the script only, not by replay alone."


def _shapes(comparison: Comparison) -> str:
    """Which of the recorded input shapes are affected: a count, and no rule."""
    touched: dict[tuple[object, ...], bool] = {}
    for row in comparison.shapes:  # several modules may be given the same shapes
        key = row.shapes, row.dtypes
        differs = any(name in row.verdicts for name in DIFFERING)
        touched[key] = touched.get(key, False) or differs
    many = sum(touched.values())
    if len(touched) < 2 or not many:
        return ""
    if many == len(touched):
        return f"All {len(touched)} input shapes that ran are affected."
    return f"{many} of {len(touched)} input shapes that ran are affected."


def _sizes(origins: Sequence[Origin]) -> str:
    """The rule of each origin whose sweep found one that predicts."""
    ruled = [origin for origin in origins if origin.rule]
    if not ruled or len(ruled) > _NAMED:
        return ""
    parts = [f"{short(origin)} differs {origin.rule}" for origin in ruled]
    return f"Replayed alone with random inputs, {joined(parts)}."


def _remedies(origins: Sequence[Origin]) -> str:
    """What makes both sides agree on every origin; nothing where only some are helped."""
    if not origins or not all(origin.remedies for origin in origins):
        return ""
    shared = [r for r in origins[0].remedies if all(r in o.remedies for o in origins)]
    if not shared:
        return ""
    calls = "the replayed call" if len(origins) == 1 else "the replayed calls"
    return f"In {calls}, the sides agree with {joined([f'`{one}`' for one in shared])}."


def _truth(origins: Sequence[Origin]) -> str:
    known = [origin.oracle for origin in origins if origin.oracle is not None]
    if not known or len(known) < len(origins):
        return ""
    baseline = max(one.baseline_row_ulp or 0.0 for one in known)
    candidate = max(one.candidate_row_ulp or 0.0 for one in known)
    if any(one.baseline_row_ulp is None for one in known):
        return ""
    call = "the call that was replayed" if len(known) == 1 else "the calls that were replayed"
    return (
        f"In {call}, the baseline is up to {_ulp(baseline)} and the candidate up to "
        f"{_ulp(candidate)} from the float64 value, by the largest value of each row."
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
    if not sufficiency.whole:
        return f"Substituting {them}: {sufficiency.evidence}."
    if not steps:
        return f"With {them} substituted, no other op call differs."
    every = "the differing step" if steps == 1 else f"all {steps} differing steps"
    return f"Substituting {them} makes {every} identical."


def counted(number: int, noun: str) -> str:
    """``1 step``, ``1,200 steps``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def joined(names: Sequence[str], word: str = "and") -> str:
    """``a, b and c``."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {word} {names[-1]}"
