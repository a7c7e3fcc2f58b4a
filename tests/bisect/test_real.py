"""Bisect and history with real torch releases: one known change, between 2.9.1 and 2.10.0."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from forkpoint import api
from forkpoint.bisect import Installed, Results, Script, applied, capsule_subject
from forkpoint.environments import has_nvidia_gpu, parse_spec
from forkpoint.host import Workload
from forkpoint.report.schema import BISECT_FILE_NAME, HISTORY_FILE_NAME, shipped_schema
from tests.conftest import TorchEnv
from tests.support.cli import Ended, forkpoint_cli

pytestmark = pytest.mark.integration

NORM = "aten.native_layer_norm.default"
GOOD, BAD = "2.9.1", "2.10.0"
ENDS = ("--good", f"torch=={GOOD}", "--bad", f"torch=={BAD}", "--with", "numpy")
RANGE = ("--releases", f"torch>={GOOD},<={BAD}", "--with", "numpy")
SCRIPT = """
import torch
torch.manual_seed(0)
net = torch.nn.Sequential(
    torch.nn.Linear(384, 384), torch.nn.LayerNorm(384), torch.nn.GELU(), torch.nn.Linear(384, 7)
)
with torch.no_grad():
    for n in (5, 32, 5):
        net(torch.arange(n * 384, dtype=torch.float32).reshape(n, 384) / 777)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, torch_env: TorchEnv) -> Path:
    """A script, and the results of a comparison of both releases, with capsules."""
    folder = tmp_path_factory.mktemp("real")
    (folder / "s.py").write_text(SCRIPT)
    (folder / "broken.py").write_text("import torch\nraise ValueError('broken by design')\n")
    specs = [
        parse_spec(f"{name}=python={torch_env(version).python}")
        for name, version in (("old", GOOD), ("new", BAD))
    ]
    options = api.Options(out=folder / "out", experiments=())
    api.run_comparison(Workload(script=folder / "s.py", cwd=folder), specs, options=options)
    return folder


@pytest.fixture
def capsule(folder: Path) -> Path:
    (found,) = (folder / "out" / "capsules").glob("*/old")
    return found


def run(folder: Path, *words: object) -> Ended:
    ended = forkpoint_cli(*words, cwd=folder)
    assert "Traceback" not in ended.err
    return ended


def result(ended: Ended, schema: str) -> dict:
    data = json.loads(ended.out)
    Draft202012Validator(json.loads(shipped_schema(schema))).validate(data)
    return data


def test_a_capsule_in_its_results_needs_no_build(folder: Path, capsule: Path) -> None:
    ended = run(folder, "bisect", *ENDS, "--format", "json", "-q", capsule)
    assert ended.status == 1, ended.err
    found = result(ended, BISECT_FILE_NAME)
    assert (found["last_good"], found["first_bad"], found["builds"]) == (GOOD, BAD, 0)
    assert [step["source"] for step in found["steps"]] == ["recorded", "recorded"]
    (row,) = found["changed"]
    assert (row["own"], row["differing"]) == (1, 1)
    assert 0 < row["max_abs"] < 1e-4
    assert row["before_ulp"] > 0 < row["after_ulp"]


def test_a_capsule_alone_is_run_before_its_bits_count(
    folder: Path, capsule: Path, tmp_path: Path
) -> None:
    shutil.copytree(capsule, tmp_path / "lone")
    ended = run(folder, "bisect", *ENDS, "--format", "json", "-q", tmp_path / "lone")
    found = result(ended, BISECT_FILE_NAME)
    assert (found["last_good"], found["first_bad"]) == (GOOD, BAD)
    assert "recorded" not in [step["source"] for step in found["steps"]]
    again = run(folder, "bisect", *ENDS, "--format", "json", "-q", tmp_path / "lone")
    found = result(again, BISECT_FILE_NAME)
    assert {step["source"] for step in found["steps"]} == {"known"}


def test_bits_recorded_elsewhere_do_not_count(folder: Path, capsule: Path, tmp_path: Path) -> None:
    shutil.copytree(capsule, tmp_path / "moved")
    path = tmp_path / "moved" / "capsule.json"
    data = json.loads(path.read_text())
    data["fingerprint"]["cpu.model"] = "Another processor"
    path.write_text(json.dumps(data))
    over = api.Range(releases="torch", also=("numpy",))
    said: list[str] = []

    class Listening(api.Observer):
        def note(self, text: str) -> None:
            said.append(text)

    subject = capsule_subject([tmp_path / "moved"])
    found = api.bisect(subject, GOOD, BAD, over, observer=Listening())
    assert "recorded" not in [step.source for step in found.steps]
    assert any("recorded on another processor (Another processor)" in one for one in said)


