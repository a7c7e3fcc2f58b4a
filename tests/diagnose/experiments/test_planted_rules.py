"""Faults in torch itself: the rule that was planted, or none where values decide."""

from __future__ import annotations

import pytest

from forkpoint.model import Comparison, Experiment, Origin, Outcome, Sweep
from tests.diagnose.faulty import Faulty

pytestmark = pytest.mark.integration


def _only(comparison: Comparison) -> Origin:
    (origin,) = comparison.origins
    assert origin.confirmed == "replay"
    return origin


def _named(comparison: Comparison, name: str) -> Experiment:
    return next(one for one in comparison.experiments if one.name == name)


def _sweep(origin: Origin, start: str) -> Sweep:
    return next(one for one in origin.sweeps if one.dimension.startswith(start))


def test_every_size(faulty: Faulty) -> None:
    found = faulty("always")
    origin = _only(found)
    assert origin.rule == "at every size tried"
    assert _named(found, "sweep").outcome is Outcome.SUPPORTED


def test_rows_that_are_multiples_of_three(faulty: Faulty) -> None:
    found = faulty("rows")
    origin = _only(found)
    assert _sweep(origin, "dimension 0 of input").rule == "at multiples of 3"
    assert _sweep(origin, "dimension 0 of input").checked > 0
    assert "at multiples of 3 of dimension 0 of input" in (origin.rule or "")
    assert any("at multiples of 3" in sentence for sentence in found.explanation)


def test_a_length_from_six_on(faulty: Faulty) -> None:
    found = faulty("length")
    origin = _only(found)
    assert "from size 6 on of dimension 1 of self" in (origin.rule or "")


def test_values_are_no_rule_of_sizes(faulty: Faulty) -> None:
    found = faulty("value")
    origin = _only(found)
    assert origin.rule is None
    assert _named(found, "sweep").outcome is Outcome.INCONCLUSIVE
    assert "values" in _named(found, "sweep").evidence
    assert not any("Replayed alone" in sentence for sentence in found.explanation)


def test_a_dtype(faulty: Faulty) -> None:
    origin = _only(faulty("dtype"))
    assert _sweep(origin, "dtype").rule == "with float32; not with bfloat16, float16, float64"


def test_a_plain_argument(faulty: Faulty) -> None:
    origin = _only(faulty("scalar"))
    assert _sweep(origin, "eps").rule == (
        "with eps=1e-05; not with eps=2e-05, eps=5e-06, eps=0.001, eps=0, eps=1"
    )


def test_a_memory_layout(faulty: Faulty) -> None:
    origin = _only(faulty("strided"))
    layouts = _sweep(origin, "memory layout")
    differing = {point.label for point in layouts.points if point.differing}
    assert "transposed" in differing


def test_every_experiment_says_what_it_did(faulty: Faulty) -> None:
    found = faulty("always")
    names = [one.name for one in found.experiments]
    wanted = ("repeatability", "replay", "sufficiency", "necessity", "oracle", "sweep", "kernels")
    assert set(wanted) | {"interventions"} <= set(names)
    assert all(one.hypothesis and one.did and one.evidence for one in found.experiments)
    assert _named(found, "repeatability").outcome is Outcome.SUPPORTED
    assert "the control changed nothing" in _named(found, "interventions").evidence
    (origin,) = found.origins
    assert origin.oracle is not None
    assert origin.remedies == ()


def test_an_origin_behind_another_is_not_called_needless(faulty: Faulty) -> None:
    """The last tanh hides the norm when it is substituted: that proves nothing about the norm."""
    found = faulty("two")
    assert len(found.origins) == 2
    needed = _named(found, "necessity")
    assert needed.outcome is Outcome.INCONCLUSIVE
    assert "tanh: without it, 4 of 4 steps differ" in needed.evidence
    assert "native_layer_norm: without it, none of 4 steps differs (origins behind it, " in (
        needed.evidence
    )
