"""From what differs to a verdict, for one step and for the whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from forkpoint.compare.forks import ForkFinder, Found
from forkpoint.compare.measure import Measured, Measurer
from forkpoint.compare.pairing import Pairing, StepEvents
from forkpoint.compare.premises import Premises
from forkpoint.model import Fork, Step, StepOutput, Tolerance, Verdict
from forkpoint_worker.schema import COMPLETE, KIND_OP, RAISED

SEVERITY = (
    Verdict.IDENTICAL,
    Verdict.WITHIN_TOLERANCE,
    Verdict.NOT_COMPARABLE,
    Verdict.DIVERGENT,
    Verdict.NOT_REPEATABLE,
    Verdict.INCOMPLETE,
)
"""From best to worst. A step that diverges from equal inputs (or from what such a step returned)
is a finding that stands, so it outweighs steps that could not be compared (often because of it);
what puts the runs themselves in doubt outweighs both."""

DIFFERING = frozenset({Verdict.DIVERGENT, Verdict.WITHIN_TOLERANCE})
"""Verdicts of steps whose numbers were compared and are not the same bits."""

_JUDGED = DIFFERING | {Verdict.IDENTICAL}

_TOGETHER = (
    "The difference of its outputs is that of its inputs and of the step together, which a "
    "comparison does not tell apart: it has no fork of its own."
)


def worst(verdicts: Iterable[Verdict]) -> Verdict | None:
    """The worst of some verdicts by `SEVERITY`; None for none."""
    return max(verdicts, key=SEVERITY.index, default=None)


class Judge:
    """Decides on one step at a time, in their order."""

    def __init__(self, pairing: Pairing, tolerance: Tolerance) -> None:
        self.pairing = pairing
        self.premises = Premises(pairing)
        self._measurer = Measurer(pairing, tolerance)
        self._forks = ForkFinder(pairing, self._measurer)

    def steps(self) -> tuple[Step, ...]:
        """The verdict of each step, its fork and its outputs."""
        found: dict[int, Step] = {}
        for step in self.pairing.steps:
            reason = self.premises.reason(step)
            sources = self.premises.sources(step) if reason else ()
            # what came out of a step that could not be compared is no more than given
            chained = bool(sources) and all(
                source in found and found[source].verdict in _JUDGED for source in sources
            )
            if reason and not chained:
                found[step] = self._step(step, Verdict.NOT_COMPARABLE, reason=reason)
            else:
                found[step] = self._ended(step, reason or "")
        return tuple(found.values())

    def _ended(self, step: int, chained: str) -> Step:
        """A step that can be judged; ``chained`` says which inputs differ, where they do."""
        ended = self._not_ended(step)
        if ended:
            return self._step(step, Verdict.INCOMPLETE, reason=ended)
        if chained:
            return self._chained(step, chained)
        if self._unseen(step):
            reason = f"Step {step} returned nothing that could be read, and nothing in it was seen."
            return self._step(step, Verdict.NOT_COMPARABLE, reason=reason)
        if self.identical(step):
            return self._step(step, Verdict.IDENTICAL, outputs=self._equal_outputs(step))
        return self._differing(step)

    def identical(self, step: int) -> bool:
        """Whether the step returned the same bits on both sides (or nothing differs at all)."""
        a, b = self.pairing.a, self.pairing.b
        digests = a.digest(a.roots.get(step)), b.digest(b.roots.get(step))
        if digests == (None, None):  # it returned no tensor: what it did must do
            return step in self.pairing.unchanged or not self.pairing.events(step).differs.any()
        return digests[0] == digests[1]

    def _unseen(self, step: int) -> bool:
        """Whether no module or op of the step has a digest on either side: equal to nothing."""
        views = self.pairing.a, self.pairing.b
        if any(view.digest(view.roots.get(step)) is not None for view in views):
            return False
        done = [(view.columns, view.positions(step)) for view in views]
        return not any(
            (columns.hashed[at] & (columns.kind[at] <= KIND_OP)).any() for columns, at in done
        )

    def _chained(self, step: int, inputs: str) -> Step:
        """A step given what earlier steps returned: its outputs alone are judged.

        What ran inside of it may be other from the first op on, so sequences decide nothing.
        """
        a, b = self.pairing.a, self.pairing.b
        places = a.roots[step], b.roots[step]
        digests = a.digest(places[0]), b.digest(places[1])
        if digests == (None, None):
            reason = f"{inputs} It returned nothing that could be read."
            return self._step(step, Verdict.NOT_COMPARABLE, reason=reason)
        if digests[0] == digests[1]:
            verdict, outputs = Verdict.IDENTICAL, self._equal_outputs(step)
            said = "Its outputs are identical all the same."
        else:
            measured = self._measurer.outputs(*places)
            outputs = tuple(output.output() for output in measured)
            verdict, said = _by_outputs(measured), _TOGETHER
            if verdict is Verdict.DIVERGENT and (why := _why(measured)):
                said += f" {why}"
        found = self._step(step, verdict, outputs=outputs, reason=f"{inputs} {said}")
        return replace(found, chained=True)

    def _differing(self, step: int) -> Step:
        events = self.pairing.events(step)
        found = self._forks.find(step, events)
        fork = found.fork if found else None
        measured = self._measurer.outputs(self.pairing.a.roots[step], self.pairing.b.roots[step])
        outputs = tuple(output.output() for output in measured)
        if _by_outputs(measured) is Verdict.WITHIN_TOLERANCE:
            return self._step(step, Verdict.WITHIN_TOLERANCE, fork=fork, outputs=outputs)
        if _sequence_first(events, found):
            reason = (
                f"Step {step} ran other operators or modules before anything differed: "
                "a change of software, not of arithmetic."
            )
            return self._step(step, Verdict.NOT_COMPARABLE, outputs=outputs, reason=reason)
        return self._step(
            step,
            Verdict.DIVERGENT,
            fork=fork,
            outputs=outputs,
            reason=_why(measured),
        )

    def _step(
        self,
        step: int,
        verdict: Verdict,
        *,
        fork: Fork | None = None,
        outputs: tuple[StepOutput, ...] = (),
        reason: str | None = None,
    ) -> Step:
        return Step(
            index=step,
            module=self.pairing.rows(step)[0].module,
            inputs=self.premises.inputs(step),
            verdict=verdict,
            fork=fork,
            outputs=outputs,
            reason=reason,
        )

    def _not_ended(self, step: int) -> str | None:
        sides = zip(("baseline", "candidate"), (self.pairing.a, self.pairing.b), strict=True)
        for name, view in sides:
            state = view.steps[step].state
            if state == RAISED:
                return f"Step {step} raised an exception in the {name}."
            if state != COMPLETE or step not in view.roots:
                return f"Step {step} did not end in the {name}."
        return None

    def _equal_outputs(self, step: int) -> tuple[StepOutput, ...]:
        view = self.pairing.a
        values = view.root_values.get(int(view.columns.id[view.roots[step]]), ())
        return tuple(
            StepOutput(name=v.name, shape=v.tensor.shape, dtype=v.tensor.dtype, equal=True)
            for v in values
        )


def _by_outputs(measured: tuple[Measured, ...]) -> Verdict:
    """The verdict of outputs that are not all equal; what was not measured counts as divergent."""
    close = bool(measured) and all(output.close for output in measured)
    return Verdict.WITHIN_TOLERANCE if close else Verdict.DIVERGENT


def _sequence_first(events: StepEvents, found: Found | None) -> bool:
    """Whether the sequences part before anything differs, and no op is proven to be the cause."""
    if events.alignment.same or (found is not None and found.proven):
        return False
    differing = events.alignment.pairs[events.differs, 0]
    return not len(differing) or int(differing[0]) >= events.alignment.common


def _why(measured: tuple[Measured, ...]) -> str | None:
    """Why outputs count as divergent where no metrics say so."""
    if not measured:
        return "The step returned no tensor, but what it computed differs."
    said = [output.why for output in measured if output.why]
    if not said:
        return None
    unknown = any(output.close is None for output in measured)
    lead = "The outputs were not measured, so they count as divergent" if unknown else "Outputs"
    return f"{lead}: {'; '.join(said)}."
