"""Neighbours that are builds of two kinds."""

from __future__ import annotations

import pytest

from forkpoint.bisect.builds import other_builds
from forkpoint.bisect.model import Tried

CUDA = ("numpy==2.1.0", "nvidia-cublas-cu12==12.8.4.1")


def tried(version: str, *lock: str) -> Tried:
    return Tried(version=version, state="measured", lock=lock)


def test_a_build_without_cuda_among_those_with_it_is_said() -> None:
    releases = [
        tried("2.12.1", "torch==2.12.1", *CUDA),
        tried("2.13.0", "torch==2.13.0+cpu", "numpy==2.1.0"),
        tried("2.14.1", "torch==2.14.1", "numpy==2.1.0"),
    ]
    assert list(other_builds("torch", releases)) == [
        "torch 2.12.1 and 2.13.0 are builds of two kinds here (with CUDA and +cpu): what changed "
        "between them may come from the build.",
        "torch 2.13.0 and 2.14.1 are builds of two kinds here (+cpu and without CUDA): what "
        "changed between them may come from the build.",
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("torch==2.9.1+cu126", *CUDA), ("torch==2.10.0+cu128", *CUDA)),
        (("torch==2.9.1+cu126", *CUDA), ("torch==2.10.0", *CUDA)),
        (("torch==2.9.1+cpu",), ("torch==2.10.0+cpu",)),
        (("torchvision==0.1+cpu", "torch==2.9.1"), ("torch==2.10.0",)),
        ((), ("torch==2.10.0+cpu",)),  # known from a capsule: its packages are not
    ],
)
def test_builds_of_one_kind_and_unknown_ones_say_nothing(
    before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    skipped = Tried(version="2.9.2", state="skipped", reason="no wheel")
    releases = [tried("2.9.1", *before), skipped, tried("2.10.0", *after)]
    assert list(other_builds("torch", releases)) == []
