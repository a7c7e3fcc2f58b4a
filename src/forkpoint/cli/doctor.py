"""``forkpoint doctor``: check what forkpoint needs on this machine."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version

import click
import msgspec
import uv
from rich.console import Console
from rich.filesize import decimal
from rich.text import Text

from forkpoint.claims import scratch_folder
from forkpoint.cli._show import print_bytes
from forkpoint.environments import EnvironmentCache, find_interpreters
from forkpoint.errors import ForkpointError
from forkpoint.process import run

GB = 10**9
_ENVIRONMENT_SIZE = 6 * GB
_MARKS = {"ok": ("ok  ", "green"), "note": ("note", "yellow"), "bad": ("bad ", "bold red")}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked: ``ok``, ``note`` (worth knowing) or ``bad`` (to be fixed)."""

    name: str
    state: str
    text: str
    todo: str = ""


@click.command(epilog="\b\nExample:\n  forkpoint doctor --format json")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print the result.",
)
def doctor(form: str) -> int:
    """Check uv, Pythons, the cache, the disk and the GPU; say what to do.

    The exit status is 2 where something has to be fixed.
    """
    findings = [finding for check in CHECKS for finding in _guarded(check)]
    if form == "json":
        encoded = msgspec.json.encode([asdict(finding) for finding in findings])
        print_bytes(msgspec.json.format(encoded, indent=2) + b"\n")
    else:
        _print(findings)
    return 2 if any(finding.state == "bad" for finding in findings) else 0


def _print(findings: list[Finding]) -> None:
    console = Console(highlight=False)
    for finding in findings:
        mark, style = _MARKS[finding.state]
        console.print(
            Text.assemble((mark, style), f"  {finding.name:<12} {finding.text}"), soft_wrap=True
        )
        if finding.todo:
            console.print(Text(f"{'':18} {finding.todo}"), soft_wrap=True)


def _guarded(check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """The findings of one check; an error of forkpoint's own is a finding, too."""
    try:
        return list(check())
    except ForkpointError as error:
        return [Finding(check.__name__.strip("_"), "bad", error.message, error.hint)]


def _versions() -> Iterator[Finding]:
    try:
        own = version("forkpoint")
    except PackageNotFoundError:
        own = "not installed, run from its sources,"
    text = f"{own} on Python {platform.python_version()}, {platform.platform()}"
    yield Finding("forkpoint", "ok", text)


def _uv() -> Iterator[Finding]:
    try:
        binary = uv.find_uv_bin()
    except FileNotFoundError as error:
        todo = "Reinstall it where forkpoint is: pip install --force-reinstall uv"
        yield Finding("uv", "bad", f"not found: {error}", todo)
        return
    answer = _output([binary, "--version"])
    if answer is None:
        yield Finding("uv", "bad", f"{binary} does not start", "Reinstall it: pip install uv")
    else:
        yield Finding("uv", "ok", f"{answer.splitlines()[0]} ({binary})")


def _pythons() -> Iterator[Finding]:
    found = find_interpreters()
    for one in found:
        yield Finding("python", "ok", f"{one.release} ({one.path})")
    if not any(one.version[:2] == (3, 11) for one in found):
        yield Finding(
            "python",
            "note",
            "no Python 3.11, the only one with wheels of every torch release",
            "Install it to compare old releases with new ones: uv python install 3.11",
        )


def _cache() -> Iterator[Finding]:
    with EnvironmentCache() as cache:
        entries = cache.entries()
        size = sum(entry.size for entry in entries)
        limit = cache.max_bytes
    text = f"{cache.root}: {len(entries)} environments, {decimal(size)} of at most {decimal(limit)}"
    yield Finding("cache", "ok", text)
    free = shutil.disk_usage(cache.root).free
    if free < _ENVIRONMENT_SIZE:
        yield Finding(
            "disk",
            "bad" if free < GB else "note",
            f"{decimal(free)} free; an environment with CUDA takes up to 6 GB",
            "Free some: forkpoint env prune, uv cache clean; or set FORKPOINT_CACHE_DIR.",
        )
    else:
        yield Finding("disk", "ok", f"{decimal(free)} free")


def _gpu() -> Iterator[Finding]:
    binary = shutil.which("nvidia-smi")
    if binary is None:
        yield Finding("gpu", "ok", "no NVIDIA driver: torch for CPU is what gets installed")
        return
    fields = "--query-gpu=name,driver_version,memory.total"
    answer = _output([binary, fields, "--format=csv,noheader"])
    if answer is None:
        todo = "Is the driver's module loaded? Try: nvidia-smi"
        yield Finding("gpu", "bad", f"{binary} fails", todo)
        return
    for line in answer.splitlines():
        yield Finding("gpu", "ok", line.strip())


def _output(argv: list[str]) -> str | None:
    """What a program prints; None where it fails, or takes more than 20 seconds."""
    with scratch_folder() as logs:
        try:
            ended = run(argv, logs=logs, timeout=20)
        except OSError:
            return None
        text = ended.stdout.read_text(errors="replace").strip()
        return text if ended.returncode == 0 and text else None


CHECKS = (_versions, _uv, _pythons, _cache, _gpu)
