"""Calling uv: its settings, its progress, and the reason it gives when it fails."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import uv

from forkpoint import process
from forkpoint.errors import EnvironmentFailed

_FROM_PIP = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
    "PIP_NO_INDEX": "UV_NO_INDEX",
    "PIP_TRUSTED_HOST": "UV_INSECURE_HOST",
    "PIP_CERT": "SSL_CERT_FILE",
}
_SAME_AS = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}
# what would point uv at another environment or project than the one that is built
_DROPPED = ("VIRTUAL_ENV", "CONDA_PREFIX", "UV_PYTHON", "UV_PROJECT", "UV_TORCH_BACKEND")

_PROGRESS = re.compile(
    r"(Resolved|Downloading|Downloaded|Building|Built|Prepared|Installed|Updating|Updated) "
)
_NOISE = re.compile(
    rf"\s*({_PROGRESS.pattern}|Using |Uninstalled |Audited |Creating |Activate |[+~-] |warning: )"
)
_CAUSE = re.compile(r"[\s│]*(├─▶|╰─▶|cause:|Caused by:)\s*")
_DECORATION = re.compile(r"[\s│]*(\u00d7|error:)?\s*")
_LONGEST_REASON = 1500


class UvError(Exception):
    """uv ended with an error; the text is its reason in one paragraph."""


@dataclass(frozen=True, slots=True)
class Uv:
    """uv, run inside ``folder``, which also takes its logs.

    ``progress`` gets the lines in which uv says what it does, as it prints them; ``packages``
    is the folder of uv's cache, uv's usual one where None.
    """

    folder: Path
    progress: Callable[[str], None] | None = None
    packages: Path | None = None

    def run(self, *arguments: str, more_env: Mapping[str, str] | None = None) -> str:
        """Run uv and return its standard output; raises `UvError` with its reason."""
        logs = self.folder / "logs"
        listener = process.Listener(line=self._line)
        # in a folder of its own, uv reads the user's uv.toml, and not that of a project nearby
        done = process.run(
            [_binary(), *arguments],
            logs=logs,
            env={**uv_environment(os.environ), **self._cache(), **(more_env or {})},
            cwd=self.folder,
            listener=listener,
        )
        if done.returncode != 0:
            raise UvError(reason(done.stderr.read_text(errors="replace"), done.returncode))
        return done.stdout.read_text(errors="replace")

    def _cache(self) -> dict[str, str]:
        return {} if self.packages is None else {"UV_CACHE_DIR": str(self.packages)}

    def _line(self, stream: str, text: str) -> None:
        if self.progress and stream == "stderr" and _PROGRESS.match(text.strip()):
            self.progress(text.strip())


def uv_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that uv gets: pip's index settings count where uv's own are not set."""
    env = {name: value for name, value in variables.items() if name not in _DROPPED}
    for theirs, ours in _FROM_PIP.items():
        if theirs in env and ours not in env and _SAME_AS.get(ours, ours) not in env:
            # pip separates by spaces throughout, uv separates places to look into by commas
            env[ours] = ",".join(env[theirs].split()) if ours == "UV_FIND_LINKS" else env[theirs]
    return {**env, "NO_COLOR": "1", "UV_PYTHON_DOWNLOADS": "never"}


def index_settings(variables: Mapping[str, str]) -> dict[str, str]:
    """Those variables that decide which packages a requirement leads to."""
    env = uv_environment(variables)
    names = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_NO_INDEX")
    more = ("UV_FIND_LINKS", "UV_CONFIG_FILE", "UV_EXCLUDE_NEWER", "UV_PRERELEASE")
    rules = ("UV_RESOLUTION", "UV_CONSTRAINT", "UV_OVERRIDE", "UV_INDEX_STRATEGY")
    return {name: env[name] for name in (*names, *more, *rules) if name in env}


def reason(stderr: str, returncode: int) -> str:
    """uv's own words on a failure, in one paragraph, without its progress and ornaments."""
    paragraph = ""
    for line in stderr.splitlines():
        cause = _CAUSE.match(line)
        text = (_CAUSE if cause else _DECORATION).sub("", line, count=1).strip()
        if text and not _NOISE.match(line):
            paragraph += (": " if cause and not paragraph.endswith(":") else " ") + text
    paragraph = paragraph.strip() or f"uv ended with status {returncode} and said nothing"
    if len(paragraph) <= _LONGEST_REASON:
        return paragraph
    half = _LONGEST_REASON // 2
    return f"{paragraph[:half].rstrip()} [...] {paragraph[-half:].lstrip()}"


def _binary() -> str:
    try:
        return os.fspath(uv.find_uv_bin())
    except FileNotFoundError as error:
        raise EnvironmentFailed(
            f"uv's program is missing, although its package is installed: {error}",
            hint="Reinstall it: python -m pip install --force-reinstall uv",
        ) from None
