"""Folders with awkward entries: each is named, none stops the rest, and nothing waits."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from rich.console import Console

from forkpoint.api import diff_artifacts
from forkpoint.artifacts import Context, compare_trees
from forkpoint.artifacts.comparer import File, Refused
from forkpoint.artifacts.tree import _Comparison
from forkpoint.artifacts.walk import Bad, entries
from forkpoint.compare import PRESETS
from forkpoint.model import Artifact, Verdict
from forkpoint.report import render_artifacts, write_artifacts_html

CONTEXT = Context(tolerance=PRESETS["torch"])
Sides = tuple[Path, Path]


@pytest.fixture
def sides(tmp_path: Path) -> Iterator[Sides]:
    found = tmp_path / "a", tmp_path / "b"
    for side in found:
        side.mkdir()
        (side / "fine.txt").write_text("fine")
    yield found
    # not by pytest, whose own removal gives up on folders that lie very deep
    subprocess.run(["rm", "-rf", *found], check=True)


def compared(sides: Sides) -> dict[str, Artifact]:
    found = {one.path: one for one in compare_trees(*sides, CONTEXT)}
    assert found.pop("fine.txt").verdict is Verdict.IDENTICAL
    return found


def chain(folder: Path, name: str, depth: int) -> int:
    """Make folders inside one another; a descriptor of the innermost one."""
    at = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=at)
        below = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    return at


def put(folder: int, name: str, text: bytes) -> None:
    file = os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=folder)
    os.write(file, text)
    os.close(file)
    os.close(folder)


def test_pipes_and_sockets_are_not_read(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    for side in sides:
        os.mkfifo(side / "pipe")
        monkeypatch.chdir(side)  # a socket's path must be short
        with socket.socket(socket.AF_UNIX) as one:
            one.bind("socket")
    (sides[0] / "device").symlink_to("/dev/zero")
    found = compared(sides)
    assert found.keys() == {"pipe", "socket", "device"}
    assert all(one.verdict is Verdict.NOT_COMPARABLE for one in found.values())
    assert "pipe, socket or device" in found["pipe"].summary
    assert "leads out of the folder" in found["device"].summary


def test_a_file_that_became_a_pipe_is_not_waited_for(sides: Sides) -> None:
    """As `open` on a pipe waits for a writer, a hang here is the failure."""
    listed = entries(sides[0])["fine.txt"]
    assert isinstance(listed, File)
    listed.path.unlink()
    os.mkfifo(listed.path)
    with pytest.raises(OSError, match="no regular file"):
        listed.open()


def test_a_file_that_became_a_link_is_not_followed(sides: Sides, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    listed = entries(sides[0])["fine.txt"]
    assert isinstance(listed, File)
    listed.path.unlink()
    listed.path.symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic links"):
        listed.open()


@pytest.mark.parametrize("text", ["fine and more", "fi"])
def test_a_file_that_is_written_to_meanwhile_is_refused(sides: Sides, text: str) -> None:
    listed = entries(sides[0])["fine.txt"]
    assert isinstance(listed, File)
    listed.path.write_text(text)
    with pytest.raises(Refused, match="written to while it was read"):
        listed.read()


@pytest.mark.parametrize("name", ["x.txt", "x.json", "x.jsonl", "x.csv", "x.run", "x.pt", "x.npy"])
def test_a_file_that_vanished_is_named(sides: Sides, name: str) -> None:
    for number, side in enumerate(sides):
        (side / name).write_bytes(b"\x80\x02" if name == "x.pt" else b"[%d]" % number)
    one, two = entries(sides[0]), entries(sides[1])
    (sides[0] / name).unlink()
    unpack = nullcontext  # of no use here: nothing is left to unpack
    found = {a.path: a for a in _Comparison(CONTEXT, unpack).compare(one, two)}
    assert found["fine.txt"].verdict is Verdict.IDENTICAL
    assert found[name].verdict is Verdict.NOT_COMPARABLE
    assert found[name].summary == "It cannot be read: No such file or directory."


def test_folders_a_thousand_deep_are_walked(sides: Sides) -> None:
    for number, side in enumerate(sides):
        put(chain(side, "d", 1500), "x.txt", b"%d" % number)
    found = compared(sides)
    (name,) = found
    assert name.endswith("d/d/x.txt")
    assert found[name].verdict is Verdict.DIVERGENT


def test_a_folder_that_cannot_be_read_stops_nothing(sides: Sides) -> None:
    """Paths longer than the system takes fail for every user, as permissions do for most."""
    for side in sides:
        put(chain(side, "d" * 50, 90), "x.txt", b"x")
    found = compared(sides)
    (name,) = found
    assert found[name].verdict is Verdict.NOT_COMPARABLE
    assert "In the baseline: The folder cannot be read: File name too long." in found[name].summary
    assert isinstance(entries(sides[0])[name], Bad)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_locked_folder_does_not_make_the_others_files_one_sided(sides: Sides) -> None:
    for side in sides:
        (side / "sub").mkdir()
        (side / "sub" / "x.txt").write_text("x")
    (sides[0] / "sub").chmod(0)
    try:
        found = compared(sides)
    finally:
        (sides[0] / "sub").chmod(0o700)
    assert found.keys() == {"sub"}
    assert "1 entry below it" in found["sub"].summary


def test_what_is_below_an_unread_folder_is_not_called_one_sided(sides: Sides) -> None:
    for side in sides:
        (side / "sub").mkdir()
        (side / "sub" / "x.txt").write_text("x")
    one, two = entries(sides[0]), entries(sides[1])
    del one["sub/x.txt"]
    one["sub"] = Bad("sub", "The folder cannot be read: Permission denied.", folder=True)
    for pair in ((one, two), (two, one)):
        found = {a.path: a for a in _Comparison(CONTEXT, None).compare(*pair)}
        assert found.keys() == {"sub", "fine.txt"}
        assert found["sub"].verdict is Verdict.NOT_COMPARABLE
        assert "Not compared: 1 entry below it on the other side." in found["sub"].summary


def test_links_in_circles_and_hard_links(sides: Sides) -> None:
    for side in sides:
        (side / "round").symlink_to("circle")
        (side / "circle").symlink_to("round")
        (side / "self").symlink_to(".")
        os.link(side / "fine.txt", side / "again.txt")
    found = compared(sides)
    assert found["again.txt"].verdict is Verdict.IDENTICAL
    for name in ("round", "circle", "self"):
        assert found[name].verdict is Verdict.NOT_COMPARABLE


def test_names_that_are_no_text_stay_apart(sides: Sides) -> None:
    for side in sides:
        for name in (b"\xff.txt", b"\xfe.txt", b"\\xff.txt"):
            other = name[0] == 0xFE and side.name == "b"
            (side / os.fsdecode(name)).write_bytes(name if other else b"same")
    found = compared(sides)
    assert {name: one.verdict for name, one in found.items()} == {
        os.fsdecode(b"\xfe.txt"): Verdict.DIVERGENT,
        os.fsdecode(b"\xff.txt"): Verdict.IDENTICAL,
        "\\xff.txt": Verdict.IDENTICAL,
    }


NAMES = ("two\nlines.txt", "\x1b[31mred\x07.txt", "\u202egpj.exe", "<img src=x onerror=alert(1)>")


def test_names_that_a_terminal_or_browser_would_act_on_are_spelled_out(
    sides: Sides, tmp_path: Path
) -> None:
    for number, side in enumerate(sides):
        for name in NAMES:
            (side / name).write_text(str(number))
    found = diff_artifacts(*sides)
    assert {one.path for one in found.artifacts} == {"fine.txt", *NAMES}
    shown = tmp_path / "shown.txt"
    with shown.open("w") as stream:
        render_artifacts(found, Console(width=200, file=stream))
    page = tmp_path / "page.html"
    write_artifacts_html(found, page)
    texts = shown.read_text(), page.read_text()
    for text in texts:
        assert not any(mark in text for mark in ("\x1b", "\x07", "\u202e", "two\nlines"))
        assert "\\x1b[31mred" in text
    assert "<img src=x" not in texts[1]


@pytest.mark.parametrize("size", [1 << 40, (1 << 40) + 1])
def test_holes_of_huge_files_are_not_read(sides: Sides, size: int) -> None:
    """A TiB each, of which a few bytes are on the disk."""
    for number, (length, side) in enumerate(zip((1 << 40, size), sides, strict=True)):
        with (side / "x.bin").open("wb") as stream:
            stream.truncate(length)
            stream.seek(1 << 39)
            stream.write(b"\xff" + bytes([number]) * 3)
    found = compared(sides)["x.bin"]
    assert found.verdict is Verdict.DIVERGENT
    assert found.where == (f"byte {(1 << 39) + 1}",)
    for side in sides:
        (side / "x.bin").unlink()
        with (side / "x.bin").open("wb") as stream:
            stream.truncate(1 << 40)
    assert compared(sides)["x.bin"].verdict is Verdict.IDENTICAL
