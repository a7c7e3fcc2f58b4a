"""What was measured, kept on disk: nothing is measured twice.

Layout, below the root::

    locks/KEY.json                 the packages, and the Python, that a spec led to
    MACHINE/LOCK/AXIS.json         answers by item, of one environment at one axis value
    MACHINE/LOCK/AXIS.kept/ITEM/   outputs, as long as the next release is to be measured
    MACHINE/LOCK/AXIS.after-LOCK.json   sizes of the changes since another environment
    MACHINE/LOCK/AXIS.why-LOCK-SUBJECT.json   the diagnosis of a change since another environment

Each file is written whole or not at all, so a killed run loses the release it was on, no more.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from forkpoint import untrusted
from forkpoint.bisect.model import Answer, Diagnosis, Size
from forkpoint.environments import Environment, write_atomically
from forkpoint.errors import FULL, StorageFull, UsageError
from forkpoint_worker.schema import DIGEST

T = TypeVar("T")
_VARIABLES = re.compile(
    r"(OMP|MKL|KMP|ATEN|DNNL|ONEDNN|GOMP|OPENBLAS|CUBLAS|CUDA|NVIDIA_TF32)_?\w*"
)
_FORMAT = 2
_LARGEST = 1 << 28
_PLAIN = re.compile(r"[\w.=-]{1,80}")


def digest(value: object) -> str:
    """A short hash over anything that JSON can spell."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def machine() -> dict[str, str]:
    """What of this machine decides bits: processor, its features, threads, libm, variables."""
    found = {
        "processor": _processor("model name") or platform.processor(),
        "family": " ".join(_processor(key) for key in ("cpu family", "model", "stepping")),
        "features": _processor("flags"),
        "processors": str(
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        ),
        "system": f"{platform.system()} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()),
        "gpu": _first_line(Path("/proc/driver/nvidia/version")),
    }
    found |= {name: os.environ[name] for name in sorted(os.environ) if _VARIABLES.fullmatch(name)}
    return {key: text for key, text in found.items() if text}


def other_machine(fingerprint: Mapping[str, str]) -> str | None:
    """What tells the machine of a worker's fingerprint from this one, or None where nothing does.

    Compared is what decides the bits of CPU ops: processor and the instructions in use, number
    of processors, C library, variables.
    """
    here = machine()
    features = set(here.get("features", "").split())
    wide = {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= features
    libc = re.sub(r"\W+", "", here.get("libc", ""))
    theirs = {
        name.removeprefix("variable."): value
        for name, value in fingerprint.items()
        if _VARIABLES.fullmatch(name.removeprefix("variable."))
    }
    if fingerprint.get("cpu.model") != here.get("processor"):
        return f"on another processor ({fingerprint.get('cpu.model', 'unknown')})"
    if (fingerprint.get("cpu.capability") == "AVX512") != wide:
        return "with other processor features"
    if fingerprint.get("cpu.count") != str(os.cpu_count()):
        return "with another number of processors"
    if libc not in re.sub(r"\W+", "", fingerprint.get("system.platform", "")):
        return "with another C library"
    if theirs != {name: value for name, value in here.items() if _VARIABLES.fullmatch(name)}:
        return "under other environment variables"
    return None


@dataclass(frozen=True, slots=True)
class Installed:
    """What a spec led to: packages, a line each, and the Python's release."""

    lock: tuple[str, ...]
    python: str

    @classmethod
    def of(cls, environment: Environment) -> Self:
        """What is in a built environment."""
        return cls(environment.lock, environment.release)


@dataclass(frozen=True, slots=True)
class Place:
    """The results of one environment at one axis value."""

    folder: Path
    axis: str

    @property
    def kept(self) -> Path:
        """Where outputs are kept for the next release."""
        return self.folder / f"{self.axis}.kept"

    def answers(self) -> dict[str, Answer]:
        """All answers so far, by item."""
        return read_json(self.folder / f"{self.axis}.json", dict[str, Answer]) or {}

    def add(self, answers: Mapping[str, Answer]) -> None:
        """Keep more answers."""
        _write(self.folder / f"{self.axis}.json", {**self.answers(), **answers})

    def sizes(self, before: Place) -> dict[str, Size]:
        """How far items moved since another environment."""
        return read_json(self._after(before), dict[str, Size]) or {}

    def add_sizes(self, before: Place, sizes: Mapping[str, Size]) -> None:
        """Keep more sizes."""
        _write(self._after(before), {**self.sizes(before), **sizes})

    def forget_outputs(self) -> None:
        """Remove outputs that nobody will measure against."""
        shutil.rmtree(self.kept, ignore_errors=True)

    def diagnosis(self, before: Place, subject: str) -> Diagnosis | None:
        """Why a subject changed since another environment, where that was asked before."""
        return read_json(self._why(before, subject), Diagnosis)

    def add_diagnosis(self, before: Place, subject: str, found: Diagnosis) -> None:
        """Keep why a subject changed."""
        _write(self._why(before, subject), found)

    def _why(self, before: Place, subject: str) -> Path:
        return self.folder / f"{self.axis}.why-{before.folder.name}-{subject}.json"

    def _after(self, before: Place) -> Path:
        return self.folder / f"{self.axis}.after-{before.folder.name}.json"


@dataclass(frozen=True, slots=True)
class Results:
    """All results below ``root``, for the machine that this process runs on."""

    root: Path

    def place(self, installed: Installed, axis: Mapping[str, str]) -> Place:
        """Where the results of an environment are; ``axis`` are settings at run time."""
        name = "-".join(f"{key}_{value}" for key, value in sorted(axis.items())) or "default"
        if not _PLAIN.fullmatch(name):
            name = digest(name)
        here = digest({"format": _FORMAT, "digest": DIGEST, **machine()})
        content = [*installed.lock, f"python {installed.python}"]
        return Place(self.root / here / digest(content), name)

    def installed(self, key: str) -> Installed | None:
        """What a spec led to last time, or None."""
        found = read_json(self.root / "locks" / f"{key}.json", dict[str, tuple[str, ...]]) or {}
        if "lock" not in found or len(found.get("python", ())) != 1:
            return None
        return Installed(found["lock"], found["python"][0])

    def remember(self, key: str, installed: Installed) -> None:
        """Keep what a spec led to."""
        content = {"lock": installed.lock, "python": (installed.python,)}
        _write(self.root / "locks" / f"{key}.json", content)


def read_json(path: Path, kind: type[T]) -> T | None:
    """What a file holds; None where it is absent or damaged: then it is found out again."""
    try:
        return untrusted.read_json(path, kind, most=_LARGEST)
    except (FileNotFoundError, UsageError):
        return None


def _write(path: Path, value: Any) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, msgspec.json.encode(value))
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise StorageFull(
            f"Results cannot be kept in {path.parent}: the disk is full.",
            hint="Free some space: 'forkpoint env prune' removes built environments.",
        ) from error


def _processor(key: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next(
        (line.partition(":")[2].strip() for line in lines if line.split("\t")[0] == key), ""
    )


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0]
    except OSError:
        return ""
