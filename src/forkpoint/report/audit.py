"""An audit as text, Markdown and JSON: properties first, then ops, then what was not seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec
from rich.console import Console
from rich.text import Text

from forkpoint.audit import SCHEMA, Audit, Break, PropertyResult, SizeClasses
from forkpoint.errors import UsageError
from forkpoint.report import words
from forkpoint.report.json import encoded_json
from forkpoint.report.markdown import escape, markdown_table

QUESTIONS = {
    "batch": "any batch size",
    "position": "any place in the batch",
    "padding": "any padding",
    "threads": "any thread count",
    "run": "another run",
}
PROPERTY_COLUMNS = (
    "property",
    "verdict",
    "equal in",
    "first op that breaks it",
    "largest difference",
)
_VERDICTS = {"holds": "holds", "fails": "fails", "not_tried": "not tried"}
_STYLES = {"holds": "bold green", "fails": "bold red", "not_tried": "bold yellow"}
_PROOFS = {
    "rounding": "a matter of rounding: in float64 it is gone",
    "number": "which is given another number",
    "alone": "also when called alone",
}
_JUDGED = ("equal", "breaks", "carries")
_SIZES = {"batch": "batch sizes", "padding": "lengths"}
_MOST_CLASSES = 3


def audit_to_json(found: Audit) -> bytes:
    """The audit as UTF-8 JSON with a final newline."""
    return msgspec.json.format(encoded_json(found), indent=2) + b"\n"


def audit_from_json(data: bytes) -> Audit:
    """Read what `audit_to_json` wrote; raises `UsageError` for anything else."""
    try:
        return msgspec.json.decode(data, type=Audit)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"This is not a {SCHEMA} result: {error}.",
            hint="Write it again with `forkpoint audit SCRIPT --format json`.",
        ) from error


def audit_headline(found: Audit) -> str:
    """One sentence: which properties fail, and which hold in what was tried."""
    parts = []
    for verdict, text in (("fails", "depends on"), ("holds", "was not seen to depend on")):
        names = [one.property for one in found.properties if one.verdict == verdict]
        if names:
            parts.append(f"{text} {_listed(names)}")
    return "A sample's result " + " and ".join(parts) if parts else "Nothing could be tried"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def property_rows(found: Audit) -> list[tuple[str, ...]]:
    """The properties as cells, in `PROPERTY_COLUMNS`."""
    return [
        (
            f"{one.property} ({QUESTIONS[one.property]})" + (", promised" if one.promised else ""),
            _VERDICTS[one.verdict],
            f"{one.equal} of {words.counted(one.tried, 'variant')} tried" if one.tried else "-",
            one.reason or "" if one.verdict == "not_tried" else _first(one),
            _difference(one),
        )
        for one in found.properties
    ]


def _first(one: PropertyResult) -> str:
    if one.verdict == "holds":
        return "-"
    failed = one.tried - one.equal
    mixes = f"; {_mixes(one, failed)}" if one.mixed else ""
    if one.first is None:
        if one.mixed:
            return _mixes(one, failed)
        return "not seen: no op was shown to give other rows for equal ones"
    where = f"{break_text(one.first)} (in {one.first_in} of {words.counted(failed, 'variant')})"
    return f"{where}, {_PROOFS[one.first.proof]}{mixes}" if one.first.proof else where + mixes


def _mixes(one: PropertyResult, failed: int) -> str:
    """That a row is made of several, which is no matter of rounding."""
    first = f", first in {break_text(one.mixing)}" if one.mixing else ""
    variants = words.counted(failed, "variant")
    said = "the model mixes rows: a row's result is made of other rows, too"
    return f"{said}{first} (in {one.mixed} of {variants})"


def break_text(one: Break) -> str:
    """``aten::addmm in pooler.dense, 8x384 against 1x384``: the shapes that are not the same."""
    place = f"{words.operator(one.op)} in {words.module(one.module, '')}"
    changed = [(a, b) for a, b in zip(one.whole, one.varied, strict=False) if a != b]
    if not changed:
        return f"{place}, {words.shapes(one.whole)}"
    whole, varied = zip(*changed, strict=True)
    return f"{place}, {words.shapes(whole)} against {words.shapes(varied)}"


def size_lines(one: PropertyResult) -> list[str]:
    """At which sizes a property fails; and which of them give a sample the same result."""
    failing = [row for row in one.sizes if row.differing]
    if not failing:
        return []
    holding = words.ranges(row.size for row in one.sizes if not row.differing)
    if all(row.tried == 1 for row in one.sizes):
        sizes = words.ranges(row.size for row in failing)
    else:
        sizes = ", ".join(
            f"{row.size} (in {row.differing} of {words.counted(row.tried, 'step')})"
            for row in failing
        )
    line = f"differs at {_SIZES[one.property]} {sizes}"
    lines = [line + (f", not at {holding}" if holding else "")]
    lines += [_classes_line(one.property, many) for many in one.classes[:_MOST_CLASSES]]
    left = sum(len(many.steps) for many in one.classes[_MOST_CLASSES:])
    return lines + [f"otherwise in {words.counted(left, 'more step')}"] * bool(left)


def _classes_line(name: str, many: SizeClasses) -> str:
    classes = " | ".join(words.ranges(sizes) for sizes in many.classes)
    steps = "step" if len(many.steps) == 1 else "steps"
    return f"equal bits within {_SIZES[name]} {classes} ({steps} {words.ranges(many.steps)})"


def _difference(one: PropertyResult) -> str:
    if one.largest is None:
        return "-"
    ulps = one.largest.max_ulp
    size = f"max abs {words.number(one.largest.max_abs)}"
    return size if ulps is None else f"{size}, {words.ulp(ulps)} ULP"


def sizes_told(found: Audit) -> list[tuple[str, str]]:
    """(property, line) of all `size_lines`."""
    return [(one.property, line) for one in found.properties for line in size_lines(one)]


def op_columns(found: Audit) -> tuple[str, ...]:
    """An op and where it ran, a column for each property tried, and the largest difference."""
    return ("op, in which modules", *_tried(found), "max abs", "max ULP")


def op_cells(found: Audit) -> list[tuple[str, ...]]:
    """For each op, in how many variants its calls break a property."""
    return [
        (
            f"{words.operator(row.op)} in {_modules(row.modules)}",
            *(str(row.trials.get(name, 0)) for name in _tried(found)),
            words.number(row.max_abs),
            words.ulp(row.max_ulp),
        )
        for row in found.ops
    ]


def _modules(paths: Sequence[str]) -> str:
    first = words.module(paths[0], "")
    return f"{first} and {len(paths) - 1} more" if len(paths) > 1 else first


def _tried(found: Audit) -> list[str]:
    return [one.property for one in found.properties if one.tried]


def audit_notes(found: Audit) -> Iterator[str]:
    """What was not seen, as whole sentences."""
    yield from found.notes
    for refusal in found.refusals:
        yield f"Step {refusal.step} ({refusal.module}) was not called again: {refusal.reason}."
    skipped = Counter(
        (trial.property, trial.variant, trial.reason or "")
        for trial in found.trials
        if trial.state == "not_tried"
    )
    for (name, variant, reason), times in skipped.items():
        what = f"{name}, {variant}" if variant else name
        yield f"Not tried in {words.counted(times, 'step')} ({what}): {reason}."
    calls: Counter[str] = Counter()
    for trial in found.trials:
        calls.update({how: n for how, n in trial.calls.items() if how not in _JUDGED})
    total = sum(sum(trial.calls.values()) for trial in found.trials)
    for how, number in calls.most_common():
        yield f"{number:,} of {total:,} op calls were not compared: {how}."


def render_audit(found: Audit, console: Console) -> None:
    """Print the audit."""
    console.print(Text(f"{audit_headline(found)}.", style="bold"), soft_wrap=True)
    console.print(Text(words.plain(f"{found.environment}  {found.spec}"), style="dim"))
    console.print()
    for one, cells in zip(found.properties, property_rows(found), strict=True):
        _render_property(one, cells, console)
    if found.ops:
        console.print()
        console.print(Text("Equal rows in, other rows out, in so many variants", style="bold"))
        for name, *figures in op_cells(found):
            console.print(Text(words.plain(f"  {name}")), soft_wrap=True)
            console.print(Text(f"    {_figures(op_columns(found)[1:], figures)}", style="dim"))
    console.print()
    for note in audit_notes(found):
        console.print(Text(words.plain(note)), soft_wrap=True)


def _render_property(one: PropertyResult, cells: Sequence[str], console: Console) -> None:
    name, verdict, equal = f"  {one.property:<9}", f"{cells[1]:<10}", cells[2]
    equal = f"equal in {equal}" if one.tried else ""
    promised = " (promised)" if one.promised else ""
    console.print(Text.assemble(name, (verdict, _STYLES[one.verdict]), equal, promised))
    for detail in (*cells[3:], *size_lines(one)):
        if detail != "-":
            console.print(Text(words.plain(f"    {detail}"), style="dim"), soft_wrap=True)


def _figures(columns: Sequence[str], figures: Sequence[str]) -> str:
    pairs = zip(columns, figures, strict=True)
    return ", ".join(
        f"{column} {figure}" for column, figure in pairs if figure not in ("0", words.NOT_MEASURED)
    )


def audit_to_markdown(found: Audit) -> str:
    """The same for an issue tracker."""
    parts = (
        f"### forkpoint audit: {escape(audit_headline(found))}",
        escape(f"{found.environment} {found.spec}"),
        markdown_table("Properties", PROPERTY_COLUMNS, property_rows(found)),
        "\n".join(f"- {escape(f'{name}: {line}')}" for name, line in sizes_told(found)),
        markdown_table("Ops that break a property", op_columns(found), op_cells(found)),
        "\n".join(f"- {escape(note)}" for note in audit_notes(found)),
    )
    return "\n\n".join(part for part in parts if part) + "\n"
