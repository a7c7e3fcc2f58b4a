from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkpoint.compare import limits_for, parse_tolerance
from forkpoint.errors import UsageError


def test_the_default_is_that_of_assert_close() -> None:
    tolerance = parse_tolerance()
    assert tolerance.name == "torch"
    assert limits_for(tolerance, "logits", "float32") == (1e-5, 1.3e-6)
    assert limits_for(tolerance, "logits", "bfloat16") == (1e-5, 1.6e-2)
    assert limits_for(tolerance, "logits", "int64") is None


def test_bitwise_has_no_limits() -> None:
    assert limits_for(parse_tolerance("bitwise"), "", "float32") is None


def test_numbers_hold_for_every_floating_dtype() -> None:
    tolerance = parse_tolerance(atol=["1e-3"], rtol=["0.5"])
    assert tolerance.name == "custom"
    assert limits_for(tolerance, "x", "float8_e5m2") == (1e-3, 0.5)
    assert limits_for(tolerance, "x", "int32") is None


def test_a_named_output_goes_first() -> None:
    tolerance = parse_tolerance("bnb", atol=["a:b:1e-2"], rtol=["ids:1"])
    assert limits_for(tolerance, "a:b", "float32") == (1e-2, 0.0)
    assert limits_for(tolerance, "ids", "int64") == (0.0, 1.0)
    assert limits_for(tolerance, "other", "float32") == (1e-6, 1e-5)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"preset": "exact"}, "no tolerance named 'exact'"),
        ({"atol": ["x"]}, "--atol 'x' is not a number"),
        ({"atol": ["-1"]}, "--atol '-1' is not a number"),
        ({"rtol": ["nan"]}, "--rtol 'nan' is not a number"),
        ({"rtol": ["logits:inf"]}, "--rtol 'logits:inf' is not a number"),
        ({"rtol": ["logits:"]}, "--rtol 'logits:' is not a number"),
        ({"atol": ["1", "2"]}, "--atol is given twice for all outputs"),
        ({"atol": ["a:1", "a:2"]}, "--atol is given twice for output 'a'"),
        ({"preset": "bnb", "atol": ["1"]}, "exclude each other"),
    ],
)
def test_a_wrong_request_says_what_and_how(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_tolerance(**arguments)  # type: ignore[arg-type]
    assert said in caught.value.message
    assert caught.value.hint


@given(st.floats(0, 1e300), st.floats(0, 1e300))
def test_what_is_said_is_in_force(atol: float, rtol: float) -> None:
    tolerance = parse_tolerance(atol=[repr(atol)], rtol=[repr(rtol)])
    assert limits_for(tolerance, "any", "float64") == (atol, rtol)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_tolerance(atol=[text])
    except UsageError as error:
        assert repr(text) in error.message
