"""A history and a bisection as text, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from forkpoint.bisect import Bisection, Change, History, Row, RowChange
from forkpoint.report.words import counted, number, operator, plain, ulp

MAX_ROWS = 40


def to_json(found: History | Bisection) -> bytes:
    """The result as indented JSON, in the terms of its schema."""
    return msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n"


def from_json(data: bytes) -> History:
    """Read a history back; raises `msgspec.DecodeError` where it is none."""
    return msgspec.json.decode(data, type=History)


def summary(change: Change) -> str:
    """One sentence on a change: ``2.9.1 → 2.10.0: 24 of 2,100 rows changed``."""
    head = f"{change.before} → {change.after}"
    if not change.rows:
        return f"{head}: nothing changed in {counted(change.compared, 'row')}"
    return f"{head}: {len(change.rows):,} of {counted(change.compared, 'row')} changed"


def by_op(history: History, change: Change) -> Iterator[tuple[str, str, list[RowChange]]]:
    """The rows of a change together by op and dtype; a script's rows stand alone."""
    rows = {(row.name, row.axis): row for row in history.rows}
    groups: dict[tuple[str, str], list[RowChange]] = {}
    for one in change.rows:
        row = rows[one.name, one.axis]
        groups.setdefault((row.op or row.name, row.dtype), []).append(one)
    for (op, dtype), many in groups.items():
        yield op, dtype, many


def render(history: History, console: Console) -> None:
    """The history on a terminal: what was measured, then what changed, by op."""
    for line in introduction(history):
        console.print(Text(line), soft_wrap=True)
    for change in history.changes:
        console.print(Text(summary(change), style="bold" if change.rows else ""))
        if change.rows:
            console.print(_table(history, change))


def introduction(history: History) -> Iterator[str]:
    """What was measured, on which machine, and what could not be."""
    measured = [one for one in history.releases if one.state == "measured"]
    inputs = sum(row.inputs for row in history.rows)
    yield (
        f"{history.subject}: {counted(len(measured), 'release')} of {history.package}, "
        f"{counted(len(history.rows), 'row')}, {counted(inputs, 'input')} in each release"
    )
    yield f"on {plain(history.machine.get('processor', 'an unknown processor'))}"
    for one in history.releases:
        if one.state == "skipped":
            yield f"{one.version} was skipped: {plain(one.reason or '')}"
    loose = sum(1 for row in history.rows if row.unrepeatable)
    if loose:
        yield f"{counted(loose, 'row')} not repeatable in two processes of one release: see JSON"
    yield from history.notes


def to_markdown(history: History) -> str:
    """The history as Markdown."""
    lines = [f"# {history.package}: {history.subject}", ""]
    lines += [f"{line}  " for line in introduction(history)]
    for change in history.changes:
        lines += ["", f"## {summary(change)}", ""]
        if change.appeared:
            lines += [f"New here: {counted(len(change.appeared), 'row')}.", ""]
        if change.vanished:
            lines += [f"No longer there: {counted(len(change.vanished), 'row')}.", ""]
        if not change.rows:
            continue
        lines += ["| " + " | ".join(HEAD) + " |", "|" + " --- |" * len(HEAD)]
        lines += ["| " + " | ".join(cells) + " |" for cells in _cells(history, change)]
    return "\n".join(lines) + "\n"


def render_bisection(found: Bisection, console: Console) -> None:
    """A bisection on a terminal."""
    for step in found.steps:
        known = " (known)" if step.cached else ""
        reason = f": {plain(step.reason)}" if step.reason else ""
        console.print(Text(f"  {found.package} {step.version}: {step.state}{known}{reason}"))
    head = f"{found.subject} changes in {found.package} {found.first_bad}"
    if found.skipped:
        head += f" or in {', '.join(found.skipped)}, which could not be looked at"
    console.print(Text(f"{head} (last good: {found.last_good})", style="bold"), soft_wrap=True)
    console.print(Text(f"{counted(found.builds, 'environment')} built, {found.seconds:.0f} s"))
    for row in found.changed[:MAX_ROWS]:
        console.print(Text(f"  {plain(row.name)}: {_size([row])}"), soft_wrap=True)
    console.print(Text(found.assumption, style="dim"), soft_wrap=True)


HEAD = ("op", "dtype", "rows", "inputs", "largest difference", "nearer to float64")


def _table(history: History, change: Change) -> Table:
    table = Table(*HEAD, box=box.SIMPLE_HEAD)
    cells = list(_cells(history, change))
    for line in cells[:MAX_ROWS]:
        table.add_row(*(Text(plain(cell)) for cell in line))
    if len(cells) > MAX_ROWS:
        table.add_row(f"{len(cells) - MAX_ROWS} more: see --format json", *[""] * (len(HEAD) - 1))
    return table


def _cells(history: History, change: Change) -> Iterator[tuple[str, ...]]:
    totals = _totals(history.rows)
    for op, dtype, many in by_op(history, change):
        tried, differ = sum(one.inputs for one in many), sum(one.differing for one in many)
        back = {one.returns_to for one in many if one.returns_to}
        size = _size(many) + (f"; bits of {', '.join(sorted(back))} again" if back else "")
        share = f"{len(many)} of {totals.get((op, dtype), len(many))}"
        yield operator(op), dtype, share, f"{differ} of {tried}", size, _nearer(many)


def _totals(rows: tuple[Row, ...]) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for row in rows:
        key = row.op or row.name, row.dtype
        found[key] = found.get(key, 0) + 1
    return found


def _size(many: list[RowChange]) -> str:
    sizes = [one.max_ulp for one in many if one.max_ulp is not None]
    largest = [one.max_abs for one in many if one.max_abs is not None]
    if not largest:
        return "not measured"
    distance = f"{ulp(max(sizes))} ULP, " if sizes else ""
    return f"{distance}max abs {number(max(largest))}"


def _nearer(many: list[RowChange]) -> str:
    counts = {
        side: sum(1 for one in many if one.nearer == side)
        for side in ("before", "after", "neither")
    }
    known = [f"{side} {count}" for side, count in counts.items() if count]
    return ", ".join(known) or "not measured"
