"""Which releases of a package there are: asked of the index that uv would install from.

The simple API of the index is read (JSON where it has it, HTML where not), and folders that
uv looks into besides it (``UV_FIND_LINKS``). Nothing is installed to find out.
"""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

import msgspec
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from forkpoint.environments import (
    choose_interpreter,
    find_interpreters,
    index_settings,
    interpreter_at,
)
from forkpoint.errors import EnvironmentFailed, UsageError

_PYPI = "https://pypi.org/simple"
_ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
_SECONDS = 30
_MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One version of a package; ``obstacle`` says why it cannot be installed here, or None."""

    version: Version
    yanked: bool = False
    obstacle: str | None = None

    def __str__(self) -> str:
        return str(self.version)


class _File(msgspec.Struct, frozen=True, rename="kebab"):
    """A file of the simple API; ``yanked`` may hold the reason."""

    filename: str
    requires_python: str | None = None
    yanked: bool | str = False


class _Project(msgspec.Struct, frozen=True):
    files: list[_File]


def list_releases(package: str, *, python: tuple[int, int] = (3, 11)) -> tuple[Release, ...]:
    """All releases of a package, ascending, also pre-releases and yanked ones.

    Raises `UsageError` where no index knows the package, and `EnvironmentFailed` where an
    index is out of reach.
    """
    return _known(_releases(_files(package), package, python), package)


def select(
    releases: Iterable[Release],
    specifier: str = "",
    *,
    newest_patch: bool = False,
    prereleases: bool = False,
    yanked: bool = False,
) -> tuple[Release, ...]:
    """The releases that a specifier (``>=2.0,<2.16``) admits, ascending.

    ``newest_patch`` keeps the last of each minor release. Raises `UsageError` for a specifier
    that is none.
    """
    try:
        wanted = SpecifierSet(specifier)
    except InvalidSpecifier:
        raise UsageError(
            f"{specifier!r} does not say which releases.",
            hint="Write for example --releases 'torch>=2.0,<2.16'.",
        ) from None
    chosen = [
        release
        for release in sorted(releases, key=lambda one: one.version)
        if (yanked or not release.yanked)
        and (prereleases or not release.version.is_prerelease)
        and wanted.contains(release.version, prereleases=prereleases)
    ]
    return newest_patches(chosen, ends=False) if newest_patch else tuple(chosen)


def newest_patches(releases: Sequence[Release], *, ends: bool = True) -> tuple[Release, ...]:
    """The last release of each minor one; with ``ends`` the first and the last one, too."""
    kept = {one.version.release[:2]: one for one in releases if one.obstacle is None}
    for one in releases:
        kept.setdefault(one.version.release[:2], one)
    chosen = set(kept.values()) | ({releases[0], releases[-1]} if ends else set())
    return tuple(one for one in releases if one in chosen)


def list_by_python(package: str, pythons: Sequence[str]) -> dict[str, tuple[Release, ...]]:
    """`list_releases` for several Pythons (3.11, or a path), asking the index once."""
    files = _files(package)
    return {
        python: _known(_releases(files, package, series(python)), package) for python in pythons
    }


def series(python: str) -> tuple[int, int]:
    """The minor release of a Python that is named by version (3, 3.11, 3.11.7) or by path.

    Raises `EnvironmentFailed` where there is none.
    """
    parts = python.split(".")
    if len(parts) >= 2 and all(part.isdigit() for part in parts):
        return int(parts[0]), int(parts[1])
    if os.sep in python:
        return interpreter_at(Path(python)).version[:2]
    return choose_interpreter(python, (), find_interpreters()).version[:2]


def _files(package: str) -> list[_File]:
    settings = index_settings(os.environ)
    files = [file for folder in _folders(settings) for file in _in_folder(folder)]
    for index in _indexes(settings):
        files += _in_index(index, package)
    return files


def _known(found: tuple[Release, ...], package: str) -> tuple[Release, ...]:
    if not found:
        raise UsageError(
            f"No index has a package {package!r}.",
            hint="Check its spelling. The index is that of UV_DEFAULT_INDEX, or else PyPI.",
        )
    return found


def _indexes(settings: Mapping[str, str]) -> tuple[str, ...]:
    if settings.get("UV_NO_INDEX", "").lower() in ("1", "true", "yes", "on"):
        return ()
    first = settings.get("UV_DEFAULT_INDEX") or settings.get("UV_INDEX_URL") or _PYPI
    more = (settings.get("UV_INDEX") or settings.get("UV_EXTRA_INDEX_URL") or "").split()
    # uv allows an index to be given a name: NAME=URL
    return tuple(re.sub(r"^[\w-]+=(?=\w+:|/)", "", one) for one in (*more, first))


def _folders(settings: Mapping[str, str]) -> list[Path]:
    places = [one.strip() for one in settings.get("UV_FIND_LINKS", "").split(",")]
    paths = [Path(one.removeprefix("file://")) for one in places if one and "http" not in one[:5]]
    return [path for path in paths if path.is_dir()]


def _in_folder(folder: Path) -> list[_File]:
    return [_File(path.name) for path in sorted(folder.iterdir())]


def _in_index(index: str, package: str) -> list[_File]:
    url = f"{index.rstrip('/')}/{canonicalize_name(package)}/"
    if url.startswith("/"):
        url = f"file://{url}"
    if url.startswith("file:"):
        url += "index.html"
    try:
        kind, text = _fetch(url)
    except (URLError, OSError) as error:
        if isinstance(error, HTTPError) and error.code == 404:
            return []
        if url.startswith("file:"):
            return []
        reason = getattr(error, "reason", None) or error
        raise EnvironmentFailed(
            f"The index {_without_secrets(index)} cannot be asked for releases of {package}: "
            f"{reason}.",
            hint="Check the network, or name another index with UV_DEFAULT_INDEX. "
            "What was measured before is kept.",
        ) from None
    return _read(kind, text, url)


def _fetch(url: str) -> tuple[str, bytes]:
    if urlsplit(url).scheme not in ("http", "https", "file"):
        raise UsageError(
            f"{_without_secrets(url)!r} is not the address of an index.",
            hint="UV_DEFAULT_INDEX takes an address that starts with https://.",
        )
    plain, secret = _without_secrets(url), _secret(url)
    headers = {"Accept": _ACCEPT} | ({"Authorization": f"Basic {secret}"} if secret else {})
    request = Request(plain, headers=headers)  # noqa: S310 - the scheme is checked
    with urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - the scheme is checked
        return answer.headers.get_content_type(), answer.read(_MOST_BYTES)


def _read(kind: str, text: bytes, url: str) -> list[_File]:
    if not kind.endswith("json"):
        parser = _Links()
        parser.feed(text.decode(errors="replace"))
        return parser.files
    try:
        return msgspec.json.decode(text, type=_Project).files
    except msgspec.DecodeError as error:
        raise EnvironmentFailed(
            f"The answer of {_without_secrets(url)} cannot be read: {error}.",
            hint="Is it the simple API of an index? See UV_DEFAULT_INDEX.",
        ) from None


class _Links(HTMLParser):
    """The files that a page of the simple API links to."""

    def __init__(self) -> None:
        super().__init__()
        self.files: list[_File] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take one link."""
        found = dict(attrs)
        if tag == "a" and found.get("href"):
            name = unquote(urlsplit(str(found["href"])).path).rpartition("/")[2]
            yanked = "data-yanked" in found
            self.files.append(_File(name, found.get("data-requires-python"), yanked))


