"""What is said of watched functions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from forkpoint.model import WatchedCall, WatchedValue
from forkpoint.report.watched import watched_rows, watched_sentences

VALUE = WatchedValue(role="result", name="result", shape=(2, 3), dtype="float32", equal=False)
EQUAL = WatchedCall(
    function="pooling:mean_pool",
    call=0,
    step=-1,
    inside=False,
    side="both",
    arguments_equal=True,
    results_equal=True,
    values=(replace(VALUE, equal=True),),
)
UNLIKE = replace(EQUAL, call=1, results_equal=False, values=(VALUE,))


def said(*calls: WatchedCall) -> list[str]:
    return list(watched_sentences(calls))


def test_nothing_watched_is_not_mentioned() -> None:
    assert said() == []


def test_equal_results_are_counted() -> None:
    assert said(EQUAL, EQUAL) == ["Results are equal in 2 calls of watched functions."]


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (True, "its arguments are equal"),
        (False, "its arguments already differ"),
        (None, "its arguments were not compared"),
    ],
)
def test_the_first_that_differs_is_named_with_what_it_was_given(
    arguments: bool | None, cause: str
) -> None:
    (sentence,) = said(EQUAL, replace(UNLIKE, arguments_equal=arguments))
    assert sentence == (
        "Of 2 calls of watched functions, 1 gave other results, "
        f"first pooling:mean_pool (call 1): {cause}."
    )


def test_one_side_alone_and_nothing_to_compare_are_never_called_equal() -> None:
    alone = replace(EQUAL, side="baseline", arguments_equal=None, results_equal=None, values=())
    silent = replace(EQUAL, results_equal=None, values=())
    assert said(alone, silent) == [
        "1 call of watched functions happened on one side only.",
        "Of 2 calls of watched functions, 1 gave something that could not be compared.",
    ]


def test_rows_name_the_values_that_differ() -> None:
    plain = replace(EQUAL, results_equal=False, values=())
    alone = replace(EQUAL, side="candidate", results_equal=None, values=())
    name = "pooling:mean_pool (call 0)"
    given = replace(EQUAL, arguments_equal=False)
    argument = replace(VALUE, role="argument", name="x")
    absorbed = replace(EQUAL, arguments_equal=False, values=(argument, EQUAL.values[0]))
    assert watched_rows([absorbed]) == [
        (name, "argument x", "2\N{MULTIPLICATION SIGN}3", "not measured"),
        (name, "result", "", "equal"),
    ]
    assert watched_rows([given]) == [(name, "", "", "result equal, other plain arguments")]
    assert watched_rows([EQUAL, UNLIKE, plain, alone]) == [
        (name, "", "", "equal"),
        ("pooling:mean_pool (call 1)", "result", "2\N{MULTIPLICATION SIGN}3", "not measured"),
        (name, "", "", "plain values differ"),
        (name, "", "", "only in the candidate"),
    ]
