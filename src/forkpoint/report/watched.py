"""What is said of watched functions: sentences, and the rows of their table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from forkpoint.model import WatchedCall, WatchedValue
from forkpoint.report.words import LONG_NAME, counted, difference, shape, shorten

_ARGUMENTS = {
    True: "its arguments are equal",
    False: "its arguments already differ",
    None: "its arguments were not compared",
}


def watched_sentences(calls: Sequence[WatchedCall]) -> Iterator[str]:
    """The calls, counted, and the first whose results differ."""
    if not calls:
        return
    many = f"{counted(len(calls), 'call')} of watched functions"
    unlike = [call for call in calls if call.results_equal is False]
    alone = sum(call.side != "both" for call in calls)
    unread = sum(call.side == "both" and call.results_equal is None for call in calls)
    if unlike:
        first = unlike[0]
        name = shorten(first.function, LONG_NAME)
        yield (
            f"Of {many}, {len(unlike):,} gave other results, first {name} "
            f"(call {first.call}): {_ARGUMENTS[first.arguments_equal]}."
        )
    elif not alone and not unread:
        yield f"Results are equal in {many}."
    if alone:
        yield f"{counted(alone, 'call')} of watched functions happened on one side only."
    if unread:
        yield f"Of {many}, {unread:,} gave nothing that can be compared."


def watched_rows(calls: Iterable[WatchedCall]) -> list[tuple[str, ...]]:
    """Function, value, shape and difference: a row for each value that differs, else for a call."""
    rows: list[tuple[str, ...]] = []
    for call in calls:
        name = f"{call.function} (call {call.call})"
        unlike = [value for value in call.values if not value.equal]
        rows += [(name, _value(v), shape(v.shape), difference(v.metrics)) for v in unlike]
        if unlike and call.results_equal:
            rows.append((name, "result", "", "equal"))
        elif not unlike:
            rows.append((name, "", "", _in_words(call)))
    return rows


def _value(value: WatchedValue) -> str:
    """``argument hidden``; a lone result has no name of its own."""
    return value.role if value.name == value.role else f"{value.role} {value.name}"


def _in_words(call: WatchedCall) -> str:
    if call.side != "both":
        return f"only in the {call.side}"
    if call.results_equal is None:
        return "nothing to compare"
    if not call.results_equal:
        return "plain values differ"
    return "equal" if call.arguments_equal else "result equal, other plain arguments"
