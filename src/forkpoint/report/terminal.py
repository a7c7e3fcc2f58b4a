"""The report for a terminal: the verdict in words first, then tables, then what to do next.

Made for 80 columns and for no colour at all: colour only repeats what a word says. Every
text goes in as `rich.text.Text`, never as markup, because names come from foreign scripts.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from forkpoint.model import Comparison, Coverage, ShapeRow, Side, Step, Verdict
from forkpoint.report import words
from forkpoint.report.files import COLUMNS, artifact_rows
from forkpoint.report.forks import ForkGroup, fork_groups, fork_name, row_fork, row_note
from forkpoint.report.summary import headline, sentences, verdict_counts
from forkpoint.report.tables import MAX_NAME, MAX_ROWS, cut, item, plain_table, titled_table
from forkpoint.report.terminal_diagnosis import print_diagnosis, print_path
from forkpoint.report.watched import WATCHED_COLUMNS, watched_rows

MAX_FORKS = 12
MAX_ENVIRONMENT = 40
MAX_VALUE = 120
"""Characters of a fingerprint's entry; of longer ones, what only one side has."""

_STYLES = {
    Verdict.IDENTICAL: "green",
    Verdict.WITHIN_TOLERANCE: "yellow",
    Verdict.DIVERGENT: "red",
    Verdict.NOT_COMPARABLE: "magenta",
    Verdict.NOT_REPEATABLE: "magenta",
    Verdict.INCOMPLETE: "magenta",
}


def render_comparison(comparison: Comparison, console: Console) -> None:
    """Print the whole report on ``console``."""
    _print_headline(comparison, console)
    _print_sides(comparison, console)
    print_path(comparison, console)
    print_diagnosis(comparison, console)
    for table in (
        _shape_table(comparison),
        _fork_table(comparison),
        _environment_table(comparison),
        *_other_tables(comparison),
    ):
        if table is not None:
            console.print(table)
    _print_coverage(comparison.coverage, console)
    _print_next(comparison, console)


def _print_headline(comparison: Comparison, console: Console) -> None:
    verdict, _, rest = headline(comparison).partition(":")
    style = _STYLES[comparison.verdict]
    console.print(Text.assemble((verdict, f"bold {style}"), (f":{rest}", "bold")))
    console.print()
    for sentence in sentences(comparison):
        console.print(item(sentence))


def _print_sides(comparison: Comparison, console: Console) -> None:
    console.print()
    for role, side in (("baseline", comparison.baseline), ("candidate", comparison.candidate)):
        console.print(_side(role, side))
    console.print()


def _side(role: str, side: Side) -> Padding:
    name = words.shorten(side.name, MAX_NAME)
    text = Text.assemble(
        (f"{role:<10}", "dim"), (name, "bold"), f"  {words.shorten(side.spec, 200)}"
    )
    return Padding(text, (0, 0, 0, 2))


def _shape_table(comparison: Comparison) -> Table | None:
    rows = sorted(comparison.shapes, key=lambda row: (row.module, row.shapes))
    if not rows:
        return None
    table = titled_table("Steps by input shape")
    several = len({row.module for row in rows}) > 1
    table.add_column("input")
    table.add_column("steps", justify="right")
    table.add_column("verdict")
    table.add_column("first fork", overflow="fold")
    table.add_column("max abs", justify="right")
    table.add_column("max ULP", justify="right")
    by_index = {step.index: step for step in comparison.steps}
    for row in rows[:MAX_ROWS]:
        table.add_row(*_shape_cells(row, by_index, several=several))
    cut(table, len(rows) - MAX_ROWS, "shape")
    return table


