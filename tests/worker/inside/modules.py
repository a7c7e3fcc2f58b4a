"""Steps and module events."""

from __future__ import annotations

import collections
import contextlib
import ctypes
import dataclasses
import threading
import typing

import torch

from forkpoint_worker import schema
from support import Recorded, digest, recording, small_net

LEVELS = ("bare", "module", "op")


class Twice(torch.nn.Module):
    """Calls one module twice, owns another under two names, and passes keywords on."""

    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(4, 4)
        self.alias = self.inner
        self.scale = Scale()

    def forward(self, x, *rest, factor=2.0, mask=None):
        return self.scale(self.alias(self.inner(x)), factor=factor)


class Scale(torch.nn.Module):
    def forward(self, x, factor):
        return x * factor


class Returns(torch.nn.Module):
    """Returns what it is told to make of its input."""

    def __init__(self, make):
        super().__init__()
        self.make = make

    def forward(self, *args, **kwargs):
        return self.make(*args, **kwargs)


@dataclasses.dataclass
class Output:
    logits: torch.Tensor
    hidden: tuple
    loss: typing.Optional[torch.Tensor] = None


class ModelOutput(collections.OrderedDict):
    """Like that of transformers: a dictionary that also has attributes."""


Pair = collections.namedtuple("Pair", "first second")


def names(entries):
    return [entry["name"] for entry in entries]


def test_events_of_a_step(tmp):
    net, x = small_net(), torch.randn(2, 6)
    with recording(tmp, "module") as session, torch.no_grad():
        result = net(x)
    seen = Recorded(tmp)
    assert seen.steps == [
        {"module": "Sequential", "level": schema.MODULE, "state": schema.COMPLETE, "thread": 0}
    ]
    assert [e.kind for e in seen.events] == ["weights", "input"] + ["module"] * 5
    assert [e.module for e in seen.of("module")] == ["0", "1", "2", "3", ""]
    assert names(seen.of("input")[0].inputs) == ["input"]
    assert seen.of("input")[0].inputs[0]["digest"] == digest(x)
    expected = [name for name, _ in net.named_parameters()]
    assert names(seen.of("weights")[0].inputs) == expected
    assert seen.of("weights")[0].inputs[0]["digest"] == digest(net[0].weight)
    assert seen.of("module")[-1].outputs[0]["digest"] == seen.roots()[0] == digest(result)
    assert session.recorder.steps == 1
    assert seen.manifest["complete"] is True
    assert seen.uncovered == {}


def test_a_module_called_twice_and_a_shared_one(tmp):
    net = Twice()
    with recording(tmp, "module"), torch.no_grad():
        net(torch.randn(2, 4), factor=3.0)
    found = [(e.module, e.call) for e in Recorded(tmp).of("module")]
    assert found == [("inner", 0), ("inner", 1), ("scale", 0), ("", 0)]


def test_arguments_have_their_names(tmp):
    net, x = Twice(), torch.randn(2, 4)
    with recording(tmp, "module"), torch.no_grad():
        net(x, x + 1, factor=3.0, mask=[x + 2, {"deep": x + 3}])
        net(x)
    first, second = Recorded(tmp).of("input")
    assert names(first.inputs) == ["x", "args[0]", "mask[0]", "mask[1].deep"]
    assert first.signature == "factor=3.0"
    assert names(second.inputs) == ["x"]


def test_plain_values_are_part_of_the_input(tmp):
    net, x = Twice(), torch.randn(2, 4)
    with recording(tmp, "module"), torch.no_grad():
        for factor in (2.0, 2.0, 2.5, True):
            net(x, factor=factor)
    digests = [e.digest for e in Recorded(tmp).of("input")]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_outputs_of_every_form(tmp):
    forms = {
        "tuple": (lambda x: (x, [x + 1, x + 2]), ["[0]", "[1][0]", "[1][1]"]),
        "dict": (lambda x: {"a": x, "b": {"c": x + 1}}, ["a", "b.c"]),
        "pair": (lambda x: Pair(x, x + 1), ["first", "second"]),
        "output": (lambda x: Output(x, (x + 1,)), ["logits", "hidden[0]"]),
        "model": (lambda x: ModelOutput(last=x, past=(x, x + 1)), ["last", "past[0]", "past[1]"]),
        "tensor": (lambda x: x + 1, ["out"]),
    }
    x = torch.randn(3)
    for form, (make, expected) in forms.items():
        with recording(tmp, "module", form):
            Returns(make)(x)
        seen = Recorded(tmp, form)
        assert names(seen.of("module")[0].outputs) == expected, form
        assert seen.uncovered == {}, form


def test_what_is_no_tensor_is_told(tmp):
    with recording(tmp, "module"):
        Returns(lambda x: (x, object()))(torch.ones(2))
    assert Recorded(tmp).uncovered == {("output of an unknown type", "object"): 1}


