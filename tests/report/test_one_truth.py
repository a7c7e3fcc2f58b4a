"""No two statements about one comparison contradict each other, in any format."""

from __future__ import annotations

import io
import json
import re
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from forkpoint.api._refine import refine, unneutral, unrepeatable
from forkpoint.cli._show import STATUS
from forkpoint.compare import DIFFERING, JUDGED, concluded, diff, parse_tolerance
from forkpoint.model import Artifact, Comparison, Neutral, Verdict
from forkpoint.report import headline, render_comparison, sentences, to_json, to_markdown
from forkpoint.report.html import to_html
from forkpoint.report.words import VERDICTS
from forkpoint.store import Recording
from forkpoint_worker import schema
from tests.report import examples
from tests.support.runs import Did, Watched, write

NUDGE = st.sampled_from([0.0, 0.0, 0.0, 1e-7, 0.5])
LEVELS = st.sampled_from([schema.BARE, schema.MODULE, schema.OP])
SELDOM = st.sampled_from([False] * 9 + [True])


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Did, Did]:
    """One step on both sides: alike but for what is drawn."""
    both = Did(
        rows=draw(st.sampled_from([2, 3])),
        level=draw(LEVELS),
        loss=draw(st.sampled_from([None, "0.5"])),
    )
    other = replace(
        both,
        given=draw(st.sampled_from([0.0] * 8 + [1.0])),
        weight=draw(st.sampled_from([0.0] * 8 + [1.0])),
        inner=draw(NUDGE),
        outer=draw(NUDGE),
        other_op=draw(SELDOM),
        level=draw(st.sampled_from([both.level] * 4 + [schema.BARE])),
        state=draw(st.sampled_from([schema.COMPLETE] * 12 + [schema.RAISED])),
        loss=both.loss and draw(st.sampled_from([both.loss] * 4 + ["7.25"])),
        key=draw(st.sampled_from(["logits"] * 8 + ["scores"])),
    )
    unread = {"unread": draw(st.sampled_from([""] * 8 + ["extra"]))}
    unread["unread_input"] = draw(st.sampled_from([""] * 10 + ["stream"]))
    hidden = draw(SELDOM)
    return replace(both, hidden=hidden, **unread), replace(other, hidden=hidden, **unread)


@st.composite
def runs(draw: st.DrawFn) -> dict[str, Any]:
    steps = draw(st.lists(pairs(), min_size=1, max_size=4))
    calls = st.tuples(
        st.just(Watched()),
        st.builds(
            Watched,
            argument=st.sampled_from(["1", "1", "2"]),
            result=NUDGE,
            unread=st.sampled_from(["", "", "", "rest"]),
        ),
    )
    return {
        "steps": steps,
        "watched": draw(st.lists(calls, max_size=2)),
        "cut": draw(st.sampled_from([0, 0, 0, 0, 1])),
        "complete": draw(st.sampled_from([True] * 6 + [False])),
        "neutral": draw(st.sampled_from([True, None, True, False])),
        "files": draw(st.sampled_from([None, None, *Verdict][:6])),
        "doubted": draw(st.sampled_from(["", "", "", "repeat", "neutral"])),
        "tolerance": draw(st.sampled_from(["torch", "bitwise"])),
        "refined": draw(st.booleans()),
    }


