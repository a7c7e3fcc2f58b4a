"""A compact summary for an issue tracker: GitHub's Markdown, safe against names as markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from forkpoint.model import Comparison, Experiment, Sweep
from forkpoint.report import diagnosis, words
from forkpoint.report.files import COLUMNS, artifact_rows
from forkpoint.report.forks import fork_groups, fork_name, row_fork, row_note
from forkpoint.report.path import TITLE, path_stages, stage_text
from forkpoint.report.summary import headline, sentences, verdict_counts
from forkpoint.report.watched import WATCHED_COLUMNS, watched_rows

MAX_ROWS = 20
MAX_NAME = 100
MAX_TEXT = 3000

_ACTIVE = re.compile(r"([\\`*_{}\[\]<>#!|~&$])")
# these act on the rendered text: people are notified, issues and pages linked, pictures drawn
_LINKING = re.compile(r"(@|#|://|www\.|\bGH-|(?<!:):(?=[\w+-]+:))", re.IGNORECASE)
_CODE = re.compile(r"`(\w(?:[\w.=:, -]*\w)?)`")  # nothing that could end the span, notify or link


def to_markdown(comparison: Comparison) -> str:
    """Headline, findings and tables; whole sections are left out where they are empty."""
    parts = [
        f"### forkpoint: {prose(headline(comparison))}",
        "\n".join(f"- {prose(sentence)}" for sentence in sentences(comparison)),
        _path(comparison),
        *_diagnosis(comparison),
        *_tables(comparison),
    ]
    if comparison.reproduce:
        parts.append(f"To see this again:\n\n{_code_block(words.plain(comparison.reproduce))}")
    return "\n\n".join(part for part in parts if part) + "\n"


def _path(comparison: Comparison) -> str:
    stages = path_stages(comparison)
    lines = [f"- {s.mark} **{s.name}**: {escape(stage_text(s))}" for s in stages]
    return "\n".join((f"**{TITLE}**", "", *lines)) if lines else ""


def _diagnosis(comparison: Comparison) -> Iterator[str]:
    for origin in comparison.origins:
        facts = diagnosis.origin_facts(origin, comparison)
        yield "\n".join(
            (
                f"**Origin: {escape(diagnosis.origin_title(origin))}**",
                "",
                *(f"- {label}: {escape(words.shorten(text, MAX_TEXT))}" for label, text in facts),
            )
        )
        for sweep in origin.sweeps:
            yield _sweep(sweep, comparison)
        rows = diagnosis.kernel_rows(origin.kernels, comparison)
        yield markdown_table("Kernels", diagnosis.KERNEL_COLUMNS, rows)
        commands = diagnosis.next_commands(origin, comparison)
        if commands:
            shown = _code_block("\n".join(commands))
            yield f"What to try next, in the results folder:\n\n{shown}"
    lines = [_experiment(one) for one in comparison.experiments]
    yield "\n".join(("**Experiments**", "", *lines)) if lines else ""


def _sweep(sweep: Sweep, comparison: Comparison) -> str:
    said = f"{escape(sweep.dimension)}; {escape(diagnosis.sweep_sentence(sweep))}"
    if diagnosis.is_uniform(sweep):
        return f"**Sweep: {said}**"
    columns = diagnosis.sweep_columns(sweep, comparison)
    return markdown_table(f"Sweep: {said}", columns, diagnosis.sweep_rows(sweep))


def _experiment(one: Experiment) -> str:
    facts = diagnosis.experiment_facts(one)
    said = "; ".join(f"{label}: {escape(words.shorten(text, MAX_TEXT))}" for label, text in facts)
    return f"1. {diagnosis.outcome(one)}: **{escape(one.name)}**: {said}"


def _tables(comparison: Comparison) -> Iterator[str]:
    yield markdown_table(
        "First forks, among the events recorded",
        ("steps", "operator", "module", "max abs", "max ULP", "its inputs"),
        [
            (
                words.ranges(group.steps, limit=6),
                words.operator(group.fork.op) if group.fork.op else "not recorded",
                words.module(group.fork.module, group.root),
                words.number(group.max_abs),
                words.ulp(group.max_ulp),
                group.note or "all read and equal",
            )
            for group in fork_groups(comparison.steps)
        ],
    )
    yield markdown_table(
        "Steps by input shape",
        ("input shape", "steps", "verdict", "first fork", "max abs", "max ULP"),
        list(_shape_rows(comparison)),
    )
    yield markdown_table(
        "What differs between the environments",
        ("", comparison.baseline.name, comparison.candidate.name),
        [
            (
                entry.key,
                words.contrast(entry.baseline, entry.candidate, MAX_NAME),
                words.contrast(entry.candidate, entry.baseline, MAX_NAME),
            )
            for entry in comparison.environment
        ],
    )
    yield markdown_table("Watched functions", WATCHED_COLUMNS, watched_rows(comparison.watched))
    yield markdown_table("Files that differ", COLUMNS, artifact_rows(comparison.artifacts))
    yield markdown_table(
        "Ran, and could not be seen",
        ("environment", "what", "detail", "times"),
        [(u.side, u.kind, u.detail, words.count(u.count)) for u in comparison.coverage.uncovered],
    )


def _shape_rows(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    by_index = {step.index: step for step in comparison.steps}
    for row in sorted(comparison.shapes, key=lambda row: (row.module, row.shapes)):
        fork = row_fork(row, by_index)
        yield (
            words.shapes(row.shapes),
            words.count(len(row.steps)),
            verdict_counts(row.verdicts),
            fork_name(fork) if fork else row_note(row, by_index),
            "" if row.max_abs is None else words.number(row.max_abs),
            "" if row.max_ulp is None else words.ulp(row.max_ulp),
        )


def markdown_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A titled table; an empty text for no rows."""
    if not rows:
        return ""
    lines = [
        f"**{title}**",
        "",
        _row(columns),
        _row(["---"] * len(columns), literal=False),
        *(_row(row) for row in rows[:MAX_ROWS]),
    ]
    if len(rows) > MAX_ROWS:
        lines += ["", f"… {len(rows) - MAX_ROWS:,} more rows; `--format json` has all"]
    return "\n".join(lines)


def _row(cells: Iterable[str], *, literal: bool = True) -> str:
    spelled = (escape(words.shorten(cell, MAX_NAME)) if literal else cell for cell in cells)
    return f"| {' | '.join(spelled)} |"


def escape(text: str) -> str:
    """Backslashes before whatever Markdown acts on; mentions and bare URLs stay plain text."""
    return _LINKING.sub(r"\1<!-- -->", _ACTIVE.sub(r"\\\1", words.plain(text)))


def prose(text: str) -> str:
    """A sentence of forkpoint's own: what it put between backticks stays code."""
    parts = _CODE.split(text)  # plain text and the content of code by turns
    return "".join(f"`{part}`" if at % 2 else escape(part) for at, part in enumerate(parts))


def _code_block(text: str) -> str:
    """A fenced block whose fence is longer than any run of backticks in the text."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sh\n{text}\n{fence}"
