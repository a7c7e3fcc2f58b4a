"""`forkpoint.process` against real programs that misbehave."""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from forkpoint import process


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-c", code]


def gone(pid: int, within: float = 10.0) -> bool:
    """Whether a process is dead (or a zombie that somebody else has yet to reap)."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_output_is_kept_and_handed_on_line_by_line(tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []
    done = process.run(
        python(
            "import sys; print('one'); print(); print('two', end=''); print('e', file=sys.stderr)"
        ),
        logs=tmp_path,
        listener=process.Listener(line=lambda stream, text: seen.append((stream, text))),
    )
    assert done.returncode == 0
    assert not done.timed_out
    assert not done.cut
    assert [text for stream, text in seen if stream == "stdout"] == ["one", "", "two"]
    assert [text for stream, text in seen if stream == "stderr"] == ["e"]
    assert done.stdout.read_text() == "one\n\ntwo"
    assert done.tail() == "e"


def test_lines_arrive_while_the_program_runs(tmp_path: Path) -> None:
    """The program waits for an answer to its first line, so a late line would never end it."""
    answer = tmp_path / "answer"
    code = (
        "import pathlib, time; print('ask', flush=True)\n"
        f"while not pathlib.Path({str(answer)!r}).exists(): time.sleep(0.01)"
    )
    done = process.run(
        python(code),
        logs=tmp_path,
        timeout=30,
        listener=process.Listener(line=lambda *_: answer.touch()),
    )
    assert not done.timed_out
    assert done.returncode == 0


def test_a_failing_program_is_a_value(tmp_path: Path) -> None:
    assert process.run(python("raise SystemExit(7)"), logs=tmp_path).returncode == 7
    killed = process.run(python("import os; os.kill(os.getpid(), 9)"), logs=tmp_path)
    assert killed.returncode == -signal.SIGKILL


def test_a_missing_program_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        process.run([str(tmp_path / "nothing")], logs=tmp_path / "logs")


def test_the_time_limit_ends_a_program_that_ignores_sigterm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "KILL_AFTER", 0.3)
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('ready', flush=True); time.sleep(600)"
    )
    done = process.run(python(code), logs=tmp_path, timeout=1.0)
    assert done.timed_out
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.read_text() == "ready\n"


def test_the_time_limit_leaves_time_to_write_a_result(tmp_path: Path) -> None:
    code = (
        "import signal, sys, time\n"
        "def end(*_): print('result'); sys.exit(3)\n"
        "signal.signal(signal.SIGTERM, end); time.sleep(600)"
    )
    done = process.run(python(code), logs=tmp_path, timeout=1.0)
    assert (done.timed_out, done.returncode, done.stdout.read_text()) == (True, 3, "result\n")


SPAWN = (
    "import subprocess, sys\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']{more})\n"
    "print(child.pid, flush=True)\n"
)


def test_grandchildren_die_with_the_leader(tmp_path: Path) -> None:
    done = process.run(python(SPAWN.format(more="")), logs=tmp_path, timeout=60)
    assert not done.timed_out
    assert gone(int(done.stdout.read_text()))


def test_a_grandchild_in_its_own_session_holds_nobody_up(tmp_path: Path) -> None:
    """It left the group with the pipe open: it is not ours to kill, nor to wait for."""
    done = process.run(
        python(SPAWN.format(more=", start_new_session=True")), logs=tmp_path, timeout=60
    )
    pid = int(done.stdout.read_text())
    try:
        assert not done.timed_out
        assert done.returncode == 0
        os.kill(pid, 0)  # it was still there when `run` came back
    finally:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("newline", [True, False])
def test_100_megabytes_of_output_stay_out_of_memory(tmp_path: Path, newline: bool) -> None:
    size = 100 * 1024 * 1024
    row = f"('x' * 1023 + {chr(10) if newline else 'x'!r})"
    code = f"import sys\nfor _ in range(100): sys.stdout.write({row} * 1024)"
    longest = 0
    total = 0

    def line(_: str, text: str) -> None:
        nonlocal longest, total
        longest = max(longest, len(text))
        total += len(text)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = process.run(python(code), logs=tmp_path, listener=process.Listener(line=line))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert done.stdout.stat().st_size == size
    assert total == (size // 1024 * 1023 if newline else size)
    assert longest <= 64 * 1024
    assert grown < 50 * 1024  # KiB


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_cuts_the_log_and_not_the_program(tmp_path: Path) -> None:
    (tmp_path / "stdout.log").symlink_to("/dev/full")
    lines = 0

    def line(*_: str) -> None:
        nonlocal lines
        lines += 1

    code = "import sys\nfor _ in range(100_000): print('x' * 50)\nprint('end', file=sys.stderr)"
    done = process.run(
        python(code), logs=tmp_path, timeout=60, listener=process.Listener(line=line)
    )
    assert done.returncode == 0
    assert done.cut
    assert lines == 100_001
    assert done.tail() == "end"


class StopError(Exception):
    pass


def test_an_error_in_the_line_callback_ends_the_program(tmp_path: Path) -> None:
    def line(_: str, text: str) -> None:
        raise StopError(text)

    code = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    with pytest.raises(StopError) as caught:
        process.run(python(code), logs=tmp_path, listener=process.Listener(line=line))
    assert gone(int(str(caught.value)))


def test_an_error_in_the_tick_callback_ends_the_program(tmp_path: Path) -> None:
    pids: list[int] = []

    def tick() -> None:
        if pids:
            raise StopError

    code = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    with pytest.raises(StopError):
        process.run(
            python(code),
            logs=tmp_path,
            listener=process.Listener(line=lambda _, text: pids.append(int(text)), tick=tick),
        )
    assert gone(pids[0])


def test_ctrl_c_kills_the_group_and_goes_on(tmp_path: Path) -> None:
    pids: list[int] = []

    def line(_: str, text: str) -> None:
        pids.append(int(text))
        os.kill(os.getpid(), signal.SIGINT)

    code = SPAWN.format(more="") + "import time; time.sleep(600)"
    assert threading.current_thread() is threading.main_thread()
    with pytest.raises(KeyboardInterrupt):
        process.run(python(code), logs=tmp_path, listener=process.Listener(line=line))
    assert gone(pids[0])


def test_the_environment_and_folder_are_the_ones_given(tmp_path: Path) -> None:
    done = process.run(
        python("import os; print(os.getcwd(), dict(os.environ).get('A'), 'HOME' in os.environ)"),
        logs=tmp_path / "logs",
        env={"A": "1"},
        cwd=tmp_path,
    )
    assert done.stdout.read_text().split() == [str(tmp_path.resolve()), "1", "False"]