def test_a_script_names_the_op_behind_its_change(folder: Path) -> None:
    ended = run(folder, "history", *RANGE, "--axis", "threads=1,2", "--format", "json", "s.py")
    assert ended.status == 1, ended.err
    found = result(ended, HISTORY_FILE_NAME)
    (change,) = found["changes"]
    own = {row["name"].partition("(")[0] for row in change["rows"] if row["own"]}
    assert own == {NORM}
    assert {row["axis"] for row in change["rows"]} == {"threads=1", "threads=2"}
    modules = [row["name"] for row in found["rows"] if not row["op"]]
    assert "step 2 Sequential" in modules
    assert not [row for row in found["rows"] if row["unrepeatable"]]
    second = run(folder, "history", *RANGE, "--axis", "threads=1,2", "--format", "json", "s.py")
    again = result(second, HISTORY_FILE_NAME)
    assert all(one["cached"] for one in again["releases"])
    assert again["changes"] == found["changes"]


def test_a_diagnosis_gives_origins_size_and_the_nearer_side(folder: Path) -> None:
    words = ("bisect", *ENDS, "--diagnose", "--format", "json", "-q", "s.py")
    found = result(run(folder, *words), BISECT_FILE_NAME)
    (diagnosis,) = found["diagnoses"]
    assert diagnosis["failure"] is None
    (origin,) = diagnosis["origins"]
    assert (origin["op"], origin["confirmed"]) == (NORM, "replay")
    assert origin["metrics"]["max_ulp"] > 0
    assert origin["oracle"]["nearer"] in ("baseline", "candidate", "neither")
    assert (Path(diagnosis["folder"]) / "comparison.json").is_file()
    text = run(folder, *words[:-4], "-q", "s.py").out
    assert "aten::native_layer_norm (float32) differs by itself in" in text
    assert "Only `native_layer_norm` (fp32) differs by itself" in text
    shutil.rmtree(diagnosis["folder"])
    (known,) = result(run(folder, *words), BISECT_FILE_NAME)["diagnoses"]
    assert known == {**diagnosis, "folder": ""}


def test_a_script_that_fails_everywhere_is_said(folder: Path) -> None:
    ended = run(folder, "history", *RANGE, "broken.py")
    assert (ended.status, ended.out) == (2, "")
    assert "broken.py could not be run in any of the releases" in ended.err
    assert ended.err.count("\n  ValueError: broken by design") == 1  # one reason for both
    ended = run(folder, "bisect", *ENDS, "broken.py")
    assert (ended.status, ended.out) == (2, "")
    assert f"torch {GOOD} cannot be looked at" in ended.err
    assert "broken by design" in ended.err


def test_ends_that_give_the_same_bits_are_said(folder: Path) -> None:
    (folder / "same.py").write_text(
        "import torch\ntorch.nn.ReLU()(torch.arange(6.0).reshape(2, 3) - 2)\n"
    )
    ended = run(folder, "bisect", *ENDS, "same.py")
    assert (ended.status, ended.out) == (2, "")
    assert f"same.py gives the same bits in torch {GOOD} and {BAD}" in ended.err
    assert f"Looked at so far, and kept: {GOOD} good" in ended.err
    assert run(folder, "history", *RANGE, "-q", "same.py").status == 0


def test_the_catalogue_finds_the_norm_and_no_change_in_products(folder: Path) -> None:
    words = (
        "history",
        *RANGE,
        "--catalogue",
        "--inputs",
        "1",
        "--op",
        "layer_norm",
        "--op",
        "addmm",
    )
    found = result(run(folder, *words, "--format", "json", "-q"), HISTORY_FILE_NAME)
    (change,) = found["changes"]
    changed = {row["name"].partition(" ")[0] for row in change["rows"]}
    assert NORM in changed
    assert "aten.addmm.default" not in {
        row["name"].partition(" ")[0] for row in change["rows"] if "float32" in row["name"]
    }
    assert all(row["own"] == row["differing"] for row in change["rows"])


def test_the_subject_of_a_script_follows_its_content(folder: Path) -> None:
    script = folder / "s.py"
    names = {Script(Workload(script=script, cwd=folder)).name for _ in range(2)}
    script.write_text(SCRIPT + "# edited\n")
    try:
        assert Script(Workload(script=script, cwd=folder)).name not in names
    finally:
        script.write_text(SCRIPT)


def test_a_device_is_an_axis_of_calls(capsule: Path, torch_env: TorchEnv, tmp_path: Path) -> None:
    """Measured in the environment itself: on a machine without a GPU, cuda is absent."""
    subject = capsule_subject([capsule])
    results = Results(tmp_path / "results")
    environment = torch_env(GOOD)
    found = {}
    for device in ("", "cpu", "cuda"):
        axis = {"device": device} if device else {}
        place = results.place(Installed(environment.lock, environment.release), axis)
        (answer,) = subject.measure(
            applied(environment, axis), place, tmp_path / f"control{device}"
        ).values()
        found[device] = answer
    assert found["cpu"].ran
    assert found["cpu"].digests == found[""].digests
    if has_nvidia_gpu():
        assert found["cuda"].ran
    else:
        assert found["cuda"].status == "no_such_device"
