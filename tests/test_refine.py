"""Two passes put together."""

from __future__ import annotations

from dataclasses import replace

from forkpoint.api._refine import refine
from tests.report import examples


def test_what_both_passes_counted_is_said_once_with_the_second_number() -> None:
    cause = "Step 1 had other inputs: input (float32[32, 220, 384])."
    first = replace(
        examples.demo(), reasons=(cause, "In all, 97 of 194 steps cannot be compared.", "More.")
    )
    again = "In all, 98 of 194 steps cannot be compared."
    where = "The operators or modules that ran are not the same in 3 steps."
    assert refine(first, replace(first, reasons=(cause, again, where))).reasons == (
        cause, "More.", again, where,
    )  # fmt: skip
    assert refine(first, replace(first, reasons=(where,))).reasons == (*first.reasons, where)
