from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkpoint.report import words


@given(st.text())
def test_plain_text_has_one_line_and_nothing_that_a_terminal_acts_on(text: str) -> None:
    shown = words.plain(text)
    assert {unicodedata.category(c) for c in shown}.isdisjoint({"Cc", "Cs", "Zl", "Zp"})
    assert "\u202e" not in shown


@given(st.text(), st.integers(min_value=2, max_value=80))
def test_shortened_text_fits(text: str, limit: int) -> None:
    assert len(words.shorten(text, limit)) <= limit


@given(st.sets(st.integers(min_value=0, max_value=60)))
def test_ranges_spell_every_number(numbers: set[int]) -> None:
    found: set[int] = set()
    for part in filter(None, words.ranges(numbers, limit=100).split(", ")):
        first, _, last = part.partition("\N{EN DASH}")
        found |= set(range(int(first), int(last or first) + 1))
    assert found == numbers


def test_ranges_count_what_they_leave_out() -> None:
    assert words.ranges(range(0, 20, 2), limit=2) == "0, 2 and 8 more"


@given(st.floats(min_value=0, max_value=1))
def test_a_share_is_whole_only_where_it_is_exactly_whole(fraction: float) -> None:
    shown = words.percent(fraction)
    assert (shown == "0%") == (fraction == 0)
    assert (shown == "100%") == (fraction == 1)


@pytest.mark.parametrize(
    ("op", "shown"),
    [
        ("aten.native_layer_norm.default", "aten::native_layer_norm"),
        ("aten.add.Tensor", "aten::add.Tensor"),
        ("mylib.fused.default", "mylib::fused"),
        ("not an op", "not an op"),
        ("<script>.x.default", "<script>.x.default"),
    ],
)
def test_operators_are_spelled_as_pytorch_spells_them(op: str, shown: str) -> None:
    assert words.operator(op) == shown


def test_of_long_lists_what_differs_is_shown() -> None:
    shared = "PyTorch built with: - GCC 13.3 - " + ", ".join(f"USE_{i}=ON" for i in range(40))
    one, two = f"{shared}, TORCH_VERSION=2.9.1", f"{shared}, TORCH_VERSION=2.10.0"
    assert words.contrast(one, two, 120) == "… TORCH_VERSION=2.9.1"
    assert words.contrast(two, one, 120) == "… TORCH_VERSION=2.10.0"
    assert words.contrast("short", two, 120) == "… short"
    assert words.contrast("AVX2", "AVX512", 120) == "AVX2"
    assert words.contrast(None, "AVX512", 120) == "not there"


@given(st.text(), st.text(), st.integers(min_value=2, max_value=60))
def test_contrast_fits(one: str, other: str, limit: int) -> None:
    assert len(words.contrast(one, other, limit)) <= limit


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (9_588, "9,588"), (1_713_261_830, "1.71e9"), (None, "not measured")],
)
def test_ulp_distances_stay_short(value: int | None, shown: str) -> None:
    assert words.ulp(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(4.77e-7, "4.77e-7"), (0.0, "0"), (0.25, "0.25"), (1e22, "1e22"), (None, "not measured")],
)
def test_numbers_are_short(value: float | None, shown: str) -> None:
    assert words.number(value) == shown
