"""Scripts that go wrong, each in a real process with a real torch."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from forkpoint.errors import ScriptFailed, StorageFull, WorkerCrashed, WorkerFailed, WorkerTimeout
from forkpoint.host import Job, JobResult, Watcher, Workload, run_job
from forkpoint.store import Recording
from tests.conftest import TorchEnv

pytestmark = pytest.mark.integration

PRELUDE = """
import ctypes, os, resource, signal, subprocess, sys, time
import torch
model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU())
for _ in range(3):
    model(torch.ones(2, 4))
print("three steps made", file=sys.stderr, flush=True)
"""


@pytest.fixture
def run(tmp_path: Path, torch_env: TorchEnv, monkeypatch: pytest.MonkeyPatch):
    """Run a script that makes three steps and then does what the test says."""
    monkeypatch.chdir(tmp_path)

    def run(body: str, *, prelude: str = PRELUDE, **keywords: object) -> JobResult:
        script = tmp_path / "script.py"
        script.write_text(prelude + body)
        job = Job(workload=Workload(script=script), recording=tmp_path / "rec")
        environment = torch_env("2.10.0")
        return run_job(environment, job, control=tmp_path / "logs", **keywords)

    return run


def steps_kept(result: JobResult) -> int:
    """How many steps can be read, of a recording that says that it is not complete."""
    assert result.recording is not None
    with Recording.open(result.recording) as recording:
        assert not recording.complete
        return len(recording.steps())


def gone(pid: int) -> bool:
    """Whether a process has ended, at the latest in a moment."""
    for _ in range(100):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except FileNotFoundError:
            return True
        if stat.rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


def shown(failure: WorkerFailed, tmp_path: Path, environment: str = "torch-2.10.0") -> str:
    """A failure as a user reads it, with the places of this run made constant."""
    text = f"{failure.message}\n--\n{failure.hint}"
    return text.replace(str(tmp_path), "TMP").replace(environment, "NAME")


def test_a_script_that_ends_well(run) -> None:
    result = run("")
    assert (result.status, result.exit_code, result.steps) == ("completed", 0, 3)
    assert result.failure is None
    assert result.fingerprint["torch.version"].startswith("2.10.0")
    assert result.raise_for_failure() is result


def test_a_script_that_raises(run, tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    result = run("raise ValueError('boom')\n")
    assert result.status == "raised"
    assert isinstance(result.failure, ScriptFailed)
    assert "forkpoint_worker" not in result.failure.message
    assert steps_kept(result) == 3
    assert shown(result.failure, tmp_path) == snapshot


def test_a_script_that_exits(run, tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    result = run("sys.exit(3)\n")
    assert (result.status, result.exit_code) == ("exited", 3)
    assert isinstance(result.failure, ScriptFailed)
    assert steps_kept(result) == 3
    assert shown(result.failure, tmp_path) == snapshot


def test_leaving_with_status_0_is_a_good_end(run) -> None:
    result = run("sys.exit(0)\n")
    assert result.failure is None
    assert result.exit_code == 0


def test_os_exit_leaves_no_answer(run, tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    result = run("os._exit(0)\n")
    assert result.status == "crashed"
    assert isinstance(result.failure, WorkerCrashed)
    assert steps_kept(result) == 3
    assert shown(result.failure, tmp_path) == snapshot


def test_a_segfault_says_where(run) -> None:
    result = run("ctypes.string_at(0)\n")
    assert result.status == "crashed"
    assert isinstance(result.failure, WorkerCrashed)
    message = result.failure.message
    assert "was killed by SIGSEGV; last event: step 2, " in message
    assert "string_at" in message
    assert "script.py" in message
    assert "three steps made" in message
    assert steps_kept(result) == 3


def test_sigkill_is_most_likely_memory(run, tmp_path: Path) -> None:
    result = run("os.kill(os.getpid(), signal.SIGKILL)\n")
    assert isinstance(result.failure, WorkerCrashed)
    assert "was killed by SIGKILL" in result.failure.message
    assert "ran out of memory" in result.failure.hint
    assert f"3 steps recorded until then are kept in {tmp_path / 'rec'}" in result.failure.hint
    assert steps_kept(result) == 3


def test_the_time_limit(run, tmp_path: Path) -> None:
    hang = "Path('pid').write_text(str(os.getpid()))\ntime.sleep(1000)\n"
    result = run(hang, prelude="import os, time\nfrom pathlib import Path\n", timeout=6)
    assert result.status == "timed_out"
    assert isinstance(result.failure, WorkerTimeout)
    assert "did not end within 6 seconds" in result.failure.message
    assert gone(int((tmp_path / "pid").read_text()))


def test_a_limit_on_file_sizes(run) -> None:
    limited = "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
    result = run(limited + "for _ in range(400):\n    model(torch.randn(64, 4))\n")
    assert isinstance(result.failure, StorageFull)
    assert "the disk took no more of the recording" in result.failure.message
    assert steps_kept(result) >= 3


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB; mounting one takes root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk(tmp_path: Path, torch_env: TorchEnv, small_disk: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(PRELUDE + "for _ in range(4000):\n    model(torch.randn(64, 4))\n")
    job = Job(workload=Workload(script=script), recording=small_disk / "rec", max_storage=10**9)
    result = run_job(torch_env("2.10.0"), job, control=small_disk / "logs")
    if result.failure is None:  # tensors were not kept, and the recording says so
        assert result.storage_full
    else:
        assert isinstance(result.failure, StorageFull)
        assert steps_kept(result) >= 3


def test_a_disk_that_is_full_before_the_start(
    tmp_path: Path, torch_env: TorchEnv, small_disk: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(PRELUDE)
    (small_disk / "filler").write_bytes(bytes(3 * 2**20 - 8192))
    job = Job(workload=Workload(script=script), recording=small_disk / "rec")
    with pytest.raises(StorageFull, match="no room is left there"):
        run_job(torch_env("2.10.0"), job, control=small_disk / "logs")
    assert not (small_disk / "rec").exists()


def test_children_do_not_outlive_the_script(run, tmp_path: Path) -> None:
    result = run(
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'])\n"
        "forked = os.fork()\n"
        "if not forked:\n"
        "    time.sleep(1000)\n"
        "open('pids', 'w').write(f'{child.pid} {forked}')\n"
    )
    assert result.status == "completed"
    assert all(gone(int(pid)) for pid in (tmp_path / "pids").read_text().split())


def test_a_forked_child_that_ends_first_takes_nothing_with_it(run) -> None:
    result = run(
        "forked = os.fork()\n"
        "if not forked:\n"
        "    sys.exit(5)\n"
        "os.waitpid(forked, 0)\n"
        "model(torch.ones(2, 4))\n"
    )
    assert (result.status, result.exit_code, result.steps) == ("completed", 0, 4)


def test_a_change_of_folder_moves_nothing(run, tmp_path: Path) -> None:
    result = run("os.chdir('/')\nmodel(torch.ones(2, 4))\n")
    assert result.steps == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logs", "rec", "script.py"]


def test_megabytes_of_output_are_kept_and_not_parsed(run) -> None:
    lines: list[str] = []
    text = "print('{\"status\": \"failed\"}')\nprint('x' * 100 + '\\n', end='') or None\n"
    body = text + "for _ in range(40_000):\n    print('y' * 100)\n"
    result = run(body, watcher=Watcher(line=lambda _stream, line: lines.append(line)))
    assert result.status == "completed"
    assert (result.logs / "stdout.log").stat().st_size > 4_000_000
    assert len(lines) > 40_000


def test_the_script_runs_as_python_runs_it(run, tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise RuntimeError('the cwd shadows the stdlib')\n")
    (tmp_path / "helper.py").write_text("HERE = True\n")
    result = run(
        "import helper\n"
        "assert __name__ == '__main__'\n"
        "assert sys.argv == [__file__]\n"
        "assert os.getcwd() == os.path.dirname(__file__)\n"
        "assert sys.stdin.read() == ''\n"
    )
    assert result.status == "completed", result.failure


def test_progress_is_told_while_the_script_runs(run) -> None:
    seen: list[int] = []
    body = "for _ in range(20):\n    model(torch.ones(2, 4))\n    time.sleep(0.1)\n"
    run(body, watcher=Watcher(event=lambda last: seen.append(last.step)))
    assert seen == sorted(seen)
    assert len(set(seen)) > 3
