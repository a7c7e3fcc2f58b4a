"""A history and a bisection as text, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from forkpoint.bisect import Bisection, Change, Diagnosis, History, Row, RowChange
from forkpoint.model import Origin
from forkpoint.report.json import encoded_json
from forkpoint.report.words import counted, number, operator, plain, ulp

MAX_ROWS = 40

_VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX", "sve": "SVE", "asimd": "NEON"}
"""What kernels are chosen by, the widest first."""

_MATRIX = {"amx_tile": "AMX"}
"""Units for products of matrices, which some kernels use beside the vectors."""


def to_json(found: History | Bisection) -> bytes:
    """The result as indented JSON, in the terms of its schema."""
    return msgspec.json.format(encoded_json(found), indent=1) + b"\n"


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
        for table in tables(history, change):
            console.print(_table(table))
        for line in reasons(history, change):
            console.print(Text(f"  {line}"), soft_wrap=True)


def introduction(history: History) -> Iterator[str]:
    """What was measured, on which machine, and what could not be."""
    measured = [one for one in history.releases if one.state == "measured"]
    inputs = sum(row.inputs for row in history.rows)
    yield (
        f"{history.subject}: {counted(len(measured), 'release')} of {history.package}, "
        f"{counted(len(history.rows), 'row')}, {counted(inputs, 'input')} in each release"
    )
    yield f"on {plain(machine_words(history.machine))}"
    for one in history.releases:
        if one.state == "skipped":
            yield f"{one.version} was skipped: {plain(one.reason or '')}"
            continue
        for axis, why in one.failures.items():
            yield f"{one.version} at {axis} could not run: {plain(why)}"
    loose = sum(1 for row in history.rows if row.unrepeatable)
    if loose:
        yield (
            f"{counted(loose, 'row')} not repeatable in two processes of one release, so not "
            "compared between releases: see JSON"
        )
    yield from history.notes


def machine_words(machine: Mapping[str, str]) -> str:
    """A machine in the words that tell one from another that gives other bits.

    Processors of one name differ in their model and in the vectors that kernels are chosen by.
    """
    family, model = [*machine.get("family", "").split(), "", ""][:2]
    known = [f"family {family}"] if family else []
    known += [f"model {model}"] if model else []
    features = machine.get("features", "").split()
    known += [name for flag, name in _VECTORS.items() if flag in features][:1]
    known += [name for flag, name in _MATRIX.items() if flag in features]
    words = machine.get("processor") or "an unknown processor"
    if known:
        words += f" ({', '.join(known)})"
    if machine.get("processors", "").isdigit():
        words += f", {counted(int(machine['processors']), 'processor')}"
    return f"{words}, {machine['libc']}" if machine.get("libc") else words


def to_markdown(history: History) -> str:
    """The history as Markdown."""
    lines = [f"# {history.package}: {history.subject}", ""]
    lines += [f"{line}  " for line in introduction(history)]
    for change in history.changes:
        lines += [*([""] if lines[-1] else []), f"## {summary(change)}", ""]
        if change.appeared:
            lines += [f"New here: {counted(len(change.appeared), 'row')}.", ""]
        if change.vanished:
            lines += [f"No longer there: {counted(len(change.vanished), 'row')}.", ""]
        for table in tables(history, change):
            lines += ["| " + " | ".join(table.head) + " |", "|" + " --- |" * len(table.head)]
            lines += ["| " + " | ".join(cells) + " |" for cells in table.cells] + [""]
        lines += [f"- {line}" for line in reasons(history, change)]
    return "\n".join(lines).rstrip() + "\n"


def render_bisection(found: Bisection, console: Console) -> None:
    """A bisection on a terminal."""
    for line in _looked_at(found):
        console.print(Text(f"  {line}"), soft_wrap=True)
    console.print(Text(_verdict(found), style="bold"), soft_wrap=True)
    console.print(Text(_effort(found)))
    for line in _changed(found):
        console.print(Text(f"  {line}"), soft_wrap=True)
    for line in (*found.notes, found.assumption):
        console.print(Text(line, style="dim"), soft_wrap=True)


def bisection_to_markdown(found: Bisection) -> str:
    """A bisection as Markdown."""
    lines = [f"# {_verdict(found)}", "", _effort(found), ""]
    lines += [*(f"- {line}" for line in _changed(found)), "", "## Looked at", ""]
    lines += [*(f"- {line}" for line in _looked_at(found)), ""]
    lines += [f"{line}  " for line in (*found.notes, found.assumption)]
    return "\n".join(lines).rstrip() + "\n"


def _looked_at(found: Bisection) -> Iterator[str]:
    for step in found.steps:
        reason = f": {plain(step.reason)}" if step.reason else ""
        yield f"{found.package} {step.version}: {step.state}{_SOURCES[step.source]}{reason}"


def _verdict(found: Bisection) -> str:
    head = f"{found.subject} changes in {found.package} {found.first_bad}"
    if found.skipped:
        head += f" or in {', '.join(found.skipped)}, which could not be looked at"
    return f"{head} (last good: {found.last_good})"


def _effort(found: Bisection) -> str:
    return f"{counted(found.builds, 'environment')} built, {found.seconds:.0f} s"


_SOURCES = {"run": "", "known": " (known)", "recorded": " (recorded in the capsule)"}


def _changed(found: Bisection) -> Iterator[str]:
    """What changed, by itself first; what passes it on in a script is counted."""
    own = [row for row in found.changed if row.own]
    groups: dict[str, list[RowChange]] = {}
    for row in own:
        groups.setdefault(_group(row), []).append(row)
    for name, many in list(groups.items())[:MAX_ROWS]:
        calls, tried = sum(row.own or 0 for row in many), sum(row.inputs for row in many)
        share = f" in {calls} of {counted(tried, 'call')}" if tried > 1 else ""
        size = f": {_size(many)}" if any(row.max_abs is not None for row in many) else ""
        yield f"{plain(name)} differs by itself{share}{size}"
    if len(groups) > MAX_ROWS:
        yield f"{len(groups) - MAX_ROWS} more: see --format json"
    rest = [row for row in found.changed if not row.own]
    if rest and own:
        yield f"{counted(len(rest), 'row')} of modules and ops pass it on"
    for row in [] if own else rest[:MAX_ROWS]:
        yield f"{plain(row.name)}: other bits"
    yield from other_ops(found.appeared, found.vanished, found.first_bad)
    for origin in dict.fromkeys(_origin(one) for own in found.diagnoses for one in own.origins):
        op, dtype, size, far, nearer = origin
        yield f"{op} ({dtype}): {size}; {far} ULP from float64, nearer: {nearer}"
    yield from diagnosed(found.diagnoses)


def _group(row: RowChange) -> str:
    """The op and dtype of an op's signature; the name of anything else."""
    op, bracket, arguments = row.name.partition("(")
    dtype, shape, _ = arguments.partition("[")
    return f"{operator(op)} ({dtype})" if bracket and shape else row.name


