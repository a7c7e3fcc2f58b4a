"""Searches among releases whose bits are known to the test: what is looked at, and what is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from forkpoint.bisect import Answer, Column, Release, Survey, Tried, find_change, newest_patches
from forkpoint.bisect.looker import BUILD, FREE
from forkpoint.errors import EnvironmentFailed, UsageError

from .conftest import Printed

TORCH = ["2.7.1", "2.8.0", "2.9.0", "2.9.1", "2.10.0", "2.11.0", "2.12.0", "2.12.1", "2.13.0"]
TORCH += ["2.14.0", "2.14.1", "2.15.0"]


class Table:
    """Looks releases up in a table of bits, and counts what a build would have cost.

    ``recorded`` are a release and the bits that a capsule claims for it.
    """

    def __init__(
        self,
        bits: Mapping[str, str | None],
        *,
        known: frozenset[str] = frozenset(),
        recorded: tuple[str, str] | None = None,
        confirmed: bool = False,
    ) -> None:
        self._confirmed = confirmed
        self.survey = Survey(subject=Printed(), releases=())
        self.bench = SimpleNamespace(package="torch", builds=0)
        self.looked: list[str] = []
        self._bits = bits
        self._known = known
        self._recorded = recorded

    def cost(self, release: Release) -> int:
        free = str(release) in self._known or self._is_recorded(release)
        return FREE if free else BUILD

    def column(self, release: Release) -> Column:
        tried = Tried(version=str(release), state="measured")
        if self._recorded and self._is_recorded(release):
            return self._answer(replace(tried, recorded=True), self._recorded[1])
        self.looked.append(str(release))
        self.bench.builds += self.cost(release) == BUILD
        bits = self._bits[str(release)]
        if bits is None:
            tried = replace(tried, state="skipped", reason="does not run")
            return Column(tried=tried, answers=(), sizes=())
        return self._answer(replace(tried, cached=str(release) in self._known), bits)

    def is_confirmed(self, release: Release) -> bool:
        return self._confirmed

    def distrust(self, release: Release) -> None:
        assert self._is_recorded(release)
        self._recorded = None

    def sized(self, old: object, new: tuple[Release, Column]) -> Column:
        return new[1]

    def _is_recorded(self, release: Release) -> bool:
        return self._recorded is not None and self._recorded[0] == str(release)

    @staticmethod
    def _answer(tried: Tried, bits: str) -> Column:
        answer = Answer(status="ran", digests=(bits,))
        return Column(tried=tried, answers=({"value": answer},), sizes=({},))


def releases(versions: object) -> list[Release]:
    return [Release(version=Version(one)) for one in versions]  # type: ignore[attr-defined]


def search(table: Table, versions: object) -> object:
    return find_change(releases(versions), looker=table, say=lambda _: None)  # type: ignore[arg-type]


def turning(versions: list[str], first_bad: str) -> dict[str, str | None]:
    at = versions.index(first_bad)
    return {one: "new" if n >= at else "old" for n, one in enumerate(versions)}


def test_the_demos_change_takes_four_builds() -> None:
    table = Table(turning(TORCH, "2.10.0"))
    found = search(table, TORCH)
    assert (found.last_good, found.first_bad) == ("2.9.1", "2.10.0")
    assert found.builds == 4
    assert table.looked == ["2.7.1", "2.11.0", "2.9.1", "2.10.0"]
    assert found.notes[0].startswith("torch 2.15.0 was not looked at")


def test_what_the_capsule_recorded_saves_a_build() -> None:
    table = Table(turning(TORCH, "2.10.0"), recorded=("2.9.1", "old"))
    found = search(table, TORCH)
    assert (found.last_good, found.first_bad) == ("2.9.1", "2.10.0")
    assert found.builds == 3
    assert [one.version for one in found.steps if one.source == "recorded"] == ["2.9.1"]
    assert "2.9.1 was not run" in found.notes[1]


def test_bits_that_only_a_script_gave_are_run_before_they_count() -> None:
    bits = turning(TORCH, "2.10.0")
    table = Table(bits, recorded=("2.9.1", "only in the script"))
    found = search(table, TORCH)
    assert (found.last_good, found.first_bad) == ("2.9.1", "2.10.0")
    assert "2.9.1" in table.looked


def test_bits_that_a_replay_confirmed_are_not_run_again() -> None:
    table = Table(turning(TORCH, "2.10.0"), recorded=("2.10.0", "new"), confirmed=True)
    found = search(table, TORCH)
    assert (found.last_good, found.first_bad) == ("2.9.1", "2.10.0")
    assert "2.10.0" not in table.looked
    assert found.builds == 3


@pytest.mark.parametrize("first_bad", TORCH[1:])
def test_no_change_between_two_minors_takes_more_than_five(first_bad: str) -> None:
    table = Table(turning(TORCH, first_bad))
    found = search(table, TORCH)
    assert found.first_bad == first_bad
    assert found.builds <= 5  # one end, 3 of 8 minors, and one patch or the other end


def test_a_bad_end_that_costs_nothing_is_looked_at_first() -> None:
    table = Table(dict.fromkeys(TORCH, "old"), known=frozenset({"2.15.0"}))
    with pytest.raises(UsageError, match=r"same bits in torch 2\.7\.1 and 2\.15\.0") as caught:
        search(table, TORCH)
    assert table.looked == ["2.7.1", "2.15.0"]
    assert "reverted" in caught.value.hint


def test_ends_with_the_same_bits_are_said_with_what_was_seen() -> None:
    with pytest.raises(UsageError, match="same bits") as caught:
        search(Table(dict.fromkeys(TORCH, "old")), TORCH)
    assert "Looked at so far, and kept: 2.7.1 good, 2.11.0 good" in caught.value.hint
    assert caught.value.hint.endswith("2.15.0 good.")


def test_a_change_that_was_taken_back_is_one_all_the_same() -> None:
    bits = dict.fromkeys(TORCH, "old") | {"2.10.0": "new", "2.11.0": "new"}
    found = search(Table(bits), TORCH)
    assert (found.last_good, found.first_bad) == ("2.9.1", "2.10.0")


def test_a_good_end_that_does_not_run_is_said() -> None:
    with pytest.raises(EnvironmentFailed, match=r"2\.7\.1 cannot be looked at: does not run"):
        search(Table(turning(TORCH, "2.10.0") | {"2.7.1": None}), TORCH)


def test_a_bad_end_that_does_not_run_is_said_with_what_is_known() -> None:
    bits: dict[str, str | None] = dict.fromkeys(TORCH, "old")
    with pytest.raises(EnvironmentFailed, match=r"2\.15\.0 cannot be looked at") as caught:
        search(Table(bits | {"2.15.0": None}), TORCH)
    assert "2.14.1 good" in caught.value.hint


@given(st.data())
def test_the_change_is_found_whatever_is_known_skipped_or_claimed(data: st.DataObject) -> None:
    numbers = data.draw(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=2))
    versions = [f"2.{minor}.{patch}" for minor, patch in sorted(set(numbers))]
    if len(versions) < 2:
        return
    first_bad = data.draw(st.integers(1, len(versions) - 1))
    bits = turning(versions, versions[first_bad])
    between = versions[1:-1]
    if between:
        broken = data.draw(st.sets(st.sampled_from(between)))
        bits |= dict.fromkeys(broken)
    known = frozenset(data.draw(st.sets(st.sampled_from(versions))))
    claimed = data.draw(st.sampled_from(versions))
    # a capsule may claim the bits of its release, or bits that no run ever gives
    claim = data.draw(st.sampled_from([bits[claimed] or "old", "only in the script"]))
    table = Table(bits, known=known, recorded=(claimed, claim))
    found = search(table, versions)
    low, high = versions.index(found.last_good), versions.index(found.first_bad)
    if claim == bits[claimed] or bits[claimed] is not None:
        assert low < first_bad <= high
    assert all(bits[one] is None for one in found.skipped)
    assert list(found.skipped) == versions[low + 1 : high]
    assert len(table.looked) == len(set(table.looked))


def test_minors_are_stood_for_by_a_patch_that_can_be_installed() -> None:
    found = [
        Release(version=Version(one), obstacle="no wheel" if one == "1.1.1" else None)
        for one in ("1.0.0", "1.0.1", "1.1.0", "1.1.1", "1.2.0", "1.2.1")
    ]
    assert list(map(str, newest_patches(found))) == ["1.0.0", "1.0.1", "1.1.0", "1.2.1"]
    assert list(map(str, newest_patches(found[:3], ends=False))) == ["1.0.1", "1.1.0"]
