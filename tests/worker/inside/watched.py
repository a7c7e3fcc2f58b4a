"""Functions that are watched from outside."""

from __future__ import annotations

import os
import sys

import numpy_or_none
import torch

from forkpoint_worker.session import record_model
from support import Recorded, digest, recording, small_net

MODULE = """
import torch

def scale(x, factor=2.0, *, names=()):
    x = x * factor
    return x, {"factor": factor, "names": set(names)}

class Box:
    def __init__(self, size):
        self.size = size
    def method(self, x):
        return x + self.size
    @staticmethod
    def static(x):
        return x - 1
    @classmethod
    def made(cls, x):
        return x.sum().item()

def fails(x):
    raise ValueError("no")

class Sub(Box):
    pass

not_callable = 3
"""


def module(tmp, name, text=MODULE):
    with open(os.path.join(tmp, name + ".py"), "w") as stream:
        stream.write(text)
    if tmp not in sys.path:
        sys.path.insert(0, tmp)
    sys.modules.pop(name, None)
    return name


def calls(seen):
    return [e for e in seen.events if e.kind == "watch"]


def test_a_call_before_the_first_step(tmp):
    name = module(tmp, "early")
    x = torch.randn(3, 2)
    with recording(tmp, "module", watch=[name + ":scale"]):
        import early

        early.scale(x, names=("b", "a"))
        before = early.scale
    seen = Recorded(tmp)
    (call,) = calls(seen)
    assert (call.op, call.call, call.step, call.inside, call.module) == (
        name + ":scale",
        0,
        -1,
        0,
        "",
    )
    assert [(e["name"], e["digest"]) for e in call.inputs] == [("x", digest(x))]
    assert [(e["name"], e["digest"]) for e in call.outputs] == [("result[0]", digest(x * 2.0))]
    assert call.signature == (
        "names[0]='b', names[1]='a' -> "
        "result[1].factor=2.0, result[1].names[0]='a', result[1].names[1]='b'"
    )
    assert set(seen.stored) == {call.outputs[0]["id"]}
    assert early.scale is not before and not seen.uncovered
    del sys.modules[name]


def test_calls_inside_and_after_steps_are_numbered_over_the_run(tmp):
    name = module(tmp, "around")
    net = small_net()
    import around

    net[1].forward = lambda x: around.scale(x, 1.0)[0]
    with recording(tmp, "op", watch=[name + ":scale"]), torch.no_grad():
        net(torch.randn(2, 6))
        around.scale(torch.ones(2))
        net(torch.randn(2, 6))
    found = [(e.call, e.step, e.inside, e.module) for e in calls(Recorded(tmp))]
    assert found == [(0, 0, 1, "1"), (1, 0, 0, ""), (2, 1, 1, "1")]


def test_methods_of_every_kind(tmp):
    name = module(tmp, "methods")
    paths = ("Box.method", "Box.static", "Box.made", "Sub.method")
    with recording(tmp, "module", watch=["%s:%s" % (name, path) for path in paths]):
        import methods

        x = torch.ones(2)
        assert methods.Box(1).method(x).tolist() == [2, 2]
        assert methods.Box.static(x).tolist() == [0, 0]
        assert methods.Sub.made(x) == 2.0
    assert "method" not in vars(methods.Sub)
    assert isinstance(vars(methods.Box)["static"], staticmethod)
    seen = Recorded(tmp)
    assert [e.op.partition(":")[2] for e in calls(seen)] == list(paths[:3])
    assert seen.noted("watched function never called") == 1


def test_what_raises_is_recorded_and_raises(tmp):
    name = module(tmp, "failing")
    with recording(tmp, "module", watch=[name + ":fails"]):
        import failing

        try:
            failing.fails(4)
        except ValueError as error:
            assert str(error) == "no"
        else:
            raise AssertionError("the error was swallowed")
    (call,) = calls(Recorded(tmp))
    assert (call.signature, call.digest) == ("x=4 -> raised ValueError", None)


def test_names_that_lead_nowhere_are_said(tmp):
    name = module(tmp, "nowhere")
    watch = [name + ":absent", name + ":Box", name + ":not_callable", "never.imported:f"]
    with recording(tmp, "module", watch=watch):
        import nowhere  # noqa: F401
    seen = Recorded(tmp)
    said = {detail for kind, detail in seen.uncovered if kind == "watched function not found"}
    assert said == {
        "nowhere:absent: there is no absent",
        "nowhere:Box: it is a class; name one of its methods",
        "nowhere:not_callable: it is no function",
    }
    assert ("watched module never imported", "never.imported:f") in seen.uncovered
    assert seen.noted("watched function never called") == 0


def test_a_result_of_numpy(tmp):
    numpy = numpy_or_none.get()
    name = module(
        tmp, "arrays", "import numpy\ndef f(n): return numpy.arange(n)[::-1], numpy.float32(n)\n"
    )
    with recording(tmp, "module", watch=[name + ":f"]):
        import arrays

        arrays.f(4)
    (call,) = calls(Recorded(tmp))
    assert call.outputs[0]["digest"] == digest(torch.from_numpy(numpy.arange(4)[::-1].copy()))
    assert call.signature.endswith("-> result[1]=4.0")


def test_a_result_written_to_later_stays_what_it_was(tmp):
    name = module(tmp, "written")
    with recording(tmp, "op", watch=[name + ":scale"]):
        import written

        result, _ = written.scale(torch.ones(3))
        result.add_(1)
        written.scale(result)
    first, second = calls(Recorded(tmp))
    assert first.outputs[0]["digest"] == digest(torch.full((3,), 2.0))
    assert second.inputs[0]["digest"] == digest(torch.full((3,), 3.0))


def test_a_module_recorded_in_this_process(tmp):
    name = module(tmp, "notebook")
    import notebook

    net = small_net()
    folder = os.path.join(tmp, "rec")
    with record_model(net, folder, watch=[name + ":scale"]), torch.no_grad():
        notebook.scale(net(torch.randn(2, 6)))
    (call,) = calls(Recorded(tmp))
    assert (call.step, call.inside) == (0, 0)
    assert notebook.scale.__module__ == name
    assert not hasattr(notebook.scale, "__wrapped__")


def test_texts_that_differ_at_their_end_have_other_digests(tmp):
    text = MODULE + "\ndef spell(last):\n    return 'x' * 5000 + last\n"
    name = module(tmp, "spelling", text)
    with recording(tmp, "module", watch=[name + ":spell"]):
        import spelling

        for last in ("a", "b", "a"):
            spelling.spell(last)
    one, two, three = calls(Recorded(tmp))
    assert one.digest == three.digest != two.digest
    assert one.signature != two.signature
    assert len(one.signature) < 500
