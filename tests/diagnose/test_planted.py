"""Real runs of a model with planted faults: the exact set of origins, every time."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from forkpoint import api
from forkpoint.environments import EnvironmentSpec, parse_spec
from forkpoint.host import Workload
from forkpoint.model import Comparison, Outcome, Verdict
from tests.conftest import TorchEnv

pytestmark = pytest.mark.integration
HERE = Path(__file__).parent

NORM, TANH, SOFTMAX = (f"aten.{name}.default" for name in ("native_layer_norm", "tanh", "_softmax"))


Compared = Callable[..., Comparison]
"""By the name of a fault, or of several, the script that plants it, and more experiments."""


@pytest.fixture(scope="module")
def compared(torch_env: TorchEnv, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """The comparison of a healthy run with one that has a fault; each is made once."""

    @cache
    def compare(fault: str, script: str = "planted.py", also: tuple[str, ...] = ()) -> Comparison:
        folder = tmp_path_factory.mktemp("planted")
        python = torch_env("2.10.0").python
        specs: list[EnvironmentSpec] = [
            parse_spec(f"search=python={python}"),
            parse_spec(f"bad=python={python} FORKPOINT_FAULT={fault}"),
        ]
        options = api.Options(out=folder / "out", experiments=("origins", *also), jobs=2)
        workload = Workload(script=HERE / script, cwd=folder)
        finished = api.run_comparison(workload, specs, options=options)
        assert not finished.failures
        kept = {path.name for path in (folder / "out" / "recordings").iterdir()}
        assert {"search", "bad"} <= kept  # whatever an environment is called
        return finished.comparison

    return compare


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("always", {NORM}),
        ("rows", {NORM}),
        ("length", {SOFTMAX}),
        ("two", {NORM, TANH}),
        ("second", {TANH}),
    ],
)
def test_the_origins_are_exactly_what_was_planted(
    compared: Compared, fault: str, expected: set[str]
) -> None:
    found = compared(fault)
    assert {origin.op for origin in found.origins} == expected
    sufficiency = next(one for one in found.experiments if one.name == "sufficiency")
    assert sufficiency.outcome is Outcome.SUPPORTED, sufficiency.evidence
    assert found.explanation[0].startswith("Only ")
    assert found.explanation[-1].startswith("Substituting ")


def test_a_fault_that_the_script_plants_itself_is_shown_in_place(compared: Compared) -> None:
    found = compared("always")
    (origin,) = found.origins
    assert origin.confirmed == "in_place"  # replay has no such override, and says so
    replayed = next(one for one in found.experiments if one.name == "replay")
    assert replayed.outcome is Outcome.INCONCLUSIVE
    assert "does not give the bits that it gave in the script" in replayed.evidence


def test_of_many_faults_at_once_none_is_missed_and_none_is_added(compared: Compared) -> None:
    """By two sizes, arguments, layouts and values, all planted by the script itself."""
    faults = "product+taller+dim+keep+gaps+shifted+steep+first"
    found = compared(faults, script="planted_zoo.py")
    assert {origin.op.split(".")[1] for origin in found.origins} == {
        "native_layer_norm", "mm", "_softmax", "mean", "exp", "sin", "leaky_relu", "cos",
    }  # fmt: skip
    assert {origin.confirmed for origin in found.origins} == {"in_place"}
    sufficiency = next(one for one in found.experiments if one.name == "sufficiency")
    assert sufficiency.outcome is Outcome.SUPPORTED, sufficiency.evidence
    assert not any(one.name == "unexplained" for one in found.experiments)


def test_an_op_that_reads_what_nobody_can_is_inconclusive_by_itself(compared: Compared) -> None:
    """A sparse tensor is another one: neither lockstep nor replay can give the op equal inputs."""
    found = compared("always", script="hidden.py")
    assert found.verdict is Verdict.DIVERGENT
    assert found.origins == ()
    named = next(one for one in found.experiments if one.name == "unexplained")
    assert named.outcome is Outcome.INCONCLUSIVE
    assert named.evidence.startswith("aten._sparse_addmm.default (float32): 2 calls")
    assert "not all of its inputs could be compared" in named.evidence
    assert "sparse" in found.explanation[0]


def test_steps_that_agree_are_no_steps_of_an_origin(compared: Compared) -> None:
    found = compared("rows")
    (origin,) = found.origins
    assert origin.steps == (0, 2)
    assert [step.verdict is Verdict.IDENTICAL for step in found.steps] == [
        False, True, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize("fault", ["unused", "repaired"])
def test_what_changes_no_output_is_no_divergence(compared: Compared, fault: str) -> None:
    found = compared(fault)
    assert found.verdict is Verdict.IDENTICAL
    assert found.origins == ()


@pytest.mark.parametrize(("fault", "expected"), [("always", {NORM}), ("two", {NORM, TANH})])
def test_chained_models_are_judged_by_outputs_and_explained_in_lockstep(
    compared: Compared, fault: str, expected: set[str]
) -> None:
    """The comparison leaves open what the head adds; lockstep gives it equal inputs."""
    found = compared(fault, script="planted_chain.py", also=("necessity", "crop"))
    assert found.verdict is Verdict.WITHIN_TOLERANCE
    encoder, head = found.steps[::2], found.steps[1::2]
    assert all(step.fork and not step.chained for step in encoder)
    assert all(step.chained and step.fork is None for step in head)
    assert [[one.from_step for one in step.inputs] for step in head] == [
        [0, None], [2, None], [4, None], [6, None],
    ]  # fmt: skip
    assert all(output.equal or output.metrics for step in head for output in step.outputs)
    assert found.coverage.op_level_steps == (0, 2, 4, 6)
    assert found.neutral.equal is True
    assert {origin.op for origin in found.origins} == expected
    assert all(origin.steps == (1, 3, 5, 7) for origin in found.origins if origin.op == TANH)
    differ = sum(step.verdict is Verdict.WITHIN_TOLERANCE for step in found.steps)
    assert differ > len(encoder)  # of some heads, every bit may come out the same
    by_name = {one.name: one for one in found.experiments}
    assert by_name["sufficiency"].evidence == (
        f"{differ} of {differ} steps became identical to search"
    )
    assert found.explanation[-1].endswith(f" makes all {differ} differing steps identical.")
    if fault == "two":
        assert by_name["necessity"].outcome is Outcome.SUPPORTED, by_name["necessity"].evidence
    cropped = set(re.findall(r"step (\d+)", by_name["crop"].evidence))
    assert cropped == {"0", "2", "4", "6"}  # sides of a chained step have unlike inputs to crop
