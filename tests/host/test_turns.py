"""Two runs of which the second reads what the first recorded, one after the other or at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from forkpoint.host import Job, JobResult, Workload, in_turn, run_job
from forkpoint.store import Recording
from tests.conftest import TorchEnv

pytestmark = pytest.mark.integration

SCRIPT = """
import pathlib, sys, time, torch
side, other = sys.argv[1:3]
pathlib.Path(side).touch()
while other != "-" and not pathlib.Path(other).exists():
    time.sleep(0.01)  # not before the other side is here, too: then both run at once
model = torch.nn.Linear(4, 4)
torch.manual_seed(0)
torch.nn.init.ones_(model.weight)
if sys.argv[3:] == ["fail"]:
    raise ValueError("boom")
model(torch.ones(2, 4) if side == "one" else torch.full((2, 4), 1.5))
pathlib.Path(side + "-ended").touch()
"""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    return Job(workload=Workload(script=script), max_storage=10**6)


def both(
    job: Job, torch_env: TorchEnv, *words: str, at_once: bool
) -> tuple[JobResult, JobResult | None]:
    """The script as ``one``, which keeps its output, and as ``two``, which measures with it."""
    environment = torch_env("2.10.0")
    assert job.workload is not None
    folders = Path("one-rec"), Path("two-rec")

    def side(name: str, other: str, change: Job, *more: str) -> JobResult:
        assert change.workload is not None
        argv = (name, other if at_once else "-", *more)
        asked = replace(change, workload=replace(change.workload, argv=argv))
        return run_job(environment, asked, control=Path(f"{name}-logs"))

    first = replace(job, recording=folders[0])
    second = replace(job, recording=folders[1], reference=folders[0])
    return in_turn(
        lambda: side("one", "two", first, *words),
        lambda gate: side("two", "one", replace(second, gate=gate)),
        at_once=at_once,
    )


def measured(folder: Path) -> bool:
    with Recording.open(folder) as recording:
        roots = recording.root_values()
        return all(recording.metric(event, value.slot) for event in roots for value in roots[event])


@pytest.mark.parametrize("at_once", [False, True])
def test_the_second_measures_with_what_the_first_kept(
    job: Job, torch_env: TorchEnv, at_once: bool
) -> None:
    one, two = both(job, torch_env, at_once=at_once)
    assert two is not None
    assert (one.status, two.status) == ("completed", "completed")
    assert measured(Path("two-rec"))


@pytest.mark.parametrize("at_once", [False, True])
def test_where_the_first_fails_the_second_makes_no_step(
    job: Job, torch_env: TorchEnv, at_once: bool
) -> None:
    one, two = both(job, torch_env, "fail", at_once=at_once)
    assert one.status == "raised"
    assert two is None
    assert Path("two").exists() is at_once
    assert not Path("two-ended").exists()
