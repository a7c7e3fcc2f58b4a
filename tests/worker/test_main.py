"""The worker as a process: the protocol's statuses, and the script as plain Python runs it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from forkpoint_worker import BOOT
from tests.worker.conftest import SOURCES, WorkerEnv

pytestmark = pytest.mark.integration

STEPS = """
import os, signal, sys, threading, time
import torch
model = torch.nn.Linear(4, 4)
def steps(count):
    for _ in range(count):
        model(torch.ones(2, 4))
"""
SCRIPTS = {
    "completed": "steps(2)\nprint('said')",
    "exit 0": "steps(1)\nsys.exit(0)",
    "exit 3": "steps(1)\nsys.exit(3)",
    "exit text": "steps(1)\nsys.exit('bad words')",
    "raised": "steps(1)\ndef deep():\n    raise KeyError('gone')\ndeep()",
    "stopped": "try:\n    steps(9)\nfinally:\n    print('cleaned')",
    "interrupted": "steps(1)\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)",
    "terminated": "steps(1)\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(60)",
    "killed": (
        "steps(5)\nclass Dies(torch.nn.Module):\n"
        "    def forward(self, x):\n        model(x)\n        os.kill(os.getpid(), 9)\n"
        "Dies()(torch.ones(2, 4))"
    ),
    "forked": "steps(1)\nif os.fork() == 0:\n    steps(1)\n    sys.exit(5)\nos.wait()\nsteps(1)",
}


@dataclass(frozen=True)
class Ended:
    """A worker's end: its exit status, its answer if it gave one, its folder and its output."""

    status: int
    result: dict[str, Any] | None
    folder: Path
    out: str
    err: str

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of the recording's index, as a reader would open it."""
        path = self.folder / "rec" / "index.sqlite"
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            found = db.execute(sql).fetchall()
        db.close()
        return found

    def manifest(self) -> dict[str, Any]:
        return json.loads((self.folder / "rec" / "manifest.json").read_text())


def work(python: Path, folder: Path, *, cwd: Path | None = None, **job: Any) -> Ended:
    """Start a worker as the host does, and wait for its end."""
    control = folder / "control"
    shutil.copytree(SOURCES / "forkpoint_worker", control / "inject" / "forkpoint_worker")
    document = {"protocol": 1, "kind": "record", "recording": str(folder / "rec"), **job}
    (control / "job.json").write_text(json.dumps(document))
    argv = [python, "-I", "-c", BOOT, control / "inject", control]
    ended = subprocess.run(argv, cwd=cwd or folder, capture_output=True, text=True, check=False)
    answer = control / "result.json"
    result = json.loads(answer.read_text()) if answer.exists() else None
    return Ended(ended.returncode, result, folder, ended.stdout, ended.stderr)


@pytest.fixture(scope="module")
def ended(
    worker_env: WorkerEnv, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Ended]:
    """How each of `SCRIPTS` ended in the oldest environment; they run side by side."""
    python = worker_env("oldest").python
    root = tmp_path_factory.mktemp("scripts")

    def run(name: str) -> Ended:
        folder = root / name
        folder.mkdir()
        script = folder / "script.py"
        script.write_text(STEPS + SCRIPTS[name])
        more = {"stop_after": 3} if name == "stopped" else {}
        return work(python, folder, script=str(script), **more)

    with ThreadPoolExecutor(3) as pool:
        found = dict(zip(SCRIPTS, pool.map(run, SCRIPTS), strict=True))
    return found.__getitem__


@pytest.mark.parametrize(
    ("script", "status", "code", "steps"),
    [
        ("completed", "completed", 0, 2),
        ("exit 0", "completed", 0, 1),
        ("exit 3", "exited", 3, 1),
        ("exit text", "exited", 1, 1),
        ("raised", "raised", 1, 1),
        ("stopped", "stopped", 0, 3),
        ("interrupted", "interrupted", 130, 1),
        ("terminated", "interrupted", 130, 1),
        ("forked", "completed", 0, 2),
    ],
)
def test_statuses(
    script: str, status: str, code: int, steps: int, ended: Callable[[str], Ended]
) -> None:
    end = ended(script)
    assert end.result is not None, end.err
    seen = (end.result["status"], end.result["exit_code"], end.status, end.result["steps"])
    assert seen == (status, code, code, steps)
    assert end.result["protocol"] == 1
    assert end.result["peak_rss"] > 10 << 20
    assert end.result["fingerprint"]["torch.version"].startswith("2.0.1")
    manifest = end.manifest()
    assert manifest["status"] == status
    assert manifest["complete"] == (status in ("completed", "stopped"))
    assert len(end.rows("SELECT * FROM step")) == steps
    assert (end.result["error"] is None) == (status != "raised")


