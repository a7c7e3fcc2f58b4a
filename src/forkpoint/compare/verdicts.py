"""From what differs to a verdict, for one step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from forkpoint.compare.forks import ForkFinder
from forkpoint.compare.measure import Measured, Measurer
from forkpoint.compare.others import Others
from forkpoint.compare.pairing import Pairing, StepEvents
from forkpoint.compare.premises import Premise, Premises, contrast, some, unread_sentence
from forkpoint.model import (
    InnerDifference,
    PlainDifference,
    ReasonKind,
    Step,
    StepOutput,
    Tolerance,
    Unread,
    Verdict,
)
from forkpoint_worker.schema import COMPLETE, KIND_OP, MODULE, RAISED, ROLE_OUT

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
"""Verdicts of steps whose outputs were compared and are not the same."""

JUDGED = DIFFERING | {Verdict.IDENTICAL}
"""Verdicts of steps whose outputs were compared."""

_TOGETHER = (
    "The difference of its outputs is that of its inputs and of the step together, which a "
    "comparison does not tell apart: it has no fork of its own."
)


def worst(verdicts: Iterable[Verdict]) -> Verdict | None:
    """The worst of some verdicts by `SEVERITY`; None for none."""
    return max(verdicts, key=SEVERITY.index, default=None)


@dataclass(frozen=True, slots=True)
class Outputs:
    """What an event gave on both sides; ``seen`` says that any of it was read."""

    measured: tuple[Measured, ...]
    values: tuple[PlainDifference, ...] = ()
    unread: tuple[Unread, ...] = ()
    seen: bool = True
    digests_differ: bool = False

    @property
    def verdict(self) -> Verdict:
        """That of what was read; then what was not stands against anything but a difference."""
        found = self._of_what_was_read()
        if found is not Verdict.DIVERGENT and (self.unread or not self.seen):
            return Verdict.NOT_COMPARABLE
        return found

    def _of_what_was_read(self) -> Verdict:
        unequal = [output for output in self.measured if not output.equal]
        if self.values or not all(output.close for output in unequal):
            return Verdict.DIVERGENT
        if unequal:
            return Verdict.WITHIN_TOLERANCE
        # the digests go over more than is listed, in recordings of older versions
        return Verdict.DIVERGENT if self.digests_differ else Verdict.IDENTICAL

    def why(self) -> Premise | None:
        """Why outputs count as divergent where no metrics say so."""
        if self.values:
            structure = any(value.structure for value in self.values)
            kind = ReasonKind.STRUCTURE if structure else ReasonKind.PLAIN_VALUES
            return Premise(kind, f"Outputs differ: {some(map(contrast, self.values))}.")
        said = [output.why for output in self.measured if output.why]
        if said and all(output.close is not None for output in self.measured):
            return Premise(ReasonKind.STRUCTURE, f"Outputs: {'; '.join(said)}.")
        if said:
            lead = "The outputs were not measured, so they count as divergent"
            return Premise(ReasonKind.NOT_MEASURED, f"{lead}: {'; '.join(said)}.")
        if self.digests_differ and all(output.equal for output in self.measured):
            return Premise(
                ReasonKind.PLAIN_VALUES,
                "An output that is no tensor differs, or the order of outputs.",
            )
        return None

    def listed(self) -> tuple[StepOutput, ...]:
        """The tensors, for the result."""
        return tuple(output.output() for output in self.measured)


class Judge:
    """Decides on one step at a time, in their order."""

    def __init__(self, pairing: Pairing, tolerance: Tolerance) -> None:
        self.pairing = pairing
        self.premises = Premises(pairing)
        self._others: Others = self.premises.others
        self._measurer = Measurer(pairing, tolerance)
        self._forks = ForkFinder(pairing, self._measurer, self._others)

    def steps(self) -> tuple[Step, ...]:
        """The verdict of each step, its fork and its outputs."""
        found: dict[int, Step] = {}
        for step in self.pairing.steps:
            premise = self.premises.reason(step)
            sources = self.premises.sources(step) if premise else ()
            # what came out of a step that could not be compared is no more than given
            chained = bool(sources) and all(
                source in found and found[source].verdict in JUDGED for source in sources
            )
            if premise and not chained:
                found[step] = self._step(step, Verdict.NOT_COMPARABLE, reason=premise)
            else:
                found[step] = self._ended(step, premise)
        return tuple(found.values())

    def _ended(self, step: int, chained: Premise | None) -> Step:
        """A step that can be judged; ``chained`` says which inputs differ, where they do."""
        ended = self._not_ended(step)
        if ended:
            return self._step(step, Verdict.INCOMPLETE, reason=ended)
        unread = self.premises.unread(step)
        if unread:
            reason = Premise(ReasonKind.UNREAD, unread_sentence(step, unread))
            return self._step(step, Verdict.NOT_COMPARABLE, reason=reason, unread=unread)
        outputs = self._outputs(step)
        if chained:
            return self._chained(step, chained, outputs)
        found = self._judged(step, outputs)
        return self._with_fork(found) if found.verdict in DIFFERING else found

    def _judged(self, step: int, outputs: Outputs) -> Step:
        """The verdict of a step's outputs, with what stands against it."""
        verdict, reason = outputs.verdict, None
        if verdict is Verdict.DIVERGENT:
            reason = outputs.why()
        elif verdict is Verdict.NOT_COMPARABLE:
            text = (
                unread_sentence(step, outputs.unread)
                if outputs.unread
                else f"Step {step} returned nothing that could be read."
            )
            reason = Premise(ReasonKind.UNREAD, text)
        return self._step(step, verdict, outputs=outputs, reason=reason)

    def _chained(self, step: int, inputs: Premise, outputs: Outputs) -> Step:
        """A step given what earlier steps returned: its outputs alone are judged.

        What ran inside of it may be other from the first op on, so sequences decide nothing.
        """
        found = self._judged(step, outputs)
        if found.verdict is Verdict.NOT_COMPARABLE:
            return replace(found, reason=f"{inputs.text} {found.reason}")
        same = found.verdict is Verdict.IDENTICAL
        said = "Its outputs are identical all the same." if same else _TOGETHER
        more = f" {found.reason}" if found.reason else ""
        return replace(
            found,
            reason=f"{inputs.text} {said}{more}",
            reason_kind=found.reason_kind or inputs.kind,
            chained=True,
        )

    def _with_fork(self, step: Step) -> Step:
        """The step with its fork; where that saw other weights, their digests were not true."""
        fork = self._forks.find(step.index, self.pairing.events(step.index))
        changed = [
            one.name
            for one in (fork.inputs if fork else ())
            if one.source == "weight" and one.state == "differs"
        ]
        if not (fork and changed):
            return replace(step, fork=fork)
        reason = (
            f"The weights of {step.module} differ: what {fork.op} in {fork.module} took as "
            f"{some(changed)} is a weight and is not the same on both sides."
        )
        return replace(
            step,
            verdict=Verdict.NOT_COMPARABLE,
            reason=reason,
            reason_kind=ReasonKind.WEIGHTS,
        )

    def _outputs(self, step: int) -> Outputs:
        """What a step's outermost module gave, measured where it is not the same."""
        a, b = self.pairing.a, self.pairing.b
        places = a.roots[step], b.roots[step]
        digests = a.digest(places[0]), b.digest(places[1])
        values = self._others.differences(places, ROLE_OUT)
        unread = self._others.unread(places, ROLE_OUT)
        read = digests != (None, None) or self._others.known(places, ROLE_OUT)
        equal = digests[0] == digests[1] and not values and self._same_names(step)
        return Outputs(
            self._all_equal(step) if equal else self._measurer.outputs(*places),
            values=values,
            unread=unread,
            seen=read,
            digests_differ=digests[0] != digests[1] and not unread,
        )

    def _same_names(self, step: int) -> bool:
        one, two = (
            [value.name for value in view.root_values.get(int(view.columns.id[at]), ())]
            for view, at in ((view, view.roots[step]) for view in (self.pairing.a, self.pairing.b))
        )
        return one == two

    def _all_equal(self, step: int) -> tuple[Measured, ...]:
        view = self.pairing.a
        values = view.root_values.get(int(view.columns.id[view.roots[step]]), ())
        return tuple(Measured(v.name, v, True, None, True) for v in values)

    def _step(
        self,
        step: int,
        verdict: Verdict,
        *,
        outputs: Outputs | None = None,
        reason: Premise | None = None,
        unread: Sequence[Unread] = (),
    ) -> Step:
        events = self._events(step)
        same = verdict is Verdict.IDENTICAL
        return Step(
            index=step,
            module=self.pairing.rows(step)[0].module,
            inputs=self.premises.inputs(step),
            verdict=verdict,
            fork=None,
            outputs=outputs.listed() if outputs else (),
            reason=reason.text if reason else None,
            reason_kind=reason.kind if reason else None,
            values=(*self.premises.plain(step), *(outputs.values if outputs else ())),
            unread=(*unread, *(outputs.unread if outputs else ())),
            same_sequence=self._same_sequence(step, events),
            inner=self._inner(step, events) if same and events else None,
        )

    def _events(self, step: int) -> StepEvents | None:
        """The aligned events of a step, where they are not all the same."""
        if step in self.pairing.unchanged or self.pairing.level(step) < MODULE:
            return None
        return self.pairing.events(step)

    def _same_sequence(self, step: int, events: StepEvents | None) -> bool | None:
        if self.pairing.level(step) < MODULE:
            return None
        return events is None or events.alignment.same

    def _inner(self, step: int, events: StepEvents) -> InnerDifference | None:
        """What differs inside a step whose outputs are identical."""
        pairs = events.alignment.pairs
        differing = np.flatnonzero(events.differs)
        if not len(differing):
            return None
        view, root = self.pairing.a, self.pairing.rows(step)[0].module
        place = int(events.a[pairs[differing[0], 0]])
        event = view.recording.event(place)
        is_op = event.kind == KIND_OP
        return InnerDifference(
            module=event.module or root if is_op else view.label(place, root),
            op=event.op if is_op else None,
            differing=len(differing),
            compared=len(pairs),
        )

    def _not_ended(self, step: int) -> Premise | None:
        sides = zip(("baseline", "candidate"), (self.pairing.a, self.pairing.b), strict=True)
        for name, view in sides:
            state = view.steps[step].state
            if state == RAISED:
                return Premise(ReasonKind.RAISED, f"Step {step} raised an exception in the {name}.")
            if state != COMPLETE or step not in view.roots:
                return Premise(ReasonKind.NOT_ENDED, f"Step {step} did not end in the {name}.")
        return None
