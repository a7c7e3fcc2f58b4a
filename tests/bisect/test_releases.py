from __future__ import annotations

import sys
import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from forkpoint.bisect import list_releases, select, series
from forkpoint.errors import EnvironmentFailed, UsageError

from .conftest import make_wheel


def test_a_folder_is_an_index(wheels: Path) -> None:
    make_wheel(wheels, "1.5", "", "cp38-cp38-win32")
    make_wheel(wheels, "2.0rc1", "")
    make_wheel(wheels, "1.4+cpu", "")
    found = list_releases("tinyop")
    assert list(map(str, found)) == ["1.0", "1.1", "1.2", "1.3", "1.4", "1.5", "2.0rc1"]
    assert [one.obstacle for one in found if one.obstacle] == [
        "no wheel for Python 3.11 on this platform"
    ]
    assert list(map(str, select(found, ">=1.3"))) == ["1.3", "1.4", "1.5"]
    assert str(select(found, ">=1.3", prereleases=True)[-1]) == "2.0rc1"


def test_a_page_of_links_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "tinyop" / "index.html"
    page.parent.mkdir()
    page.write_text(
        '<a href="tinyop-1.0-py3-none-any.whl#sha256=0" data-yanked="broken">1.0</a>'
        '<a href="../x/tinyop-1.0.1%2Bcpu-py3-none-any.whl">1.0.1</a>'
        '<a href="tinyop-1.1.tar.gz" data-requires-python="&gt;=3.13">1.1</a><a href="/">up</a>'
    )
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"file://{tmp_path}")
    monkeypatch.setenv("UV_FIND_LINKS", "")
    found = list_releases("tinyop")
    assert [(str(one), one.yanked, one.obstacle) for one in found] == [
        ("1.0", True, None),
        ("1.0.1", False, None),
        ("1.1", False, "it does not run on Python 3.11"),
    ]
    assert list(map(str, select(found, newest_patch=True))) == ["1.0.1", "1.1"]
    assert list(map(str, select(found, "<1.0.1", yanked=True))) == ["1.0"]


def test_an_unknown_package_is_said(wheels: Path) -> None:
    with pytest.raises(UsageError, match="No index has a package 'none-such'"):
        list_releases("none-such")


def test_an_index_out_of_reach_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://name:secret@127.0.0.1:9/simple")
    with pytest.raises(EnvironmentFailed, match="cannot be asked for releases") as caught:
        list_releases("tinyop")
    assert "secret" not in caught.value.message


def test_a_specifier_that_is_none_is_said(wheels: Path) -> None:
    with pytest.raises(UsageError, match="does not say which releases"):
        select(list_releases("tinyop"), "newest")


class _Private(BaseHTTPRequestHandler):
    """An index that wants a name and a password."""

    def do_GET(self) -> None:
        known = self.headers.get("Authorization") == "Basic " + b64encode(b"me:p@ss").decode()
        self.send_response(200 if known else 401)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b'<a href="tinyop-1.0-py3-none-any.whl">1.0</a>' if known else b"")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("secret", ["me:p%40ss@", "me:wrong@"])
def test_a_private_index_is_asked_with_its_password(
    secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HTTPServer(("127.0.0.1", 0), _Private) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        url = f"http://{secret}127.0.0.1:{server.server_port}/simple"
        monkeypatch.setenv("UV_DEFAULT_INDEX", url)
        monkeypatch.setenv("UV_FIND_LINKS", "")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        if "wrong" not in secret:
            assert list(map(str, list_releases("tinyop"))) == ["1.0"]
            return
        with pytest.raises(EnvironmentFailed, match="Unauthorized") as caught:
            list_releases("tinyop")
        assert "wrong" not in caught.value.message


def test_a_python_is_a_version_or_a_path() -> None:
    here = sys.version_info[:2]
    assert series("3.9") == series("3.9.18") == (3, 9)
    assert series(sys.executable) == here
    assert series("3")[0] == 3
    with pytest.raises(EnvironmentFailed, match="not a Python that can be used"):
        series("/nowhere/bin/python3.12")
