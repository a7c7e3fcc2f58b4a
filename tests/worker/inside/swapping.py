"""The other side's results in place of a watched function's own."""

from __future__ import annotations

import os
import sys

import numpy_or_none
import torch

from forkpoint_worker.schema import NOT_SWAPPED
from support import Recorded, digest, recording

MODULE = """
import collections, dataclasses
import torch

SIDE = "good"
LAST = None
Pair = collections.namedtuple("Pair", ["first", "second"])

@dataclasses.dataclass
class Box:
    values: object
    label: str = ""

def bad():
    return SIDE == "bad"

def base(n=6):
    return torch.arange(float(n)) + (0.25 if bad() else 0.0)

def tensor():
    return base()

def nested():
    return [Pair(base(), 3), {"a": base(4), "same": torch.ones(2)}, Box(base(2), "x")]

def plain():
    return base(), 2 if bad() else 1, "other" if bad() else "one, result[3][0]=4", {4, 5 + bad()}

def numbers():
    return float("nan") if bad() else float("inf"), -0.0 if bad() else 0.0, None if bad() else True

def longer():
    return base(5 if bad() else 7)

def transposed():
    return base().view(2, 3).t()

def text():
    return base(), "a" * 300

def many():
    return base(), list(range(2000)), 2 if bad() and SIDE_EFFECT else 1

SIDE_EFFECT = False

class Tag(str):
    pass

def tagged():
    return base(), Tag("bad" if bad() else "good")

class Fixed(str):
    def __new__(cls, *, text):
        return super().__new__(cls, text)

def fixed():
    return Fixed(text="bad" if bad() else "good")

def tagged_on_one_side():
    return Tag("bad") if bad() else "good"

def other_names():
    return {"b": base()} if bad() else {"a": base()}

def other_dtype():
    return base().double() if bad() else base()

def more():
    return [1, 2] if bad() else [1, 2, 3]

def gradient():
    return base().requires_grad_()

def unknown():
    return object(), base()

def generator():
    return (n for n in range(3))

def raises():
    if bad():
        raise ValueError("no")
    return base()

def nothing():
    return None

def kept():
    global LAST
    LAST = base()
    return LAST

def downstream(x):
    return x * 2
"""


def load(tmp):
    with open(os.path.join(tmp, "swapped.py"), "w") as stream:
        stream.write(MODULE)
    if tmp not in sys.path:
        sys.path.insert(0, tmp)
    sys.modules.pop("swapped", None)


def both(tmp, call, names, swap=None, max_storage=10**6, text=None):
    """What ``call`` gives in the reference's run, and in one with swapped results."""
    load(tmp)
    if text is not None:
        with open(os.path.join(tmp, "swapped.py"), "a") as stream:
            stream.write(text)
    watch = ["swapped:" + name for name in names]
    job = {"watch": watch, "store": (), "max_storage": max_storage}
    with recording(tmp, "module", name="a", **job):
        import swapped

        good = call(swapped)
    sys.modules.pop("swapped")
    job["reference"] = os.path.join(tmp, "a")
    job["substitute"] = {"ops": [], "watched": ["swapped:" + n for n in swap or names]}
    with recording(tmp, "module", name="b", **job):
        import swapped

        swapped.SIDE = "bad"
        try:
            bad = call(swapped)
        except ValueError as error:
            bad = error
    return good, bad, Recorded(tmp, "a"), Recorded(tmp, "b")


def why(seen):
    return [detail.partition(": ")[2] for kind, detail in seen.uncovered if kind == NOT_SWAPPED]


def test_a_tensor_is_the_references_and_what_follows_is_equal(tmp):
    def run(m):
        return m.downstream(m.tensor())

    good, bad, a, b = both(tmp, run, ["tensor", "downstream"], swap=["tensor"])
    assert torch.equal(good, bad)
    own, after = ({e.op: e for e in seen.of("watch")} for seen in (a, b))
    assert own["swapped:tensor"].digest != after["swapped:tensor"].digest
    assert own["swapped:downstream"].digest == after["swapped:downstream"].digest
    assert not b.uncovered


def test_containers_are_rebuilt_as_they_are(tmp):
    good, bad, _, b = both(tmp, lambda m: m.nested(), ["nested"])
    assert not b.uncovered
    assert type(bad[0]).__name__ == "Pair" and bad[0].second == 3
    assert torch.equal(bad[0].first, good[0].first)
    assert torch.equal(bad[1]["a"], good[1]["a"]) and torch.equal(bad[1]["same"], good[1]["same"])
    assert type(bad[2]).__name__ == "Box" and bad[2].label == "x"
    assert torch.equal(bad[2].values, good[2].values)


def test_plain_values_are_read_back_or_not_at_all(tmp):
    good, bad, _, b = both(tmp, lambda m: m.numbers(), ["numbers"])
    assert not b.uncovered
    assert repr(bad) == repr(good) == "(inf, 0.0, True)"


def test_plain_values_of_other_classes_keep_them(tmp):
    good, bad, _, b = both(tmp, lambda m: m.tagged(), ["tagged"])
    assert torch.equal(good[0], bad[0]) and bad[1] == "good"
    assert type(bad[1]).__name__ == "Tag"
    assert not b.uncovered


def test_a_class_that_takes_no_text_is_not_swapped(tmp):
    _, bad, _, b = both(tmp, lambda m: m.fixed(), ["fixed"])
    assert bad == "bad"
    assert [reason.partition(" (")[0] for reason in why(b)] == ["it returns a Fixed"]