@dataclass(frozen=True, slots=True)
class Cells:
    """One table: what it shows, its head, and its lines of text."""

    title: str
    head: tuple[str, ...]
    cells: list[tuple[str, ...]]


HEAD = ("op", "dtype", "rows", "inputs", "largest difference", "nearer to float64")
OWN_HEAD = ("differs by itself", "dtype", "signatures", "calls")
ORIGIN_HEAD = ("origin", "dtype", "largest difference", "ULP from float64", "nearer")


def tables(history: History, change: Change) -> Iterator[Cells]:
    """What changed, as tables: of calls, ops with sizes; of a script, the ops behind it."""
    if not change.rows:
        return
    if not is_script(history):
        yield Cells("Op calls with other bits", HEAD, list(_cells(history, change)))
        return
    own = list(_own(history, change))
    if own:
        yield Cells("Ops with other bits from equal inputs", OWN_HEAD, own)
    origins = [_origin(one) for found in change.diagnoses for one in found.origins]
    if origins:
        yield Cells(
            "Origins, by diagnosis", ORIGIN_HEAD, list(dict.fromkeys(origins))
        )  # once for axis values that agree


def reasons(history: History, change: Change) -> Iterator[str]:
    """What is to be said of a change of a script beside the tables."""
    if is_script(history):
        yield from other_ops(change.appeared, change.vanished, change.after)
    if change.rows and is_script(history):
        passed = sum(1 for one in change.rows if not one.own)
        if passed < len(change.rows):
            yield f"{counted(passed, 'row')} of modules and ops pass it on"
        elif not change.diagnoses:
            yield "no op call with equal inputs is known to differ: --diagnose searches for one"
    yield from diagnosed(change.diagnoses)


