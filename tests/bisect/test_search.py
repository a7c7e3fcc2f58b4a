from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from forkpoint.bisect import bisect


@given(st.data())
def test_the_change_is_found_between_what_can_be_looked_at(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 60))
    first_bad = data.draw(st.integers(1, size - 1))
    broken = data.draw(st.sets(st.integers(1, size - 1))) - {size - 1}
    free = data.draw(st.sets(st.integers(0, size - 1)))
    asked: list[int] = []

    def look(at: int) -> str:
        asked.append(at)
        return "skipped" if at in broken else ("good" if at < first_bad else "bad")

    found = bisect(range(size), look=look, cost=lambda at: at not in free)  # type: ignore[arg-type]
    assert found.last_good < first_bad <= found.first_bad
    assert set(found.skipped) == set(range(found.last_good + 1, found.first_bad))
    assert set(found.skipped) <= broken
    assert len(asked) == len(set(asked))


@given(st.integers(2, 200), st.data())
def test_it_halves(size: int, data: st.DataObject) -> None:
    first_bad = data.draw(st.integers(1, size - 1))
    asked: list[int] = []

    def look(at: int) -> str:
        asked.append(at)
        return "good" if at < first_bad else "bad"

    bisect(range(size), look=look)  # type: ignore[arg-type]
    assert len(asked) <= (size - 1).bit_length()


def test_what_is_free_goes_first() -> None:
    asked: list[int] = []

    def look(at: int) -> str:
        asked.append(at)
        return "good" if at < 3 else "bad"

    bisect(range(12), look=look, cost=lambda at: at not in {2, 3})  # type: ignore[arg-type]
    assert asked == [3, 2]
