"""``forkpoint audit`` on a real torch: planted dependences are found, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import TorchEnv
from tests.support.cli import forkpoint_cli

SCRIPT = """
import sys, torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(10, 4)
        self.scale = Scale()
    def forward(self, ids, mask=None):
        return self.scale(self.table(ids) * mask.unsqueeze(-1))
class Scale(torch.nn.Module):
    def __init__(self):
        super().__init__()
        half = torch.randn(1 << 18)
        self.many = torch.cat([half, -half])  # a thread each: exactly 0; on one thread it rounds
    def forward(self, x):
        what = {"batch": x.shape[0], "padding": x.shape[1], "count": torch.get_num_threads()}
        x = x * 1.5
        if sys.argv[1] == "threads":
            return x + self.many.sum()  # each thread sums a part
        return x + what.get(sys.argv[1], 0)
torch.manual_seed(1)
net = Net().eval()
with torch.no_grad():
    for length in (5, 6, 5):
        ids = torch.randint(0, 10, (4, length))
        print("sum", net(ids, mask=torch.ones_like(ids)).sum().item())
"""

OPS = {
    "batch": ["aten.add.Tensor"],
    "padding": ["aten.add.Tensor"],
    "threads": ["aten.sum.default"],
    "nothing": [],
}


@pytest.fixture
def run(tmp_path: Path, torch_env: TorchEnv):
    (tmp_path / "net.py").write_text(SCRIPT)
    environment = f"python={torch_env('2.10.0').python}"

    def run(what: str, *words: str):
        return forkpoint_cli(
            "audit", "--env", environment, *words, "net.py", "--", what, cwd=tmp_path
        )

    return run


@pytest.mark.integration
@pytest.mark.parametrize("planted", OPS)
def test_what_was_planted_fails_and_nothing_else(planted: str, run) -> None:
    ended = run(planted, "--format", "json", "--promise", "run,position")
    assert ended.status == 0, ended.err
    found = json.loads(ended.out)
    assert {one["property"]: one["verdict"] for one in found["properties"]} == {
        name: "fails" if name == planted else "holds"
        for name in ("batch", "position", "padding", "threads", "run")
    }
    assert [one["op"] for one in found["ops"]] == OPS[planted]
    assert all(one["modules"] == ["scale"] for one in found["ops"])
    assert {one["step"] for one in found["trials"]} == {0, 1}
    assert "the same bits in all 3 steps" in " ".join(found["notes"])


@pytest.mark.integration
def test_a_broken_promise_is_status_1(run, tmp_path: Path) -> None:
    ended = run("batch", "--promise", "batch", "--only", "batch", "--html", "page.html", "-q")
    assert ended.status == 1
    assert "aten::add.Tensor in scale" in ended.out
    assert "aten::add.Tensor in scale" in (tmp_path / "page.html").read_text()


@pytest.mark.integration
def test_fresh_processes_alone(run) -> None:
    ended = run("threads", "--only", "threads,run", "--format", "json", "-q")
    found = json.loads(ended.out)
    verdicts = [one["verdict"] for one in found["properties"]]
    assert verdicts == ["not_tried", "not_tried", "not_tried", "fails", "holds"]
    assert [one["op"] for one in found["ops"]] == ["aten.sum.default"]


@pytest.mark.integration
def test_an_op_that_is_given_the_number_of_threads_is_not_named(run) -> None:
    """It gives the same bits for the same arguments on any number of threads: no cause."""
    found = json.loads(run("count", "--only", "threads,run", "--format", "json", "-q").out)
    verdicts = [one["verdict"] for one in found["properties"]]
    assert verdicts == ["not_tried", "not_tried", "not_tried", "fails", "holds"]
    assert found["ops"] == []


@pytest.mark.integration
def test_a_promise_that_cannot_be_tried_is_status_2(run) -> None:
    ended = run("nothing", "--promise", "batch", "--only", "batch", "--batch", "9", "-q")
    assert ended.status == 2
    assert "no smaller one" in ended.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--promise", "speed"], "no property 'speed'"),
        (["--batch", "two"], "'two' is no number"),
        (["--batch", "1.5"], "whole numbers"),
        (["--threads", "0"], "1 or more"),
        (["--pad", "mask=x"], "'x' is no number"),
    ],
)
def test_wrong_words_are_explained(words: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(SCRIPT)
    ended = forkpoint_cli("audit", "--env", "torch==2.10.0", *words, "net.py", cwd=tmp_path)
    assert ended.status == 2
    assert said in ended.err
    assert not (tmp_path / "forkpoint-results").exists()