def other_ops(appeared: Sequence[str], vanished: Sequence[str], release: str) -> Iterator[str]:
    """Which op calls a script makes in one of two releases only: other software, not kernels.

    Rows of modules are left out, and ops that are on both sides: they have other arguments.
    """
    new, old = ({_op(name) for name in names} - {""} for names in (appeared, vanished))
    for ops, words in ((new - old, "new calls of"), (old - new, "no longer some calls of")):
        if ops:
            yield f"in {release} the script makes {words} {', '.join(sorted(ops))}"


def _op(name: str) -> str:
    """The op of an op call's row; nothing for a module's."""
    op, bracket, _ = name.partition("(")
    return operator(op) if bracket and " " not in op else ""


def diagnosed(diagnoses: Sequence[Diagnosis]) -> Iterator[str]:
    """The sentences of diagnoses, once for axis values that agree, and where capsules are."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for one in diagnoses:
        failed = (f"the diagnosis failed: {one.failure}",) if one.failure else ()
        alike.setdefault((*one.explanation, *failed), []).append(one.axis)
    for lines, axes in alike.items():
        at = f"at {' and '.join(axes)}: " if any(axes) and lines else ""
        yield from (plain(f"{at}{line}") for line in lines)
    for one in diagnoses:
        if one.folder:
            where = f" at {one.axis}" if one.axis else ""
            yield f"comparison and capsules{where} are in {one.folder}"


def is_script(history: History) -> bool:
    """Whether the rows are modules and ops of a script, and not calls of their own."""
    return any(not row.op for row in history.rows)


def _own(history: History, change: Change) -> Iterator[tuple[str, ...]]:
    for op, dtype, many in by_op(history, change):
        own = [one for one in many if one.own]
        if own:
            calls, tried = sum(one.own or 0 for one in own), sum(one.inputs for one in own)
            yield operator(op), dtype, str(len(own)), f"{calls} of {tried}"


def _origin(origin: Origin) -> tuple[str, ...]:
    """An origin's size, and both sides' distances from float64, by each row's largest value."""
    far, nearer, size = "not measured", "not measured", "not measured"
    if origin.oracle is not None:
        one = origin.oracle
        before = one.baseline_row_ulp or one.baseline_max_ulp
        after = one.candidate_row_ulp or one.candidate_max_ulp
        far = f"{before:.3g} and {after:.3g}"
        nearer = {"baseline": "before", "candidate": "after"}.get(one.nearer, "neither")
    if origin.metrics is not None:
        distance = "" if origin.metrics.max_ulp is None else f"{ulp(origin.metrics.max_ulp)} ULP, "
        size = f"{distance}max abs {number(origin.metrics.max_abs)}"
    return operator(origin.op), ", ".join(origin.dtypes), size, far, nearer


def _table(found: Cells) -> Table:
    table = Table(*found.head, box=box.SIMPLE_HEAD)
    for line in found.cells[:MAX_ROWS]:
        table.add_row(*(Text(plain(cell)) for cell in line))
    if len(found.cells) > MAX_ROWS:
        more = f"{len(found.cells) - MAX_ROWS} more: see --format json"
        table.add_row(more, *[""] * (len(found.head) - 1))
    return table


def _cells(history: History, change: Change) -> Iterator[tuple[str, ...]]:
    totals = _totals(history.rows)
    for op, dtype, many in by_op(history, change):
        tried, differ = sum(one.inputs for one in many), sum(one.differing for one in many)
        back = {one.returns_to for one in many if one.returns_to}
        since = {one.since for one in many if one.since}
        size = _size(many) + (f"; bits of {', '.join(sorted(back))} again" if back else "")
        size += f"; since {', '.join(sorted(since))}" if since else ""
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