def compared(run: dict[str, Any]) -> Comparison:
    """The comparison of two recorded runs, with what is known of them otherwise."""
    one, two = zip(*run["steps"], strict=True)
    calls = tuple(zip(*run["watched"], strict=True)) or ((), ())
    two = two[: len(two) - run["cut"]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        a = write(folder / "a", one, calls[0])
        status = {} if run["complete"] else {"complete": False, "status": "running"}
        b = write(folder / "b", two, calls[1], **status)
        with Recording.open(a) as x, Recording.open(b) as y:
            found = diff(x, y, tolerance=parse_tolerance(run["tolerance"]))
    return _known_otherwise(refine(found, found) if run["refined"] else found, run)


def _known_otherwise(found: Comparison, run: dict[str, Any]) -> Comparison:
    if run["files"] is not None:
        file = Artifact(path="f.npy", kind="npy", verdict=run["files"], summary="said")
        found = replace(found, artifacts=(file,))
    neutral = run["neutral"]
    if run["doubted"] and found.steps:
        steps = {"a": (found.steps[0].index,)}
        found = (unrepeatable if run["doubted"] == "repeat" else unneutral)(found, steps)
        neutral = None if run["doubted"] == "repeat" else False
    return concluded(replace(found, neutral=Neutral(equal=neutral, evidence="checked")))


@given(runs())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_recorded_runs(run: dict[str, Any]) -> None:
    check(compared(run))


EXAMPLES = [name for name in examples.ALL if name not in ("hostile", "empty")]


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("neutral", [True, None, False])
def test_built_ones(name: str, neutral: bool | None) -> None:
    comparison = examples.ALL[name]()
    check(concluded(replace(comparison, neutral=Neutral(equal=neutral, evidence="checked"))))


def check(comparison: Comparison) -> None:
    """All that must hold between the facts of a comparison and what is said of them."""
    _facts(comparison)
    said = (headline(comparison), *sentences(comparison))
    _counts(comparison, " ".join(said))
    _words(comparison, said)
    _formats(comparison)


def _facts(c: Comparison) -> None:
    verdicts = Counter(step.verdict for step in c.steps)
    assert sum((Counter(row.verdicts) for row in c.shapes), Counter()) == verdicts
    assert sorted(i for row in c.shapes for i in row.steps) == [s.index for s in c.steps]
    watched = {call.verdict for call in c.watched}
    files = {one.verdict for one in c.artifacts}
    if c.verdict is Verdict.IDENTICAL:
        assert {*verdicts, *watched, *files} <= {Verdict.IDENTICAL}
    if c.verdict is Verdict.WITHIN_TOLERANCE:
        assert {*verdicts, *watched, *files} <= {Verdict.IDENTICAL, Verdict.WITHIN_TOLERANCE}
    if c.verdict in JUDGED:
        assert c.neutral.equal is not False
        assert not c.unrepeatable
        assert c.baseline.complete
        assert c.candidate.complete
    if c.neutral.equal is False:
        assert not verdicts.keys() & JUDGED
    for step in c.steps:
        assert step.fork is None or step.verdict in DIFFERING
        assert step.inner is None or step.verdict is Verdict.IDENTICAL
        if step.verdict is Verdict.IDENTICAL:
            assert step.outputs or step.same_sequence is not None
            assert all(output.equal for output in step.outputs)
            assert not step.unread
            assert not [value for value in step.values if value.role == "output"]
        if step.verdict is Verdict.WITHIN_TOLERANCE:
            unequal = [output.metrics for output in step.outputs if not output.equal]
            assert unequal
            assert all(m and m.close_count == m.count for m in unequal)
            assert not step.values
        assert (step.verdict in JUDGED) or step.reason or c.verdict not in JUDGED


def _counts(c: Comparison, text: str) -> None:
    differ = [step for step in c.steps if step.verdict in DIFFERING]
    for many, total in re.findall(r"([\d,]+) of ([\d,]+) steps? differ", text):
        assert (_int(many), _int(total)) == (len(differ), len(c.steps))
    for many, total in re.findall(r"In all, ([\d,]+) of ([\d,]+) steps? cannot", text):
        unlike = [step for step in c.steps if step.verdict is Verdict.NOT_COMPARABLE]
        assert (_int(many), _int(total)) == (len(unlike), len(c.steps))
    for many, total in re.findall(r"([\d,]+) of ([\d,]+) calls? of watched functions gave", text):
        unequal = [call for call in c.watched if call.results_equal is False]
        assert (_int(many), _int(total)) == (len(unequal), len(c.watched))
    for many, total, same in re.findall(
        r"input: ([\d,]+) of ([\d,]+) shapes? differ, ([\d,]+) are identical", text
    ):
        differing = [row for row in c.shapes if set(row.verdicts) & DIFFERING]
        alike = [row for row in c.shapes if set(row.verdicts) == {"identical"}]
        chained = {step.index for step in c.steps if step.chained}
        assert _int(many) == sum(chained.isdisjoint(row.steps) for row in differing)
        assert _int(same) == sum(chained.isdisjoint(row.steps) for row in alike)
        assert _int(many) + _int(same) <= _int(total)
    for many in re.findall(r"\(all ([\d,]+) steps\)", text):
        assert _int(many) == len(differ)
    for many, total in re.findall(r"other operators or modules ran in ([\d,]+) of ([\d,]+)", text):
        other = sum(step.same_sequence is False for step in c.steps)
        assert _int(many) == (other or len({entry.step for entry in c.sequences}))
        assert _int(total) == len(c.steps)
    for beyond in re.findall(r", ([\d,]+) of them beyond the tolerance", text):
        assert 0 < _int(beyond) <= sum(step.verdict is Verdict.DIVERGENT for step in c.steps)


def _words(c: Comparison, said: tuple[str, ...]) -> None:
    text = " ".join(said)
    assert len(set(said)) == len(said)
    assert said[0].startswith(f"{VERDICTS[c.verdict]}: ")
    proven = any(step.fork and step.fork.proven for step in c.steps)
    assert ("first operator that differs" in text) <= proven
    if any(step.fork and step.fork.op and not step.fork.proven for step in c.steps):
        assert c.origins or c.verdict not in DIFFERING or "first difference seen" in text.lower()
    if "the outputs are identical" in said[0]:
        assert all(step.verdict is Verdict.IDENTICAL for step in c.steps)
    assert ("The weights differ" in text or "the weights differ" in text) <= (
        c.weights_equal is False
    )
    assert not re.search(r"\b(every|nothing) (event|operator|module)", text)
    assert ("nothing here is reliable" in text) == (c.neutral.equal is False)
    if any(step.unread for step in c.steps):
        assert "could be read" in text
    if "Results are equal in" in text:
        assert all(call.verdict is Verdict.IDENTICAL for call in c.watched)


def _formats(c: Comparison) -> None:
    assert json.loads(to_json(c))["verdict"] == c.verdict.value
    assert STATUS[c.verdict] == {
        Verdict.IDENTICAL: 0,
        Verdict.WITHIN_TOLERANCE: 0,
        Verdict.DIVERGENT: 1,
    }.get(c.verdict, 2)
    stream = io.StringIO()
    render_comparison(c, Console(file=stream, width=400))
    name = VERDICTS[c.verdict]
    assert stream.getvalue().startswith(f"{name}:")
    markdown, page = to_markdown(c), to_html(c)
    assert markdown.startswith(f"### forkpoint: {name}:")
    assert f'<p class="badge {c.verdict.value}">{name}</p>' in page
    proven = any(step.fork and step.fork.proven for step in c.steps)
    for shown in (stream.getvalue(), markdown, page):
        assert ("irst operator that differs" in shown) <= proven
    if c.verdict in (Verdict.NOT_REPEATABLE, Verdict.INCOMPLETE) or c.verdict in JUDGED:
        return
    if c.neutral.equal is False:
        assert "identical" not in "".join(str(row.verdicts) for row in c.shapes)


def _int(text: str) -> int:
    return int(text.replace(",", ""))
