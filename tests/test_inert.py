"""Names from outside, in every format: inert, and never two that look alike."""

from __future__ import annotations

import io
import json
import os
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from forkpoint.compare import PRESETS
from forkpoint.inert import encodable, name, plain
from forkpoint.model import Artifact, ArtifactComparison, Verdict
from forkpoint.report import artifacts_to_json, artifacts_to_markdown, render_artifacts
from forkpoint.report.artifacts_page import artifacts_to_html

AWKWARD = "ab\\nxu200e1f \n\t\x1b\x7f\x85\u200b\u202e\u2028\ufeff\u0301\u0430\ud800\udcff\U000e0041"
texts = st.text() | st.text(st.sampled_from(AWKWARD))
TWINS = {
    "zero width space": ("log.txt", "log\u200b.txt"),
    "word joiner": ("log.txt", "log\u2060.txt"),
    "soft hyphen": ("log.txt", "lo\u00adg.txt"),
    "no-break space": ("a b", "a\u00a0b"),
    "ideographic space": ("a b", "a\u3000b"),
    "letter without ink": ("ab", "a\u3164b"),
    "variation selector": ("a\u2601b", "a\u2601\ufe0fb"),
    "tag characters": ("log", "log\U000e0061"),
    "direction": ("gpj.exe", "\u202egpj.exe"),
    "accents apart": ("caf\u00e9", "cafe\u0301"),
    "Cyrillic letter": ("data.npy", "d\u0430ta.npy"),
    "Cyrillic word": ("cop", "\u0441\u043e\u0440"),
    "Greek capital": ("A.npy", "\u0391.npy"),
    "wide letters": ("log", "\uff4c\uff4f\uff47"),
    "ligature": ("file", "\ufb01le"),
    "Kelvin": ("K", "\u212a"),
    "spelled by hand": ("a\u200b", "a\\u200b"),
    "spelled twice": ("a\\u200b", "a\\\\u200b"),
    "line break": ("a\nb", "a\\nb"),
    "bytes": (os.fsdecode(b"\xff"), "\\xff"),
    "bytes and a control": (os.fsdecode(b"\x85"), "\x85"),
    "Hangul apart": ("\ud55c", "\u1112\u1161\u11ab"),
}


@given(texts)
def test_plain_text_stays_as_it_is(text: str) -> None:
    shown = plain(text)
    assert plain(shown) == shown
    hidden = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"}
    assert not any(unicodedata.category(c) in hidden for c in shown if c != " ")
    shown.encode()


@given(texts, texts)
def test_two_names_never_have_one_text(one: str, two: str) -> None:
    assert (name(one) == name(two)) == (one == two)


@given(texts, texts)
def test_text_for_json_stays_apart_where_it_had_to_be_changed(one: str, two: str) -> None:
    encodable(one).encode()
    assert (encodable(one) == encodable(two)) == (one == two)


@pytest.mark.parametrize(
    "text", ["слой", "層", "हिन्दी", "naïve café", "🔥", "Ελλάδα", "Tiếng Việt"]
)
def test_what_people_write_is_shown(text: str) -> None:
    assert name(unicodedata.normalize("NFC", text)) == unicodedata.normalize("NFC", text)


def seen(text: str) -> str:
    """What is left of a text for the eye, about: compatible letters, without marks."""
    kept = unicodedata.normalize("NFKC", text).replace("\u0430", "a")
    return "".join(c for c in kept if unicodedata.category(c) not in ("Cf", "Cc", "Mn"))


@pytest.mark.parametrize("kind", TWINS)
def test_twins_are_told_apart_in_every_format(kind: str) -> None:
    found = ArtifactComparison(
        verdict=Verdict.DIVERGENT,
        baseline=TWINS[kind][0],
        candidate=TWINS[kind][1],
        tolerance=PRESETS["torch"],
        artifacts=tuple(
            Artifact(path=one, kind="text", verdict=Verdict.DIVERGENT, summary=f"is number {at}")
            for at, one in enumerate(TWINS[kind])
        ),
    )
    stream = io.StringIO()
    render_artifacts(found, Console(width=200, file=stream))
    markdown, page = artifacts_to_markdown(found), artifacts_to_html(found)
    for text in (stream.getvalue(), markdown, page):
        rows = [line for line in text.splitlines() if "is number" in line]
        first, second = (row.replace("number 0", "number 1") for row in rows[:2])
        assert seen(first) != seen(second)
    data = artifacts_to_json(found)
    shown = [line for line in data.decode().splitlines() if '"path"' in line]
    assert shown[0] != shown[1]
    paths = [one["path"] for one in json.loads(data)["artifacts"]]
    assert paths[0] != paths[1]


ACTIVE = (
    "\x1b[2J",
    "\x9b31m",
    "![x](javascript:alert)",
    "[x](javascript:alert(1))",
    "<script>alert(1)</script>",
    "a|b",
    "@someone",
    "GH-1",
    ":tada:",
    "www.example.org",
    "&lt;",
)


@pytest.mark.parametrize("active", ACTIVE)
def test_names_are_inert_in_every_format(active: str) -> None:
    row = Artifact(
        path=active, part=active, kind="npz", verdict=Verdict.DIVERGENT, summary=active,
        where=(active,),
    )  # fmt: skip
    found = ArtifactComparison(
        verdict=Verdict.DIVERGENT, baseline=active, candidate=active,
        tolerance=PRESETS["torch"], artifacts=(row,),
    )  # fmt: skip
    stream = io.StringIO()
    render_artifacts(found, Console(width=200, file=stream))
    markdown = artifacts_to_markdown(found)
    page, data = artifacts_to_html(found), artifacts_to_json(found).decode()
    for text in (stream.getvalue(), markdown, page, data):
        assert not any(mark in text for mark in "\x1b\x9b")
    assert "<script>alert" not in page
    assert active not in re.sub(r"\\.", "", markdown)


def test_a_long_name_keeps_a_mark_of_its_own() -> None:
    names = ["x" * 300 + middle + "y" * 300 for middle in "ab"]
    rows = tuple(
        Artifact(path=one, kind="text", verdict=Verdict.DIVERGENT, summary="") for one in names
    )
    found = ArtifactComparison(
        verdict=Verdict.DIVERGENT, baseline="a", candidate="b",
        tolerance=PRESETS["torch"], artifacts=rows,
    )  # fmt: skip
    shown = [line for line in artifacts_to_markdown(found).splitlines() if "xx" in line]
    assert len(set(shown)) == 2
