"""Whole runs of the command line, with the real uv, torch and signals."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from forkpoint.store import Recording
from tests.conftest import TorchEnv
from tests.support.cli import forkpoint_cli, started_cli

pytestmark = pytest.mark.integration

HANGS = """
import os, time, torch
from pathlib import Path
net = torch.nn.Linear(4, 4)
net(torch.ones(2, 4))
net(torch.ones(2, 4))
child = os.fork()
if not child:
    time.sleep(1000)
Path("pids").write_text(f"{os.getpid()} {child}")
time.sleep(1000)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(
        "import sys, torch\n"
        "net = torch.nn.Linear(4, 4, bias=False)\n"
        "torch.nn.init.ones_(net.weight)\n"
        "for step in range(int(sys.argv[1]) if sys.argv[1:] else 2):\n"
        "    print('step', step)\n"
        "    net(torch.full((2, 4), float(step)))\n"
    )
    return tmp_path


def env(torch_env: TorchEnv) -> str:
    return f"python={torch_env('2.10.0').python}"


def running(pid: str) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def wait_for(path: Path, child: subprocess.Popen[bytes]) -> None:
    while not (path.exists() and path.read_text()):
        assert child.poll() is None, child.communicate()
        time.sleep(0.05)


def test_record_then_diff(folder: Path, torch_env: TorchEnv) -> None:
    for name in ("rec-a", "rec-b"):
        words = ["record", "--env", env(torch_env), "--out", name, "net.py", "--", "3"]
        ended = forkpoint_cli(*words, cwd=folder)
        assert (ended.status, ended.out) == (0, f"{name}\n"), ended
        assert f"{name} │ step 2" in ended.err
        assert "3 steps recorded" in ended.err
    ended = forkpoint_cli("diff", "rec-a", "rec-b", cwd=folder)
    assert ended.status == 0
    assert ended.out.startswith("identical")


def test_compare_prints_the_result_alone(folder: Path, torch_env: TorchEnv) -> None:
    words = ["compare", "--env", f"a={env(torch_env)}", "--env", f"b={env(torch_env)}"]
    words += ["--format", "json", "--out", "out", "--html", "out.html", "net.py"]
    ended = forkpoint_cli(*words, cwd=folder)
    found = json.loads(ended.out)
    assert (found["verdict"], ended.status) == ("identical", 0)
    assert found["reproduce"].endswith("net.py")
    assert "--out" not in found["reproduce"]
    assert (folder / "out.html").exists()
    assert json.loads((folder / "out" / "comparison.json").read_text()) == found
    again = forkpoint_cli("report", "out", "--format", "json", cwd=folder)
    assert json.loads(again.out) == found


def test_a_module_is_run_as_python_does(folder: Path, torch_env: TorchEnv) -> None:
    words = ["record", "--env", env(torch_env), "--out", "rec", "-q", "-m", "net", "--", "1"]
    ended = forkpoint_cli(*words, cwd=folder)
    assert (ended.status, ended.out, ended.err) == (0, "rec\n", "")


def test_much_output_is_cut_on_the_screen_and_kept_in_the_log(
    folder: Path, torch_env: TorchEnv
) -> None:
    text = (folder / "net.py").read_text()
    (folder / "net.py").write_text(text + "for i in range(1000): print('line', i, '\\x1b[2J')\n")
    ended = forkpoint_cli("record", "--env", env(torch_env), "--out", "rec", "net.py", cwd=folder)
    shown = [line for line in ended.err.splitlines() if line.startswith("rec │ ")]
    assert len(shown) == 201
    assert shown[-1] == f"rec │ (more output: {folder / 'rec.logs' / 'stdout.log'})"
    assert "\x1b" not in ended.err
    assert "line 999" in (folder / "rec.logs" / "stdout.log").read_text()


def test_no_step_at_all(folder: Path, torch_env: TorchEnv) -> None:
    (folder / "net.py").write_text("import torch\n")
    ended = forkpoint_cli("record", "--env", env(torch_env), "--out", "rec", "net.py", cwd=folder)
    assert (ended.status, ended.out) == (2, "")
    assert "no step was seen" in ended.err


def test_a_failed_script_is_inconclusive(folder: Path, torch_env: TorchEnv) -> None:
    (folder / "net.py").write_text((folder / "net.py").read_text() + "raise SystemExit(3)\n")
    words = ["compare", "--env", f"a={env(torch_env)}", "--env", f"b={env(torch_env)}"]
    ended = forkpoint_cli(*words, "--out", "out", "--format", "json", "net.py", cwd=folder)
    assert (json.loads(ended.out)["verdict"], ended.status) == ("incomplete", 2)
    assert "a and b alike: the script ended itself with exit status 3" in ended.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_all_and_keeps_what_there_is(
    folder: Path, torch_env: TorchEnv, number: signal.Signals
) -> None:
    (folder / "net.py").write_text(HANGS)
    words = ["record", "--env", env(torch_env), "--out", "rec", "net.py"]
    with started_cli(*words, cwd=folder) as child:
        wait_for(folder / "pids", child)
        child.send_signal(number)
        out, err = child.communicate()
    assert (child.returncode, out) == (2, b"")
    assert "Error: Stopped." in err.decode()
    assert "2 steps recorded until then are kept in" in err.decode()
    assert "Traceback" not in err.decode()
    assert not any(running(pid) for pid in (folder / "pids").read_text().split())
    with Recording.open(folder / "rec") as recording:
        assert len(recording.steps()) == 2
        assert not recording.complete
    assert not list(folder.glob(".rec.*"))


def test_ctrl_c_with_both_environments_at_once(folder: Path, torch_env: TorchEnv) -> None:
    (folder / "net.py").write_text(HANGS.replace('"pids"', 'os.environ["NAME"]'))
    words = ["compare", "--jobs", 2, "--out", "out"]
    for name in "ab":
        words += ["--env", f"{name}={env(torch_env)} NAME={name}"]
    with started_cli(*words, "net.py", cwd=folder) as child:
        for name in "ab":
            wait_for(folder / name, child)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate()
    assert child.returncode == 2
    assert "Traceback" not in err.decode()
    pids = [pid for name in "ab" for pid in (folder / name).read_text().split()]
    assert not any(running(pid) for pid in pids)


def test_an_impossible_requirement_gives_uvs_reason(folder: Path) -> None:
    words = ["record", "--env", "torch==99.0", "--out", "rec", "net.py"]
    ended = forkpoint_cli(*words, cwd=folder)
    assert (ended.status, ended.out) == (2, "")
    assert "torch==99.0" in ended.err
    assert "Traceback" not in ended.err
    assert not (folder / "rec").exists()