def _releases(files: Sequence[_File], package: str, python: tuple[int, int]) -> tuple[Release, ...]:
    fitting = frozenset(
        (*cpython_tags(python), *compatible_tags(python, f"cp{python[0]}{python[1]}"))
    )
    by_version: dict[Version, list[tuple[_File, str | None]]] = {}
    for file in files:
        known = _version(file.filename, package, fitting)
        if known is not None:
            version, obstacle = Version(known[0].public), known[1]  # 2.13.0+cpu is 2.13.0
            by_version.setdefault(version, []).append((file, obstacle))
    return tuple(_release(version, by_version[version], python) for version in sorted(by_version))


def _release(
    version: Version, files: Sequence[tuple[_File, str | None]], python: tuple[int, int]
) -> Release:
    named = f"{python[0]}.{python[1]}"
    usable = [file for file, obstacle in files if obstacle is None]
    obstacle = None
    if not usable:
        obstacle = f"no wheel for Python {named} on this platform"
    elif not any(_admits(file, named) for file in usable):
        obstacle = f"it does not run on Python {named}"
    yanked = all(file.yanked is not False for file, _ in files)
    return Release(version=version, yanked=yanked, obstacle=obstacle)


def _admits(file: _File, python: str) -> bool:
    try:
        return SpecifierSet(file.requires_python or "").contains(f"{python}.99")
    except InvalidSpecifier:
        return True  # uv has the last word


def _version(
    filename: str, package: str, fitting: frozenset[Tag]
) -> tuple[Version, str | None] | None:
    """The version that a file is of, and why it does not fit; None for other files."""
    try:
        if filename.endswith(".whl"):
            name, version, _, tags = parse_wheel_filename(filename)
            obstacle = None if tags & fitting else "no wheel"
        else:
            name, version = parse_sdist_filename(filename)
            obstacle = None
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None
    return (version, obstacle) if name == canonicalize_name(package) else None


def _secret(url: str) -> str:
    """Name and password of an address, as the header of a request takes them."""
    told = urlsplit(url).netloc.rpartition("@")[0]
    return b64encode(unquote(told).encode()).decode()


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