def test_a_class_that_the_reference_has_not_is_not_swapped(tmp):
    _, bad, _, b = both(tmp, lambda m: m.tagged_on_one_side(), ["tagged_on_one_side"])
    assert bad == "bad"
    assert why(b) == ["what was rebuilt has not the digest that the reference recorded"]


def test_text_that_looks_like_another_value_is_told_apart(tmp):
    good, bad, _, b = both(tmp, lambda m: m.plain(), ["plain"])
    assert torch.equal(good[0], bad[0]) and bad[1:] == good[1:]
    assert not b.uncovered


def test_many_equal_plain_values_are_no_obstacle(tmp):
    good, bad, _, b = both(tmp, lambda m: m.many(), ["many"])
    assert torch.equal(good[0], bad[0]) and bad[1] == good[1]
    assert not b.uncovered


def test_many_plain_values_that_differ_are_the_references(tmp):
    def run(m):
        m.SIDE_EFFECT = True
        return m.many()

    good, bad, _, b = both(tmp, run, ["many"])
    assert torch.equal(good[0], bad[0]) and bad[1] == good[1]
    assert not b.uncovered


def test_another_length_is_the_references(tmp):
    good, bad, _, b = both(tmp, lambda m: m.longer(), ["longer"])
    assert torch.equal(good, bad) and bad.shape == (7,) and not b.uncovered


def test_the_layout_is_the_references(tmp):
    good, bad, _, b = both(tmp, lambda m: m.transposed(), ["transposed"])
    assert torch.equal(good, bad) and bad.stride() == (1, 3) and not b.uncovered


def test_what_is_equal_stays_the_very_object(tmp):
    def run(m):
        m.SIDE = "good"
        result = m.kept()
        return result is m.LAST

    assert both(tmp, run, ["kept"])[:2] == (True, True)


def test_what_the_function_keeps_stays_its_own(tmp):
    def run(m):
        return m.kept(), m.LAST

    good, bad, _, b = both(tmp, run, ["kept"])
    assert torch.equal(good[0], bad[0]) and not torch.equal(bad[0], bad[1])
    assert not b.uncovered


def test_what_cannot_be_rebuilt_is_left_and_said(tmp):
    reasons = {
        "other_names": "the reference's result holds other tensors, or more or fewer of them",
        "other_dtype": "it returns float64, the reference float32",
        "more": "the reference's result holds other plain values, or more or fewer of them",
        "gradient": "it returns a tensor with gradients, or one of another class",
        "unknown": "it returns a object, which cannot be rebuilt",
        "generator": "it returns a generator, which cannot be rebuilt",
        "text": "it returns a plain value of more than 200 characters",
        "raises": "it raised ValueError",
    }
    for name, reason in reasons.items():
        folder = os.path.join(tmp, name)
        os.makedirs(folder)
        sys.path.insert(0, folder)
        _, bad, _, b = both(folder, lambda m, name=name: getattr(m, name)(), [name])
        sys.path.remove(folder)
        assert why(b) == [reason], (name, why(b))
        if name == "other_dtype":
            assert bad[0].item() == 0.25


def test_what_was_not_kept_is_said(tmp):
    _, bad, _, b = both(tmp, lambda m: m.tensor(), ["tensor"], max_storage=0)
    assert why(b) == ["the reference did not keep its bytes: give it more --max-storage"]
    assert bad[0].item() == 0.25


def test_a_call_that_the_reference_did_not_make(tmp):
    def run(m):
        return [m.tensor() for _ in range(2 if m.bad() else 1)][-1]

    _, bad, _, b = both(tmp, run, ["tensor"])
    assert why(b) == ["the reference recorded no such call"]
    assert bad[0].item() == 0.25


def test_equal_plain_values_are_equal(tmp):
    assert both(tmp, lambda m: m.nothing(), ["nothing"])[1] is None


def test_bytes_that_changed_on_the_disk_are_not_handed_on(tmp):
    def run(m):
        if m.bad():
            path = os.path.join(tmp, "a", "tensors", "00001.safetensors")
            with open(path, "r+b") as stream:
                stream.seek(-4, os.SEEK_END)
                stream.write(b"\1\2\3\4")
        return m.tensor()

    _, bad, _, b = both(tmp, run, ["tensor"])
    assert why(b) == ["what was rebuilt has not the digest that the reference recorded"]
    assert bad[0].item() == 0.25


def test_arrays_and_scalars_of_numpy(tmp):
    numpy = numpy_or_none.get()
    text = "\ndef arrays():\n    import numpy\n    x = base().numpy()\n"
    text += "    return x, x.reshape(2, 3)[:, ::-1], numpy.float32(x[0]), numpy.arange(3)\n"
    good, bad, _, b = both(tmp, lambda m: m.arrays(), ["arrays"], text=text)
    assert not b.uncovered
    for one, two in zip(good, bad):
        assert type(one) is type(two)
        assert numpy.array_equal(one, two)


def test_a_device_stays_the_functions_own(tmp):
    if not torch.cuda.is_available():
        return
    text = "\ndef there():\n    return base().cuda()\n"
    good, bad, _, b = both(tmp, lambda m: m.there(), ["there"], text=text)
    assert bad.is_cuda and torch.equal(good, bad) and digest(good) == digest(bad)
    assert not b.uncovered
