"""The public functions, on real torch releases."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import forkpoint
from forkpoint import Options, UsageError, Verdict
from forkpoint.api import run_comparison
from forkpoint.api._compare import limited
from forkpoint.api._options import Observer
from forkpoint.api._results import Results
from forkpoint.api._runner import Runner
from forkpoint.environments import Environment, EnvironmentCache, EnvironmentSpec
from forkpoint.host import Workload
from forkpoint.report import from_json
from forkpoint.store import Recording
from tests.conftest import TorchEnv
from tests.support.cli import SOURCES

SCRIPT = """
import os, sys, torch
torch.manual_seed(0)
layers = torch.nn.Linear(16, 384), torch.nn.LayerNorm(384), torch.nn.Linear(384, 4)
model = torch.nn.Sequential(*layers)
steps = int(sys.argv[1]) if len(sys.argv) > 1 else 4
nudge = float(os.environ.get("NUDGE", "0"))

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = model

    def forward(self, x):
        if nudge:
            self.inner[1].eps = nudge
        return self.inner(x)

net = Net()
with torch.no_grad():
    for step in range(steps):
        net(torch.full((2 + step % 2, 16), step / 7))
        if os.environ.get("RAISE") == str(step):
            raise ValueError("boom")
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "net.py"
    path.write_text(SCRIPT)
    return path


def two(torch_env: TorchEnv, one: dict[str, str], other: dict[str, str]) -> list[Environment]:
    """One built environment under two names, with variables of its own each."""
    built = torch_env("2.10.0")
    return [replace(built, name="a", variables=one), replace(built, name="b", variables=other)]


def test_ranges_take_the_close_look_away_and_leave_the_outputs() -> None:
    picks = {"level": "op", "store": ["root", "modules"], "modules": None, "window": None}
    plan = {"default": {}, "steps": {"1": picks, "9": picks}}
    assert limited(plan, None) == plan
    assert limited(plan, ((0, 5),))["steps"] == {
        "1": picks,
        "9": {"level": "bare", "store": ["root"]},
    }


@pytest.mark.parametrize(
    "environments",
    [{}, {"a": "torch==2.9.1"}, ["a=torch==2.9.1", "a=torch==2.10.0"], ["torch"]],
)
def test_two_environments_with_names_are_needed(script: Path, environments) -> None:
    with pytest.raises(UsageError):
        forkpoint.compare(script, environments)


def test_options_are_checked() -> None:
    for wrong in ({"level": "layer"}, {"timeout": 0}, {"tolerance": "loose"}, {"max_storage": -1}):
        with pytest.raises(UsageError):
            Options(**wrong)


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, False), ({"jobs": 2}, True), ({"jobs": 2, "timeout": 9}, False)],
)
def test_no_run_waits_for_another_under_a_time_limit(
    options: dict[str, Any], expected: bool, tmp_path: Path
) -> None:
    with EnvironmentCache(tmp_path) as cache:
        runner = Runner(Options(**options), Observer(), cache)
        assert runner.at_once is expected


def test_no_process_stays_under_a_time_limit(tmp_path: Path) -> None:
    here = Environment(
        name="a", spec=EnvironmentSpec(name="a"), python=Path(sys.executable), key="", lock=()
    )
    with EnvironmentCache(tmp_path) as cache:
        limited, free = (
            Runner(Options(timeout=limit), Observer(), cache).replayer(here, logs=tmp_path)
            for limit in (9, None)
        )
    assert limited is None
    assert free is not None


def test_a_script_needs_an_environment(script: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none is named"):
        forkpoint.record(script, tmp_path / "rec")


def test_results_go_over_older_results_only(tmp_path: Path) -> None:
    workload = Workload(module="net")
    Results.create(tmp_path / "out", workload)
    with pytest.raises(UsageError, match="older results"):
        Results.create(tmp_path / "out", workload)
    Results.create(tmp_path / "out", workload, force=True)
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="does not hold results of forkpoint only"):
        Results.create(tmp_path / "out", workload, force=True)
    assert (tmp_path / "out" / "thesis.txt").exists()


@pytest.mark.integration
def test_equal_environments_are_identical_and_recording_is_neutral(
    script: Path, torch_env: TorchEnv, tmp_path: Path
) -> None:
    finished = run_comparison(
        Workload(script=script), two(torch_env, {}, {}), options=Options(out=tmp_path / "out")
    )
    comparison = finished.comparison
    assert comparison.verdict is Verdict.IDENTICAL
    assert comparison.neutral.equal is True
    assert [step.index for step in comparison.steps] == [0, 1, 2, 3]
    assert from_json((tmp_path / "out" / "comparison.json").read_bytes()) == comparison


@pytest.mark.integration
@pytest.mark.parametrize("level", ["module", "op"])
def test_the_fork_is_the_operator_that_was_changed(
    script: Path, torch_env: TorchEnv, tmp_path: Path, level: str
) -> None:
    comparison = forkpoint.compare(
        script,
        two(torch_env, {}, {"NUDGE": "0.01"}),
        options=Options(out=tmp_path / "out", level=level),
    )
    assert comparison.verdict is Verdict.DIVERGENT
    assert comparison.neutral.equal is True
    forks = [step.fork for step in comparison.steps]
    assert all(fork is not None for fork in forks)
    assert forks[0].op == "aten.native_layer_norm.default"
    assert forks[0].module == "inner.1"
    assert all(step.outputs[0].metrics for step in comparison.steps)
    assert comparison.heat.modules[-1]
    looked_into = {0, 1} if level == "module" else {0, 1, 2, 3}
    assert set(comparison.coverage.op_level_steps) == looked_into


