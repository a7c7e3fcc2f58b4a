"""Whether each environment gives its own bits again, in a fresh process."""

from __future__ import annotations

from contextlib import ExitStack

from forkpoint.compare import equal_steps, unrepeatable_steps
from forkpoint.diagnose.bench import Case
from forkpoint.diagnose.experiments.findings import Findings, ask, evidence, pairs, short
from forkpoint.model import Experiment, Outcome
from forkpoint.store import Recording

_TIMES = 10


def repeatability(case: Case) -> Findings:
    """Compare both passes of each environment, and run each origin's own call several times."""
    told, sound = [], True
    for bench, earlier, later in zip(case.benches, case.first, case.recordings, strict=True):
        with ExitStack() as stack:
            one, two = (stack.enter_context(Recording.open(path)) for path in (earlier, later))
            doubtful = unrepeatable_steps(one, two)
            again = equal_steps(one, two, (step.index for step in case.comparison.steps))
        sound = sound and not doubtful
        told.append(
            f"{bench.name}: {len(again)} steps gave the same bits in two processes"
            + (f", {len(doubtful)} did not" if doubtful else "")
        )
    calls, steady = _alone(case)
    outcome = Outcome.SUPPORTED if sound and steady else Outcome.REFUTED
    experiment = Experiment(
        name="repeatability",
        hypothesis="each environment gives its own bits again",
        did="ran the script twice in each environment, in processes of their own, and the "
        f"origins' own calls {_TIMES} times each",
        outcome=outcome,
        evidence="; ".join((*told, *([calls] if calls else []))),
    )
    return Findings(experiment=experiment)


def _alone(case: Case) -> tuple[str, bool]:
    """Whether the origins' own calls repeat, each side with its own capsule."""
    looked = pairs(case)
    if not looked:
        return "", True
    asked = [(pair, pair.call(str(number), repeat=_TIMES)) for number, _, pair in looked]
    answers = ask(case.benches, asked, purpose="repeating the origins")
    steady: dict[str, bool] = {}
    for number, origin, _ in looked:
        same = all(side.repeatable for side in answers[str(number)])
        steady[short(origin)] = steady.get(short(origin), True) and same
    told = [f"{name}: {'repeats' if same else 'does not repeat'}" for name, same in steady.items()]
    return evidence(case, told, nothing=""), all(steady.values())
