"""A disk that is really full."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(at: Path, size: str) -> Iterator[Path]:
    """A file system of ``size`` (as in 2m) at a folder; skips the test where none can be made."""
    at.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(at)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("needs the right to mount a small file system")
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


def grow(at: Path, size: str) -> None:
    """Give a disk of `small_disk` more room."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(at)], check=True)