def _shape_cells(
    row: ShapeRow, by_index: dict[int, Step], *, several: bool
) -> tuple[Text | str, ...]:
    shape = words.shapes(row.shapes)
    if several:
        shape = f"{words.shorten(row.module, MAX_NAME)} {shape}"
    worst = next((v for v in reversed(Verdict) if v.value in row.verdicts), Verdict.IDENTICAL)
    fork = row_fork(row, by_index)
    same = set(row.verdicts) == {Verdict.IDENTICAL.value}
    return (
        Text(shape),
        words.count(len(row.steps)),
        Text(verdict_counts(row.verdicts), style=_STYLES[worst]),
        Text(words.shorten(fork_name(fork), 40) if fork else row_note(row, by_index) or "-"),
        "0" if same else _or_dash(row.max_abs),
        "0" if same else ("-" if row.max_ulp is None else words.ulp(row.max_ulp)),
    )


def _fork_table(comparison: Comparison) -> Table | None:
    groups = fork_groups(comparison.steps)
    if not groups:
        return None
    table = titled_table("First forks, among the events recorded")
    table.add_column("steps", overflow="fold", max_width=16)
    table.add_column("operator and module", overflow="fold")
    table.add_column("max abs", justify="right")
    table.add_column("max ULP", justify="right")
    table.add_column("bits equal", justify="right")
    for group in groups[:MAX_FORKS]:
        table.add_row(*_fork_cells(group))
    cut(table, sum(len(group.steps) for group in groups[MAX_FORKS:]), "step")
    return table


def _fork_cells(group: ForkGroup) -> tuple[Text | str, ...]:
    fork, equal = group.fork, group.equal_fraction
    operator = words.operator(fork.op) if fork.op else "not recorded op by op"
    module = words.shorten(words.module(fork.module, group.root), MAX_NAME)
    return (
        Text(words.ranges(group.steps, limit=4)),
        Text(f"{words.shorten(operator, MAX_NAME)}\nin {module}{_note(group)}"),
        _or_dash(group.max_abs),
        "-" if group.max_ulp is None else words.ulp(group.max_ulp),
        "-" if equal is None else words.percent(equal),
    )


def _note(group: ForkGroup) -> str:
    return f"\n({words.shorten(group.note, 3 * MAX_NAME)})" if group.note else ""


def _environment_table(comparison: Comparison) -> Table | None:
    entries = comparison.environment
    if not entries:
        return None
    table = titled_table("What differs between the environments")
    table.add_column("", overflow="fold", ratio=2)
    table.add_column(Text(words.shorten(comparison.baseline.name, 24)), overflow="fold", ratio=3)
    table.add_column(Text(words.shorten(comparison.candidate.name, 24)), overflow="fold", ratio=3)
    for entry in entries[:MAX_ENVIRONMENT]:
        table.add_row(
            Text(words.shorten(entry.key, MAX_NAME)),
            Text(words.contrast(entry.baseline, entry.candidate, MAX_VALUE)),
            Text(words.contrast(entry.candidate, entry.baseline, MAX_VALUE)),
        )
    cut(table, len(entries) - MAX_ENVIRONMENT, "entry", "entries")
    return table


def _other_tables(comparison: Comparison) -> Iterable[Table]:
    if comparison.watched:
        yield plain_table(
            "Watched functions",
            WATCHED_COLUMNS,
            watched_rows(comparison.watched),
        )
    rows = artifact_rows(comparison.artifacts)
    if rows:
        yield plain_table("Files that differ", COLUMNS, rows)


def _print_coverage(coverage: Coverage, console: Console) -> None:
    for note in coverage.notes:
        console.print(item(words.plain(note)))
    if coverage.uncovered:
        console.print(
            plain_table(
                "Ran, and could not be seen",
                ("environment", "what", "detail", "times"),
                [(u.side, u.kind, u.detail, words.count(u.count)) for u in coverage.uncovered],
            )
        )


def _print_next(comparison: Comparison, console: Console) -> None:
    if comparison.reproduce:
        console.print(Text("To see this again:", style="bold"))
        # one unbroken line, so that it can be copied
        console.print(Text(f"  {words.plain(comparison.reproduce)}"), soft_wrap=True)


def _or_dash(value: float | None) -> str:
    return "-" if value is None else words.number(value)
