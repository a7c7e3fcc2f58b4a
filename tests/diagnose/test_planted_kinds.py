"""Differences of every kind, planted in one side of real runs: each is told right, none invented.

At both levels; without a fault, nothing is told.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from forkpoint import api
from forkpoint.host import Workload
from forkpoint.model import Comparison, Verdict
from tests.conftest import TorchEnv

pytestmark = pytest.mark.integration
SCRIPT = Path(__file__).with_name("kinds.py")
DIFFERS = {Verdict.DIVERGENT, Verdict.WITHIN_TOLERANCE}
NORM, TANH, SINH, NEG, DRAW = (
    f"aten.{name}"
    for name in (
        "native_layer_norm.default", "tanh.default", "sinh.default", "neg.default",
        "bernoulli_.float",
    )
)  # fmt: skip

COMPUTED = [
    ("element+rows", "module", {TANH, NORM}),
    ("length+random", "op", {TANH, DRAW}),
]
HIDDEN = "side+unused+zero"


@pytest.fixture(scope="module")
def compare(torch_env: TorchEnv, tmp_path_factory: pytest.TempPathFactory):
    """The comparison with a kind of difference planted in the candidate; each is made once."""
    built = torch_env("2.10.0")

    @cache
    def made(kind: str, level: str) -> Comparison:
        folder = tmp_path_factory.mktemp("kinds")
        sides = [replace(built, name=side, variables={"SIDE": side, "KIND": kind}) for side in "ab"]
        options = api.Options(
            out=folder / "out", level=level, experiments=("origins",), jobs=2, tolerance="bitwise"
        )
        workload = Workload(script=SCRIPT, cwd=folder)
        return api.run_comparison(workload, sides, options=options).comparison

    return made


def _evidence(found: Comparison) -> str:
    return " ".join((*found.explanation, *(one.evidence for one in found.experiments)))


@pytest.mark.parametrize("level", ["module", "op"])
def test_without_a_fault_nothing_is_told(compare, level: str) -> None:
    found = compare("", level)
    assert found.verdict is Verdict.IDENTICAL
    assert found.neutral.equal is True
    assert found.neutral.covered == 2
    assert (found.origins, found.experiments, found.explanation) == ((), (), ())


@pytest.mark.parametrize(("kind", "level", "ops"), COMPUTED)
def test_an_op_that_computes_otherwise_is_the_origin(compare, kind, level, ops) -> None:
    found = compare(kind, level)
    assert found.verdict in DIFFERS
    assert {origin.op for origin in found.origins} == ops
    assert not any(origin.side_only for origin in found.origins)
    assert found.explanation[0].startswith("Only ")


def test_what_no_output_shows_is_found_op_by_op(compare) -> None:
    found = compare(HIDDEN, "op")
    assert found.verdict is Verdict.IDENTICAL
    assert {origin.op for origin in found.origins} == {NORM, SINH, NEG}
    assert any("all outputs are identical" in sentence for sentence in found.explanation)
    for origin in found.origins:
        assert origin.side_only is (origin.op == NORM)
    (norm,) = (origin for origin in found.origins if origin.side_only)
    assert norm.output in ("", "rstd")


def test_another_argument_is_named_and_no_op_is_blamed(compare) -> None:
    found = compare("epsilon", "module")
    assert found.verdict in DIFFERS
    assert found.origins == ()
    assert "1e-05 in the baseline, 0.001 in the candidate" in _evidence(found)


def test_another_seed_is_a_random_generators_state(compare) -> None:
    found = compare("seed", "op")
    assert found.verdict in DIFFERS
    assert found.origins == ()
    assert "random generator, which is in another state" in _evidence(found)


def test_other_ops_are_named_before_any_arithmetic(compare) -> None:
    found = compare("sequence", "module")
    assert found.verdict in DIFFERS | {Verdict.NOT_COMPARABLE}
    assert found.sequences
    assert found.origins == ()


@pytest.mark.parametrize(("kind", "level"), [("weights", "module"), ("inputs", "op")])
def test_what_the_steps_were_given_differs(compare, kind: str, level: str) -> None:
    found = compare(kind, level)
    assert found.verdict is Verdict.NOT_COMPARABLE
    assert found.origins == ()
    assert kind in " ".join(found.reasons)
    assert found.weights_equal is (kind == "inputs")


def test_one_more_step(compare) -> None:
    found = compare("more", "module")
    assert found.verdict is Verdict.NOT_COMPARABLE
    assert found.origins == ()
    assert any("1 more step" in reason for reason in found.reasons)


def test_an_exception_in_one_side(compare) -> None:
    found = compare("raises", "module")
    assert found.verdict is Verdict.INCOMPLETE
    assert found.origins == ()
