"""Which builds of torch to install: CPU wheels, those for a CUDA release, or the index's.

``auto`` takes CPU wheels (some 200 MB; the default index on Linux has CUDA builds of several
GB) on a Linux machine without an NVIDIA GPU, and the configured index everywhere else.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from forkpoint.environments.cache import recent
from forkpoint.errors import UsageError

AUTO, CPU, INDEX = "auto", "cpu", "index"
OUT_OF_REACH_NOTE = (
    "The index of torch's CPU wheels is out of reach; the builds of the configured index are "
    "used instead."
)
NOT_THERE_NOTE = (
    "The index of torch's CPU wheels does not have what is asked for; the builds of the "
    "configured index are used instead."
)

_REMEMBERED = 24 * 3600.0
_DRIVER_FILES = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/dxg")
_UNREACHABLE = re.compile(
    r"(?=.*pytorch\.org)(failed to fetch|error sending request|timed out|dns error)",
    re.IGNORECASE | re.DOTALL,
)

# short, because a firewall that drops packets would cost minutes before the fallback
IMPATIENT = {"UV_HTTP_TIMEOUT": "10", "UV_HTTP_CONNECT_TIMEOUT": "3", "UV_HTTP_RETRIES": "0"}


def check_backend(value: str) -> str:
    """The value in force: for ``auto``, uv's own UV_TORCH_BACKEND has a say.

    Raises `UsageError` where it is none that can be meant.
    """
    if value == AUTO:
        value = os.environ.get("UV_TORCH_BACKEND", AUTO)
    if value in (AUTO, CPU, INDEX) or re.fullmatch(r"cu\d{2,3}|rocm[\d.]+|xpu", value):
        return value
    raise UsageError(
        f"--torch-backend {value!r} is not known",
        hint="Use auto, cpu, index (the builds of the configured index) or cuXXX, as in cu126.",
    )


class Reachability:
    """Remembers for a day, in a file, that the index of CPU wheels was out of reach."""

    def __init__(self, root: Path) -> None:
        self._file = root / "cpu-index-out-of-reach"

    def candidates(self, backend: str) -> tuple[str, ...]:
        """The backends to try, the best one first."""
        if not prefers_cpu(backend):
            return (INDEX if backend == AUTO else backend,)
        return (INDEX,) if recent(self._file, _REMEMBERED) else (CPU, INDEX)

    def fallback_note(self, backend: str, used: str) -> str | None:
        """The line that says why ``used`` is not what ``backend`` means, or None if it is."""
        if not prefers_cpu(backend) or used == CPU:
            return None
        return OUT_OF_REACH_NOTE if recent(self._file, _REMEMBERED) else NOT_THERE_NOTE

    def learn(self, reason: str) -> bool:
        """Whether uv's reason says that the index is out of reach; if so, remember it."""
        if not _UNREACHABLE.search(reason):
            return False
        self._file.touch()
        return True


def first_choice(root: Path, backend: str) -> str:
    """The backend that a build with this cache tries first: cpu, index, or cuXXX."""
    return Reachability(root).candidates(check_backend(backend))[0]


def prefers_cpu(backend: str) -> bool:
    """Whether ``auto`` means CPU wheels on this machine."""
    return backend == AUTO and sys.platform.startswith("linux") and not has_nvidia_gpu()


def has_nvidia_gpu() -> bool:
    """Whether an NVIDIA driver runs here (also below WSL)."""
    return any(Path(name).exists() for name in _DRIVER_FILES)
