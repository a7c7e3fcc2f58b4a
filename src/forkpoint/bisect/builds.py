"""Releases that are not of one kind of build: what changed may come from that."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise

from packaging.version import InvalidVersion, Version

from forkpoint.bisect.model import Tried
from forkpoint.environments import packages_of


def other_builds(package: str, releases: Sequence[Tried]) -> Iterator[str]:
    """A sentence for each two neighbours that are builds of two kinds of ``package``.

    The kind is what the local part of a version says (``+cpu``; ``+cu126`` and ``+cu128`` are
    one kind), or else whether NVIDIA's packages came with it. Releases whose packages are not
    known say nothing.
    """
    known = [one for one in releases if one.state == "measured" and one.lock]
    for before, after in pairwise(known):
        kinds = _kind(package, before.lock), _kind(package, after.lock)
        if kinds[0] != kinds[1]:
            yield (
                f"{package} {before.version} and {after.version} are builds of two kinds here "
                f"({' and '.join(map(_in_words, kinds))}): what changed between them may come "
                "from the build."
            )


def _kind(package: str, lock: Sequence[str]) -> str:
    packages = packages_of(lock)
    with suppress(InvalidVersion):  # not there, or from a URL
        label = re.match("[a-z]+", Version(packages.get(package, "")).local or "")
        if label:
            return label.group()
    return "cu" if any(name.startswith("nvidia-") for name in packages) else ""


def _in_words(kind: str) -> str:
    return {"cu": "with CUDA", "": "without CUDA"}.get(kind, f"+{kind}")
