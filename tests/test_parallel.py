"""Programs run side by side: the first error, or Ctrl-C, ends them all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from forkpoint.process import Background, in_parallel, run
from tests.support.cli import SOURCES


def sleeper(folder: Path) -> int:
    """Run a program that writes its process id and then sleeps for long."""
    code = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(1000)"
    folder.mkdir()
    return run([sys.executable, "-c", code], logs=folder, cwd=folder).returncode


def wait_for(path: Path) -> int:
    deadline = time.monotonic() + 60
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, f"{path} was never written"
        time.sleep(0.02)
    return int(path.read_text())


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_results_come_in_order() -> None:
    assert in_parallel([partial(pow, 2, n) for n in range(5)]) == [1, 2, 4, 8, 16]
    assert in_parallel([]) == []


def test_the_first_error_ends_the_others_programs(tmp_path: Path) -> None:
    def fail() -> int:
        wait_for(tmp_path / "one" / "pid")
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        in_parallel([partial(sleeper, tmp_path / "one"), fail])
    assert not alive(wait_for(tmp_path / "one" / "pid"))


def test_ctrl_c_ends_all(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path[:0] = [{str(SOURCES)!r}, {str(Path(__file__).parents[1])!r}]\n"
        "from pathlib import Path; from functools import partial\n"
        "from forkpoint.process import in_parallel; from tests.test_parallel import sleeper\n"
        "in_parallel([partial(sleeper, Path('one')), partial(sleeper, Path('two'))])\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE
    ) as child:
        pids = [wait_for(tmp_path / name / "pid") for name in ("one", "two")]
        child.send_signal(signal.SIGINT)
        _, err = child.communicate()
    assert b"KeyboardInterrupt" in err
    assert not any(map(alive, pids))


def test_a_task_in_the_background_returns_or_raises_when_asked() -> None:
    assert Background(partial(pow, 2, 5)).result() == 32
    failing = Background(partial(int, "x"))
    with pytest.raises(ValueError, match="invalid literal"):
        failing.result()
    assert failing.ended


def test_ending_a_task_in_the_background_ends_its_programs(tmp_path: Path) -> None:
    task = Background(partial(sleeper, tmp_path / "one"))
    pid = wait_for(tmp_path / "one" / "pid")
    assert not task.ended
    task.end()
    assert task.ended
    assert not alive(pid)


def test_a_task_in_the_background_may_take_its_time_to_end(tmp_path: Path) -> None:
    task = Background(partial(run, [sys.executable, "-c", "print(1)"], logs=tmp_path))
    task.end(patience=60)
    assert task.result().returncode == 0
