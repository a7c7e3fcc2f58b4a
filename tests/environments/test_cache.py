"""The cache without uv: entries are folders that the tests make."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from forkpoint.environments import EnvironmentCache, disk
from forkpoint.environments.cache import Built
from forkpoint.errors import EnvironmentFailed

MEGABYTE = 1_000_000


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[EnvironmentCache]:
    with EnvironmentCache(tmp_path / "cache", max_bytes=10 * MEGABYTE) as opened:
        yield opened


def add(cache: EnvironmentCache, key: str, *, size: int, used: float, whole: bool = True) -> Path:
    """An entry of about ``size`` bytes, last used at ``used``."""
    with cache.locked(key):
        folder = cache.clear(key)
        python = folder / "token" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_bytes(os.urandom(size))
        if whole:
            cache.finish(
                Built(
                    key=key,
                    names=(f"env-{key}",),
                    spec="torch==2.9.1",
                    token="token",
                    interpreter="/usr/bin/python3",
                    torch_backend="index",
                    lock=("torch==2.9.1",),
                )
            )
            os.utime(folder / "used", (used, used))
        else:
            os.utime(folder, (used, used))
    return folder


def keys(cache: EnvironmentCache) -> list[str]:
    return [entry.key for entry in cache.entries()]


def test_entries_come_least_recently_used_first(cache: EnvironmentCache) -> None:
    add(cache, "b", size=MEGABYTE, used=200)
    add(cache, "a", size=2 * MEGABYTE, used=300)
    add(cache, "c", size=10, used=100, whole=False)
    half, b, a = cache.entries()
    assert (half.key, b.key, a.key) == ("c", "b", "a")
    assert (half.built, half.names, half.spec) == (None, (), "")
    assert (b.names, b.spec, b.lock) == (("env-b",), "torch==2.9.1", ("torch==2.9.1",))
    assert 2 * MEGABYTE <= a.size < 2.2 * MEGABYTE
    assert (a.last_used, a.in_use) == (300, False)


def test_a_damaged_marker_makes_an_entry_half_built(cache: EnvironmentCache) -> None:
    (add(cache, "a", size=1, used=1) / "entry.json").write_text("{")
    (add(cache, "b", size=1, used=1) / "token" / "bin" / "python").unlink()
    assert cache.built("a") is None
    assert cache.built("b") is None
    assert cache.built("never") is None


def test_room_is_made_by_removing_the_least_recently_used(cache: EnvironmentCache) -> None:
    for number, key in enumerate("abcd"):
        add(cache, key, size=4 * MEGABYTE, used=number)
    assert [entry.key for entry in cache.make_room(keep="a")] == ["b", "c"]
    assert keys(cache) == ["a", "d"]
    assert not any((cache.root / "trash").iterdir())


def test_nothing_is_removed_below_the_limit(cache: EnvironmentCache) -> None:
    add(cache, "a", size=4 * MEGABYTE, used=1)
    assert cache.make_room(keep="x") == []


def test_what_is_in_use_stays(cache: EnvironmentCache) -> None:
    for key in "ab":
        add(cache, key, size=1, used=1)
    with cache.locked("a"):
        cache.hold("a")
    with EnvironmentCache(cache.root) as other:
        assert [entry.in_use for entry in other.entries() if entry.key == "a"] == [True]
        assert [entry.key for entry in other.prune()] == ["b"]
        cache.close()
        assert [entry.key for entry in other.prune()] == ["a"]


def test_a_use_that_began_in_another_thread_ends_at_close(cache: EnvironmentCache) -> None:
    add(cache, "a", size=1, used=1)
    with ThreadPoolExecutor(1) as pool, EnvironmentCache(cache.root) as other:
        pool.submit(cache.hold, "a").result()
        assert other.prune() == []
        cache.close()  # while the thread lives
        assert [entry.key for entry in other.prune()] == ["a"]


HOLD = """
import sys
from pathlib import Path
from forkpoint.environments import EnvironmentCache
cache = EnvironmentCache(Path(sys.argv[1]))
with cache.locked("a"):
    cache.hold("a")
    print("held", flush=True)
    if sys.argv[2] == "lock":
        sys.stdin.read()
sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["use", "lock"])
def test_another_process_keeps_its_entry_until_it_is_killed(
    cache: EnvironmentCache, how: str
) -> None:
    add(cache, "a", size=1, used=1)
    argv = [sys.executable, "-c", HOLD, str(cache.root), how]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        assert cache.entries()[0].in_use
        assert cache.prune() == []
        other.kill()
        other.wait()
        assert not cache.entries()[0].in_use
        assert [entry.key for entry in cache.prune()] == ["a"]


def test_pruning_to_a_limit_takes_half_built_entries_first(cache: EnvironmentCache) -> None:
    add(cache, "a", size=4 * MEGABYTE, used=1)
    add(cache, "b", size=4 * MEGABYTE, used=2)
    add(cache, "half", size=4 * MEGABYTE, used=3, whole=False)
    assert [entry.key for entry in cache.prune(limit=5 * MEGABYTE)] == ["half", "a"]


def test_a_removed_entry_can_be_built_again(cache: EnvironmentCache) -> None:
    add(cache, "a", size=1, used=1)
    cache.prune()
    add(cache, "a", size=1, used=1)
    assert cache.built("a") is not None


def test_hard_links_count_once_and_only_if_removal_frees_them(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    empty = disk.usage(folder)
    (folder / "one").write_bytes(os.urandom(MEGABYTE))
    (folder / "two").hardlink_to(folder / "one")
    (folder / "link").symlink_to(folder / "one")
    alone = disk.usage(folder)
    assert MEGABYTE <= alone.freed - empty.freed < 1.1 * MEGABYTE
    assert alone.shared == 0
    (tmp_path / "outside").hardlink_to(folder / "one")
    linked = disk.usage(folder)
    assert linked.shared >= MEGABYTE
    assert linked.freed + linked.shared == alone.freed


def test_the_default_limit_is_half_of_what_could_be_free(tmp_path: Path) -> None:
    cache = EnvironmentCache(tmp_path)
    status = os.statvfs(tmp_path)
    free = status.f_bavail * status.f_frsize
    assert cache.max_bytes == pytest.approx(free / 2, rel=0.05)


def test_the_folder_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORKPOINT_CACHE_DIR", str(tmp_path / "mine"))
    assert EnvironmentCache().root == tmp_path / "mine"


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentFailed, match="cannot be written"):
        EnvironmentCache(tmp_path / "file" / "cache")