@pytest.mark.integration
def test_torch_releases_part_ways_in_layer_norm(
    script: Path, torch_env: TorchEnv, tmp_path: Path
) -> None:
    environments = [
        replace(torch_env(version), name=name)
        for name, version in (("old", "2.9.1"), ("new", "2.10.0"))
    ]
    comparison = forkpoint.compare(
        script, environments, options=Options(out=tmp_path / "out", tolerance="bitwise")
    )
    assert comparison.verdict in (Verdict.DIVERGENT, Verdict.IDENTICAL)  # it depends on the CPU
    differing = {entry.key: (entry.baseline, entry.candidate) for entry in comparison.environment}
    assert differing["torch.version"][0].startswith("2.9.1")


@pytest.mark.integration
def test_other_inputs_in_each_run_are_not_called_a_divergence(
    script: Path, torch_env: TorchEnv, tmp_path: Path
) -> None:
    text = SCRIPT.replace("step / 7", "step / 7 + 1e-3 * (os.getpid() % 1000)")
    script.write_text(text)
    comparison = forkpoint.compare(
        script, two(torch_env, {}, {}), options=Options(out=tmp_path / "out")
    )
    # other inputs each time: the steps cannot be compared, and nothing is called divergent
    assert comparison.verdict in (Verdict.NOT_COMPARABLE, Verdict.NOT_REPEATABLE)


@pytest.mark.integration
def test_noise_inside_of_a_model_is_not_repeatable(
    script: Path, torch_env: TorchEnv, tmp_path: Path
) -> None:
    noisy = SCRIPT.replace(
        "return self.inner(x)", "return self.inner(x) + torch.rand(4, generator=random)"
    ).replace("net = Net()", "random = torch.Generator()\nrandom.seed()\nnet = Net()")
    script.write_text(noisy)
    comparison = forkpoint.compare(
        script, two(torch_env, {}, {}), options=Options(out=tmp_path / "out")
    )
    assert comparison.verdict is Verdict.NOT_REPEATABLE
    assert "a does not repeat itself" in comparison.reasons[0]


@pytest.mark.integration
def test_a_failure_in_both_environments_is_told_once(
    script: Path, torch_env: TorchEnv, tmp_path: Path
) -> None:
    finished = run_comparison(
        Workload(script=script),
        two(torch_env, {"RAISE": "1"}, {"RAISE": "1"}),
        options=Options(out=tmp_path / "out"),
    )
    assert finished.comparison.verdict is Verdict.INCOMPLETE
    assert len(finished.comparison.steps) == 2
    (failure,) = finished.failures
    assert failure.message.startswith("a and b alike: the script raised ValueError: boom")


@pytest.mark.integration
def test_a_failure_in_one_environment_keeps_what_is_known(
    script: Path, torch_env: TorchEnv, tmp_path: Path
) -> None:
    finished = run_comparison(
        Workload(script=script),
        two(torch_env, {}, {"RAISE": "2"}),
        options=Options(out=tmp_path / "out"),
    )
    assert finished.comparison.verdict is Verdict.INCOMPLETE
    assert [step.verdict for step in finished.comparison.steps] == [Verdict.IDENTICAL] * 3
    assert finished.comparison.reasons[0] == "b: the script raised ValueError: boom"


@pytest.mark.integration
def test_a_failure_before_any_step_is_raised(
    script: Path, torch_env: TorchEnv, tmp_path: Path
) -> None:
    script.write_text("raise ValueError('too early')\n")
    with pytest.raises(forkpoint.ScriptFailed, match="too early"):
        forkpoint.compare(script, two(torch_env, {}, {}), options=Options(out=tmp_path / "out"))


@pytest.mark.integration
def test_a_script_without_a_model(script: Path, torch_env: TorchEnv, tmp_path: Path) -> None:
    script.write_text("import torch\nprint(torch.ones(2) + 1)\n")
    with pytest.raises(forkpoint.NothingRecorded, match="no step was seen"):
        forkpoint.compare(script, two(torch_env, {}, {}), options=Options(out=tmp_path / "out"))


@pytest.mark.integration
def test_recording_inside_of_a_process(torch_env: TorchEnv, tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(SOURCES)!r})
sys.path += {sys.path!r}
import forkpoint, torch
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU())
for name, value in (("rec-a", 1.0), ("rec-b", 1.0), ("rec-c", 2.0)):
    with forkpoint.record(net, name):
        net(torch.full((2, 4), value))
print(forkpoint.diff("rec-a", "rec-b").verdict, forkpoint.diff("rec-a", "rec-c").verdict)
try:
    with forkpoint.record(net, "rec-d"):
        net(torch.ones(2, 4))
        raise KeyError("mine")
except KeyError:
    pass
try:
    forkpoint.record(net, "rec-a")
except forkpoint.UsageError as error:
    print(error.message)
"""
    ended = subprocess.run(
        [torch_env("2.10.0").python, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    first, second = ended.stdout.splitlines()
    assert first == "identical not_comparable"
    assert second.startswith("There is already a recording at")
    with Recording.open(tmp_path / "rec-d") as broken:
        assert not broken.complete
        assert len(broken.steps()) == 1
    assert json.loads((tmp_path / "rec-a" / "manifest.json").read_text())["complete"] is True
