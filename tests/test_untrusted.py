"""Files of unknown origin are opened at once or refused by name."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import ITIMER_REAL, SIGALRM, setitimer, signal
from typing import Any

import msgspec
import pytest

from forkpoint.errors import RecordingError, UsageError
from forkpoint.untrusted import open_file, read_file, read_json


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    def too_long(*_: object) -> None:
        raise TimeoutError("it blocks")

    before = signal(SIGALRM, too_long)
    setitimer(ITIMER_REAL, seconds)
    try:
        yield
    finally:
        setitimer(ITIMER_REAL, 0)
        signal(SIGALRM, before)


def test_a_regular_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"abc" * 1000)
    assert read_file(path, most=3000) == b"abc" * 1000


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "capsule.json")
    with at_most(5), pytest.raises(RecordingError, match=r"capsule\.json is a pipe"):
        read_file(tmp_path / "capsule.json", most=10, refusal=RecordingError)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/tty", "/dev/null"])
def test_a_link_to_a_device_is_refused(tmp_path: Path, device: str) -> None:
    (tmp_path / "m").symlink_to(device)
    with at_most(5), pytest.raises(UsageError, match="/m is a link"):
        read_file(tmp_path / "m", most=1 << 20)
    with at_most(5), pytest.raises(UsageError, match=r"/m (is a|cannot be read)"):
        read_file(tmp_path / "m", most=1 << 20, named=True)


def test_a_socket_and_a_folder_are_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "s"))
        with pytest.raises(UsageError, match="is a socket"):
            read_file(tmp_path / "s", most=10)
    with pytest.raises(UsageError, match="is a folder"):
        open_file(tmp_path)


def test_a_file_with_no_end_and_no_size_is_refused() -> None:
    with at_most(20), pytest.raises(UsageError, match=r"too large|cannot be read"):
        read_file(Path("/proc/self/pagemap"), most=1000)


def test_more_bytes_than_allowed_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(UsageError, match="more than 1,000 bytes"):
        read_file(path, most=1000)


def test_links_are_followed_where_the_user_named_the_file(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("1")
    (tmp_path / "link").symlink_to("real")
    assert read_file(tmp_path / "link", most=9, named=True) == b"1"
    with pytest.raises(UsageError, match="is a link"):
        read_file(tmp_path / "link", most=9)


def test_links_inside_of_a_folder_are_followed_and_none_out_of_it(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "deep").mkdir(parents=True)
    (root / "real").write_text("1")
    (root / "deep" / "in").symlink_to("../real")
    (tmp_path / "secret").write_text("2")
    (root / "out").symlink_to("../secret")
    (root / "folder").symlink_to(tmp_path)
    (root / "round").symlink_to("round")
    assert read_file(root / "deep" / "in", most=9, inside=root) == b"1"
    for name in ("out", "folder/secret"):
        with pytest.raises(UsageError, match="leads out of"):
            read_file(root / name, most=9, inside=root)
    with pytest.raises((UsageError, OSError)):
        read_file(root / "round", most=9, inside=root)


def test_what_is_not_there_is_a_plain_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_file(tmp_path / "none")


def test_descriptors_are_closed_after_a_refusal(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        with pytest.raises(UsageError):
            open_file(tmp_path / "p")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    "text",
    [b"[" * 100_000, b'{"format": 1', b"\xff", b'{"format": ' + b"9" * 5000 + b"}", b"", b"1e999"],
)
def test_json_that_is_none_names_its_file(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "m.json"
    path.write_bytes(text)
    with pytest.raises(RecordingError, match=r"m\.json cannot be read"):
        read_json(path, dict[str, Any], most=1 << 20, refusal=RecordingError)


def test_json_of_another_shape_says_where(tmp_path: Path) -> None:
    class Wanted(msgspec.Struct):
        number: int

    path = tmp_path / "m.json"
    path.write_text('{"number": "x"}')
    with pytest.raises(UsageError, match=r"\$\.number"):
        read_json(path, Wanted, most=100)
