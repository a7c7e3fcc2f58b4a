"""What is said of watched functions: sentences, and the rows of their table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from forkpoint.model import PlainDifference, WatchedCall, WatchedValue
from forkpoint.report.words import LONG_NAME, VERDICTS, counted, difference, shape, shorten

WATCHED_COLUMNS = ("function", "value", "shape", "difference")

_ARGUMENTS = {
    True: "its arguments are equal",
    False: "its arguments already differ",
    None: "its arguments were not compared",
}


def unlike_calls(calls: Iterable[WatchedCall]) -> list[WatchedCall]:
    """The calls whose results are not the same on both sides."""
    return [call for call in calls if call.results_equal is False]


def uncompared_calls(calls: Sequence[WatchedCall]) -> Iterator[str]:
    """The calls of which nothing can be said: made on one side only, or not read."""
    alone = sum(call.side != "both" for call in calls)
    unread = [call for call in calls if call.side == "both" and call.results_equal is None]
    if alone:
        yield f"{counted(alone, 'call')} of watched functions happened on one side only."
    if unread:
        yield (
            f"Of {counted(len(calls), 'call')} of watched functions, {len(unread):,} gave "
            f"something that could not be compared{_why(unread[0])}."
        )


def watched_sentences(calls: Sequence[WatchedCall]) -> Iterator[str]:
    """The calls, counted, and the first whose results differ."""
    if not calls:
        return
    many = f"{counted(len(calls), 'call')} of watched functions"
    unlike = unlike_calls(calls)
    left_out = list(uncompared_calls(calls))
    if unlike:
        first = unlike[0]
        name = shorten(first.function, LONG_NAME)
        yield (
            f"Of {many}, {len(unlike):,} gave other results, first {name} "
            f"(call {first.call}): {_ARGUMENTS[first.arguments_equal]}."
        )
    elif not left_out:
        yield f"Results are equal in {many}."
    yield from left_out


def watched_rows(calls: Iterable[WatchedCall]) -> list[tuple[str, ...]]:
    """Function, value, shape and difference: a row for each value that differs, else for a call."""
    rows: list[tuple[str, ...]] = []
    for call in calls:
        name = f"{call.function} (call {call.call})"
        unlike = [value for value in call.values if not value.equal]
        found = [(name, _value(v), shape(v.shape), difference(v.metrics)) for v in unlike]
        found += [(name, _plain_value(v), "", _contrast(v)) for v in call.plain]
        found += [
            (name, f"{_role(u.role)} {u.name}", "", f"not read: {u.why}") for u in call.unread
        ]
        if found and call.results_equal:
            found.append((name, "result", "", "equal"))
        rows += found or [(name, "", "", _in_words(call))]
    return rows


def _why(call: WatchedCall) -> str:
    """The first value of a call that could not be read."""
    unread = [one for one in call.unread if one.role == "output"]
    if not unread:
        return ""
    named = f"{unread[0].name}, {unread[0].why}" if unread[0].name else unread[0].why
    return f": {shorten(call.function, LONG_NAME)} (call {call.call}), {shorten(named, LONG_NAME)}"


def _role(role: str) -> str:
    return "argument" if role == "input" else "result"


def _value(value: WatchedValue) -> str:
    """``argument hidden``; a lone result has no name of its own."""
    return value.role if value.name == value.role else f"{value.role} {value.name}"


def _plain_value(value: PlainDifference) -> str:
    role = _role(value.role)
    name = "structure" if value.structure else value.name
    return role if name == role else f"{role} {name}"


def _contrast(value: PlainDifference) -> str:
    return " / ".join(
        "not there" if text is None else text for text in (value.baseline, value.candidate)
    )


def _in_words(call: WatchedCall) -> str:
    if call.side != "both":
        return f"only in the {call.side}"
    if call.results_equal is None:
        return VERDICTS[call.verdict] if call.verdict else "nothing to compare"
    if not call.results_equal:
        return "plain values differ"
    if call.arguments_equal is None:
        return "result equal, arguments not compared"
    return "equal" if call.arguments_equal else "result equal, other plain arguments"