def test_output_is_the_scripts(ended: Callable[[str], Ended]) -> None:
    assert ended("completed").out == "said\n"
    # a script that has shown enough is left where it is: nothing of it runs that has not run yet
    assert ended("stopped").out == ""
    assert "bad words" in ended("exit text").err


def test_an_exception_is_described_by_the_scripts_own_frames(
    ended: Callable[[str], Ended],
) -> None:
    error = ended("raised").result["error"]
    assert (error["type"], error["message"]) == ("KeyError", "'gone'")
    assert "in deep" in error["traceback"]
    assert "forkpoint_worker" not in error["traceback"]
    assert "runpy" not in error["traceback"]


def test_what_was_committed_survives_sigkill(ended: Callable[[str], Ended]) -> None:
    end = ended("killed")
    assert (end.status, end.result) == (-signal.SIGKILL, None)
    # five whole steps, and the one that was under way
    assert [row[0] for row in end.rows("SELECT state FROM step ORDER BY id")] == [1] * 5 + [0]
    assert end.manifest()["complete"] is False
    last = (end.folder / "control" / "last_event").read_bytes().partition(b"\0")[0].decode()
    assert last.split("\t")[0] == "5"


def test_a_fork_that_ends_first_takes_nothing_with_it(ended: Callable[[str], Ended]) -> None:
    rows = ended("forked").rows("SELECT kind, detail FROM uncovered")
    assert ("child process", "fork") in rows


def test_another_protocol_is_refused(worker_env: WorkerEnv, tmp_path: Path) -> None:
    end = work(worker_env("oldest").python, tmp_path, script="x.py", protocol=2)
    assert end.status == 70
    assert end.result["status"] == "failed"
    assert "protocol 1" in end.result["error"]["message"]


LOOK = """
import json, os, sys, __main__
print(repr({
    "argv": sys.argv, "file": __file__, "name": __name__, "package": __package__,
    "main": __main__.__file__, "spec": __spec__ and __spec__.name, "doc": __doc__,
    "path": sys.path, "cwd": os.getcwd(), "json": json.__file__,
    "main is ours": sys.modules["__main__"].__dict__ is globals(),
    "csv": __import__("csv").__file__, "folder": __import__("mine").__file__,
}))
if "WITHOUT_TORCH" not in os.environ:
    import torch
    torch.nn.Linear(2, 2)(torch.ones(1, 2))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a script, a package, and modules that shadow the standard library's."""
    for name in ("app", "lib", "app/inner"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "app" / "look.py").write_text(LOOK)
    (tmp_path / "app" / "inner" / "look.py").write_text(LOOK)
    for place in (tmp_path, tmp_path / "app"):
        (place / "json.py").touch()
        (place / "mine.py").touch()
    (tmp_path / "lib" / "mine.py").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("environment", "as_module"),
    [("oldest", False), ("oldest", True), ("newest", False)],
    ids=["script-oldest", "module-oldest", "script-newest"],
)
def test_the_script_sees_what_plain_python_shows(
    environment: str, as_module: bool, worker_env: WorkerEnv, folder: Path, tmp_path: Path
) -> None:
    python = worker_env(environment).python
    script = folder / "app" / "look.py"
    words = ["-m", "app.inner.look"] if as_module else [str(script)]
    lib = str(folder / "lib")
    plain = subprocess.run(
        [python, *words, "--flag", "a b"], cwd=folder, capture_output=True, text=True,
        check=False, env={**os.environ, "PYTHONPATH": lib, "WITHOUT_TORCH": "1"},
    )  # fmt: skip
    assert plain.returncode == 0, plain.stderr
    job = {"module": "app.inner.look"} if as_module else {"script": str(script)}
    end = work(
        python, folder, level="module", argv=["--flag", "a b"], sys_path=[lib],
        recording=str(folder / "rec"), **job,
    )  # fmt: skip
    assert end.result["status"] == "completed", end.err
    assert end.result["steps"] == 1
    expected, seen = (eval(text) for text in (plain.stdout, end.out))
    assert seen == expected