def test_none_and_numbers_are_part_of_an_output(tmp):
    with recording(tmp, "module"):
        for value in (None, 1, 1.0, True, "text"):
            Returns(lambda x, value: (x, value))(torch.ones(2), value=value)
    assert len(set(Recorded(tmp).roots())) == 5


def test_results_are_the_very_objects(tmp):
    x = torch.ones(2, requires_grad=True)
    made = {}

    def make(given, flag):
        assert given is x
        assert flag is made
        return made

    with recording(tmp, "op"):
        assert Returns(make)(x, flag=made) is made


def test_an_exception_passes_through(tmp):
    class Odd(Exception):
        pass

    def fail(x):
        raise Odd(x)

    net = torch.nn.Sequential(torch.nn.Linear(2, 2), Returns(fail))
    x = torch.ones(1, 2)
    with recording(tmp, "op"):
        for _ in range(2):
            try:
                net(x)
            except Odd as caught:
                assert isinstance(caught.args[0], torch.Tensor)
            else:
                raise AssertionError("swallowed")
        net[0](x)
    seen = Recorded(tmp)
    assert [s["state"] for s in seen.steps] == [schema.RAISED, schema.RAISED, schema.COMPLETE]
    assert [(e.step, e.module) for e in seen.of("module")] == [(0, "0"), (1, "0"), (2, "")]
    assert [s["module"] for s in seen.steps] == ["Sequential", "Sequential", "Linear"]


