"""Room on a real disk: environments are folders that the tests make, some share files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forkpoint.bisect import Room
from forkpoint.bisect.room import LEAST_GUESS
from forkpoint.environments import EnvironmentCache, disk_usage
from forkpoint.environments.cache import Built

BLOCK = 4096
SHM = Path("/dev/shm")
EXACT = SHM if SHM.is_dir() else None
"""Where the blocks of a file do not change later: ext4 adds some of its own when it writes back."""


def add(cache: EnvironmentCache, key: str, blocks: int, used: int, shared: Path | None) -> None:
    """A finished environment of so many blocks, and perhaps a file that others have, too."""
    folder = cache.clear(key)
    python = folder / "token" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_bytes(os.urandom(blocks * BLOCK))
    if shared is not None:
        os.link(shared, folder / "shared")
    rest = {"interpreter": "", "torch_backend": "index", "lock": ()}
    cache.finish(Built(key=key, names=(key,), spec=key, token="token", **rest))
    os.utime(folder / "used", (used, used))


Entries = st.lists(
    st.tuples(st.integers(1, 20), st.booleans(), st.booleans()), min_size=1, max_size=7
)


@settings(max_examples=40, deadline=None)
@given(Entries, st.integers(0, 120), st.integers(0, 60))
def test_the_limit_is_kept_while_anything_can_go(
    entries: list[tuple[int, bool, bool]], limit: int, reserve: int
) -> None:
    with TemporaryDirectory(dir=EXACT) as folder, EnvironmentCache(Path(folder)) as cache:
        shared = Path(folder) / "common"
        shared.write_bytes(os.urandom(10 * BLOCK))
        for number, (blocks, shares, held) in enumerate(entries):
            add(cache, f"{number}", blocks, number, shared if shares else None)
            if held:
                cache.hold(f"{number}")
                os.utime(cache.path(f"{number}") / "used", (number, number))
        shared.unlink()  # only environments have it now: the last one to go frees it
        room = Room(root=Path(folder), limit=limit * BLOCK)
        used = room.make(cache, reserve * BLOCK)
        assert used == disk_usage(cache.root)
        there = {entry.key for entry in cache.entries()}
        free = [str(n) for n, (_, _, held) in enumerate(entries) if not held]
        gone = [key for key in free if key not in there]
        fits = used + reserve * BLOCK <= limit * BLOCK
        assert fits or gone == free
        assert gone == free[: len(gone)], "the least recently used go first"
        assert {str(n) for n, (_, _, held) in enumerate(entries) if held} <= there


def test_a_build_of_unknown_size_gets_the_guess(tmp_path: Path) -> None:
    room = Room(root=tmp_path, limit=25 * 10**9)
    assert room.reserve("torch", "a") == LEAST_GUESS


def test_what_builds_took_is_learned_and_kept(tmp_path: Path) -> None:
    room = Room(root=tmp_path, limit=25 * 10**9)
    room.learn("torch", "a", grown=6 * 10**9, size=4 * 10**9)
    room.learn("torch", "b", grown=13 * 10**9, size=8 * 10**9)
    room.learn("numpy", "c", grown=10**8, size=10**8)
    again = Room(root=tmp_path, limit=25 * 10**9)
    assert again.reserve("torch", "a") == 7_500_000_000
    assert again.reserve("torch", "unknown") == 13 * 10**9 * 5 // 4
    assert again.reserve("numpy", "unknown") == LEAST_GUESS


def test_a_build_that_found_its_packages_there_is_not_taken_for_a_small_one(
    tmp_path: Path,
) -> None:
    room = Room(root=tmp_path, limit=25 * 10**9)
    room.learn("torch", "a", grown=10**6, size=4 * 10**9)
    room.learn("torch", "b", grown=90 * 10**9, size=4 * 10**9)  # somebody else wrote 82 GB
    assert room.reserve("torch", "a") == 5 * 10**9
    assert room.reserve("torch", "b") == 10**10


def test_damaged_memory_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "sizes.json").write_text("{")
    assert Room(root=tmp_path, limit=1).reserve("torch", "a") == LEAST_GUESS


@pytest.mark.skipif(not SHM.is_dir(), reason="needs a file system that few others write to")
def test_room_is_made_during_a_build_that_takes_more_than_was_guessed() -> None:
    with TemporaryDirectory(dir=SHM) as folder, EnvironmentCache(Path(folder)) as cache:
        add(cache, "old", 256, 1, None)
        add(cache, "new", 256, 2, None)
        room = Room(root=cache.root, limit=700 * BLOCK)
        with cache.locked("building"), room.watched(cache, disk_usage(cache.root)) as grown:
            part = cache.clear("building") / "part"
            part.write_bytes(os.urandom(300 * BLOCK))
            _until(lambda: not cache.path("old").exists())
            assert part.exists()
        assert cache.path("new").exists()
        assert disk_usage(cache.root) <= 700 * BLOCK < room.peak
        assert grown() >= 300 * BLOCK


def test_the_watch_ends_with_a_build_that_fails(tmp_path: Path) -> None:
    room = Room(root=tmp_path, limit=10**9)
    with (
        EnvironmentCache(tmp_path) as cache,
        pytest.raises(RuntimeError, match="broken"),
        room.watched(cache, 0),
    ):
        raise RuntimeError("broken")


def _until(true: Callable[[], bool]) -> None:
    for _ in range(400):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it never happened")
