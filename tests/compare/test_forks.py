"""Which of several measurements says most."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from forkpoint.compare import compare_arrays, largest


def test_the_largest_difference_is_told() -> None:
    small, large = (compare_arrays(np.zeros(3), np.full(3, by)) for by in (1e-6, 1e-3))
    assert largest([small, None, large]) is large
    assert largest([None]) is None
    assert largest([]) is None


def test_a_nan_on_one_side_weighs_more_than_a_difference_and_not_by_its_number() -> None:
    far = compare_arrays(np.zeros(3), np.full(3, 5.0))
    one = compare_arrays(np.zeros(3), np.array([np.nan, 2.0, 2.0]))
    many = replace(one, nonfinite_mismatches=3, max_abs=0.5)
    assert largest([far, one, many]) is one