def test_a_caught_exception_leaves_the_step_alone(tmp):
    class Tries(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bad = torch.nn.Linear(5, 5)
            self.good = torch.nn.Linear(2, 2)

        def forward(self, x):
            try:
                return self.bad(x)
            except RuntimeError:
                return self.good(x)

    with recording(tmp, "op"), torch.no_grad():
        Tries()(torch.ones(1, 2))
    seen = Recorded(tmp)
    assert [e.module for e in seen.of("module")] == ["good", ""]
    assert seen.steps[0]["state"] == schema.COMPLETE


def test_two_roots_of_a_class_have_two_names(tmp):
    nets = [small_net(), small_net(), torch.nn.Linear(6, 2)]
    with recording(tmp, "module"):
        for i in (0, 1, 0, 2):
            nets[i](torch.ones(2, 6))
    expected = ["Sequential", "Sequential#2", "Sequential", "Linear"]
    assert [s["module"] for s in Recorded(tmp).steps] == expected


def test_a_module_made_during_the_step(tmp):
    class Grows(torch.nn.Module):
        def forward(self, x):
            self.late = torch.nn.Linear(2, 2)
            return torch.nn.ReLU()(self.late(x))

    with recording(tmp, "module"):
        Grows()(torch.ones(1, 2))
    assert [e.module for e in Recorded(tmp).of("module")] == ["late", "?ReLU", ""]


def test_threads_do_not_mix(tmp):
    turns = threading.Barrier(2)

    class Waits(torch.nn.Module):
        def forward(self, x):
            turns.wait()
            return x + 1

    nets = [torch.nn.Sequential(Waits(), torch.nn.Linear(n, n), Waits()) for n in (3, 5)]
    xs = [torch.randn(2, 3), torch.randn(2, 5)]
    results = [[], []]

    def work(i):
        for _ in range(5):
            with torch.no_grad():
                results[i].append(nets[i](xs[i]))

    for level in LEVELS:
        threads = [threading.Thread(target=work, args=(i,)) for i in (0, 1)]
        with recording(tmp, level, level):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        seen = Recorded(tmp, level)
        assert len(seen.steps) == 10
        assert {s["thread"] for s in seen.steps} == {1, 2}
        assert all(s["state"] == schema.COMPLETE for s in seen.steps)
        wanted = [""] if level == "bare" else ["0", "1", "2", ""]
        for step in range(10):
            events = seen.of("module", step)
            assert [e.module for e in events] == wanted, (level, step)
            shapes = {o["shape"] for e in seen.of("op", step) if e.inside for o in e.outputs}
            width = seen.of("input", step)[0].inputs[0]["shape"]
            assert shapes <= {width, width[::-1].replace("2", width[-1]), "3,3", "5,5"}
            assert {o["shape"] for e in events for o in e.outputs} == {width}
        if level == "op":
            assert len({len(seen.of("op", step)) for step in range(10)}) == 1
    assert len({digest(result) for result in results[0]}) == 1


def test_levels_agree_on_steps(tmp):
    net, x = small_net(), torch.randn(2, 6)
    for level in LEVELS:
        with recording(tmp, level, level):
            for i in range(3):
                net(x * i)
    records = [Recorded(tmp, level) for level in LEVELS]
    for digests in zip(*(record.roots() for record in records)):
        assert len(set(digests)) == 1
    for event in ("input", "weights"):
        assert len({tuple(e.digest for e in record.of(event)) for record in records}) == 1
    assert [len(record.of("module")) for record in records] == [3, 15, 15]
    assert [len(record.of("op")) > 0 for record in records] == [False, False, True]


def test_ranges_of_steps(tmp):
    net = small_net()
    with recording(tmp, "op", steps=[[1, 2], [3, None]]), torch.no_grad():
        for _ in range(5):
            net(torch.ones(1, 6))
    levels = [s["level"] for s in Recorded(tmp).steps]
    assert levels == [schema.BARE, schema.OP, schema.BARE, schema.OP, schema.OP]


def test_grad_modes_have_the_same_digests(tmp):
    net, x = small_net(), torch.randn(2, 6)
    for level in LEVELS:
        with recording(tmp, level, level):
            net(x)
            with torch.no_grad():
                net(x)
            with torch.inference_mode():
                net(x)
                net(x.clone())
        seen = Recorded(tmp, level)
        assert len(set(seen.roots())) == 1, level
        events = [tuple((e.module, e.digest) for e in seen.of("module", s)) for s in range(4)]
        assert len(set(events)) == 1, level


def test_inference_tensors_written_between_module_events(tmp):
    """They have no version counter: what is known of one may be old."""

    class Writes(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.same = torch.nn.Identity()

        def forward(self, x):
            for _ in range(3):
                self.same(x)
                x += 1
            return x

    for level in LEVELS:
        with recording(tmp, level, level), torch.inference_mode():
            Writes()(torch.zeros(100))
        seen = Recorded(tmp, level)
        assert len({e.digest for e in seen.of("module")}) == (1 if level == "bare" else 4), level


def test_memory_written_by_others_between_steps(tmp):
    x = torch.zeros(64)
    for level in LEVELS:
        with recording(tmp, level, level):
            for i in range(3):
                ctypes.memset(x.data_ptr(), i, 256)
                Returns(lambda x: x * 2)(x)
        assert len({e.digest for e in Recorded(tmp, level).of("input")}) == 3, level


def test_weights_are_hashed_once_until_they_change(tmp):
    net, x = small_net(), torch.randn(2, 6)
    for level in ("module", "op"):
        with recording(tmp, level, level):
            for _ in range(3):
                net(x)
            with torch.no_grad():
                net[0].bias.add_(1)
            net(x)
            net[3].weight.data.mul_(2)
            net(x)
            net[3].weight = torch.nn.Parameter(net[3].weight * 3)
            net(x)
            net(x)
        events = Recorded(tmp, level).of("weights")
        assert [e.step for e in events] == [0, 3, 4, 5], level
        assert len({e.digest for e in events}) == 4, level


def test_an_optimizer_step_changes_the_weights(tmp):
    for level in ("module", "op"):
        net, x = small_net(), torch.randn(2, 6)
        optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
        with recording(tmp, level, level):
            for _ in range(3):
                optimizer.zero_grad()
                net(x).square().sum().backward()
                optimizer.step()
        events = Recorded(tmp, level).of("weights")
        assert [e.step for e in events] == [0, 1, 2], level
        assert len({e.digest for e in events}) == 3, level


def test_only_one_module_is_watched(tmp):
    from forkpoint_worker.session import record_model

    net, other = small_net(), small_net()
    original = torch.nn.Module.__call__
    with record_model(net, tmp + "/rec", level="op"):
        other(torch.ones(1, 6))
        wanted = digest(net(torch.ones(1, 6)))
        torch.nn.Sequential(net)(torch.ones(1, 6))
    assert torch.nn.Module.__call__ is original
    seen = Recorded(tmp)
    assert seen.roots() == [wanted, wanted]
    assert seen.manifest["complete"]


def test_a_recording_that_raises_is_not_complete(tmp):
    from forkpoint_worker.session import record_model

    net = small_net()
    with contextlib.suppress(KeyError), record_model(net, tmp + "/rec"):
        net(torch.ones(1, 6))
        {}["mine"]
    seen = Recorded(tmp)
    assert not seen.manifest["complete"]
    assert seen.manifest["status"] == "raised"
    assert seen.manifest["error"]["type"] == "KeyError"
    assert len(seen.roots()) == 1


def test_hooks_still_run(tmp):
    net, called = small_net(), []
    net[1].register_forward_pre_hook(lambda module, args: called.append("before"))
    net[1].register_forward_hook(lambda module, args, out: out + 1)
    with recording(tmp, "op"), torch.no_grad():
        net(torch.ones(1, 6))
    assert called == ["before"]
    seen = Recorded(tmp)
    (event,) = [e for e in seen.of("module") if e.module == "1"]
    assert event.outputs[0]["id"] in [o["id"] for e in seen.ops("add") for o in e.outputs]
