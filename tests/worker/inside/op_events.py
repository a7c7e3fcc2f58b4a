"""Op events; `support.recording` compares every digest with that of a copy."""

from __future__ import annotations

import os

import torch

from forkpoint_worker import schema
from support import Recorded, digest, recording, small_net


class Does(torch.nn.Module):
    """Calls a function: everything in it is an op of the step."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


def ops_of(tmp, function, *args):
    with recording(tmp, "op"), torch.no_grad():
        result = Does(function)(*args)
    return Recorded(tmp), result


def test_an_op_event(tmp):
    x, w = torch.randn(3, 4), torch.randn(4, 5)
    seen, y = ops_of(tmp, lambda x, w: torch.add(x @ w, 1.5, alpha=2), x, w)
    mm, add = seen.of("op")
    assert (mm.op, add.op) == ("aten.mm.default", "aten.add.Tensor")
    assert mm.signature == "aten.mm.default(float32[3,4]{4,1}, float32[4,5]{5,1})"
    assert add.signature == "aten.add.Tensor(float32[3,5]{5,1}, 1.5, alpha=2)"
    assert [(i["name"], i["digest"]) for i in mm.inputs] == [
        ("self", digest(x)), ("mat2", digest(w)),
    ]  # fmt: skip
    assert add.inputs[0]["id"] == mm.outputs[0]["id"]
    assert add.digest == add.outputs[0]["digest"] == digest(y)
    assert seen.of("module")[0].outputs[0]["id"] == add.outputs[0]["id"]
    assert mm.inside == add.inside == 1


def test_calls_are_numbered_by_module_and_op(tmp):
    net = torch.nn.Sequential(Does(lambda x: x.sin().sin()), Does(lambda x: x.sin()))
    with recording(tmp), torch.no_grad():
        net(torch.ones(2))
    found = [(e.module, e.call) for e in Recorded(tmp).ops("sin")]
    assert found == [("0", 0), ("0", 1), ("1", 0)]


def test_views_have_no_digest_of_their_own(tmp):
    x = torch.randn(4, 6)
    seen, _ = ops_of(tmp, lambda x: x.t()[1:].exp(), x)
    views = [e for e in seen.of("op") if "exp" not in e.op]
    assert len(views) == 2
    given = seen.of("input")[0].inputs[0]["id"]
    for event in views:
        assert event.digest is None
        assert event.outputs[0]["source"] == schema.SOURCE_VIEW
        assert event.outputs[0]["digest"] is None
    assert views[0].outputs[0]["base"] == given


def test_a_view_of_the_same_bytes_has_their_digest(tmp):
    x = torch.randn(4, 6)
    seen, _ = ops_of(tmp, lambda x: x.view(24).view(2, 12), x)
    digests = [e.outputs[0]["digest"] for e in seen.of("op")]
    assert digests == [digest(x.view(24)), digest(x.view(2, 12))]
    assert [e.digest for e in seen.of("op")] == [None, None]


def test_writing_in_place(tmp):
    def steps(x):
        y = x * 1
        view = y.view(-1)[2:]
        y.add_(1)
        a = view.exp()
        view.mul_(3)
        b = y.exp()
        y[0] = 7
        c = view.exp()
        y.t().copy_(a.sum())
        y.zero_()
        y.fill_(2).relu_()
        return a, b, c, y

    x = torch.randn(3, 4)
    seen, results = ops_of(tmp, steps, x)
    assert [o["digest"] for o in seen.of("module")[0].outputs] == [digest(r) for r in results]
    assert seen.ops("exp")[1].inputs[0]["digest"] == seen.ops("exp")[1].inputs[0]["digest"]


def test_writing_where_another_input_shares_the_memory(tmp):
    def steps(x):
        y = x * 1
        y.add_(y.view(y.shape))
        y[0].add_(y[1])
        y.copy_(y.clone())
        y.view(-1)[1:3].copy_(y.view(-1)[4:6])
        return y

    seen, y = ops_of(tmp, steps, torch.randn(3, 4))
    assert seen.of("module")[0].outputs[0]["digest"] == digest(y)


def test_writing_to_an_input_of_the_step(tmp):
    x = torch.zeros(5)
    with recording(tmp), torch.no_grad():
        for _ in range(3):
            Does(lambda x: x.add_(1))(x)
    seen = Recorded(tmp)
    assert len(set(seen.roots())) == 3
    taken = [e.inputs[0]["digest"] for e in seen.of("input")]
    given = [e.outputs[0]["digest"] for e in seen.of("module")]
    assert taken[1:] == given[:2]


def test_out_arguments(tmp):
    def steps(x):
        out = torch.empty(3)
        torch.add(x, 1, out=out)
        torch.mul(out, out, out=out)
        values, indices = torch.empty(0), torch.empty(0, dtype=torch.int64)
        torch.max(x.view(1, 3), 1, out=(values, indices))
        return out, values, indices

    seen, results = ops_of(tmp, steps, torch.tensor([1.0, 2.0, -3.0]))
    assert [o["digest"] for o in seen.of("module")[0].outputs] == [digest(r) for r in results]


def test_ops_with_several_results(tmp):
    def steps(x):
        a, b = x.split(2)
        c, d = torch.chunk(x * 2, 2)
        values, order = x.sort(0)
        e = torch.stack([a, b, c, d]).unbind(0)
        q, r = torch.linalg.qr(x)
        return a + c, values, order, e[2] + 1, q, r, torch.var_mean(x)

    seen, _ = ops_of(tmp, steps, torch.randn(4, 3))
    (event,) = seen.ops("sort")
    assert [(o["slot"], o["name"], o["dtype"]) for o in event.outputs] == [
        (0, "out", "float32"), (1, "[1]", "int64"),
    ]  # fmt: skip
    assert len(seen.ops("split")[0].outputs) == 2


def test_lists_of_tensors(tmp):
    def steps(x):
        several = [x + i for i in range(3)]
        torch._foreach_add_(several, 1.0)
        more = torch._foreach_mul(several, 2.0)
        return torch.cat([*several, *more]), torch.stack(more)

    seen, _ = ops_of(tmp, steps, torch.randn(3))
    (event,) = [e for e in seen.of("op") if "_foreach_add_" in e.op]
    assert len(event.inputs) == 3
    assert len({o["digest"] for o in event.outputs}) == 3
    (cat,) = seen.ops("cat")
    assert [i["id"] for i in cat.inputs[:3]] == [o["id"] for o in event.outputs]


def test_indexing(tmp):
    def steps(x):
        y = x.clone()
        y[torch.tensor([0, 2])] = 5
        y[y > 1] *= 2
        y.index_add_(0, torch.tensor([1]), torch.ones(1, 4))
        y.scatter_(1, torch.zeros(3, 1, dtype=torch.int64), 9.0)
        y.masked_fill_(y == 9, 0)
        return y, y.nonzero(), int(y.sum()), x[:, None].expand(3, 2, 4).contiguous()

    ops_of(tmp, steps, torch.randn(3, 4))


def test_storage_that_is_exchanged(tmp):
    def steps(x):
        y = torch.zeros(4)
        y.set_(x)
        z = torch.ones(2)
        z.resize_(6)
        z.fill_(3)
        z.data = x * 2
        w = x.detach()
        w.add_(1)
        return y + 1, z + 1, w, x.data.mul_(2), x

    ops_of(tmp, steps, torch.randn(4))


def test_lazy_conjugates(tmp):
    def steps(x):
        y = x.conj()
        y.mul_(2)
        return y, x + 0, y.imag, y.imag + 0, torch.view_as_real(x), x.conj().conj(), x @ y

    x = torch.complex(torch.randn(4), torch.randn(4))
    seen, results = ops_of(tmp, steps, x)
    outputs = {o["slot"]: o["digest"] for o in seen.of("module")[0].outputs}
    assert outputs == {i: digest(result) for i, result in enumerate(results)}


def test_running_statistics(tmp):
    """Batch norm writes to them, and its schema does not say so."""
    net = torch.nn.Sequential(torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.5))
    for train in (True, False, True):
        net.train(train)
        name = "%s-%d" % (train, len(os.listdir(tmp)))
        with recording(tmp, "op", name):
            for i in range(3):
                net(torch.randn(8, 4) + i).sum().backward()
        changed = {e.digest for e in Recorded(tmp, name).of("weights")}
        assert len(changed) == (3 if train else 1)


def test_random_ops_and_rnn(tmp):
    net = torch.nn.LSTM(4, 5, num_layers=2, dropout=0.2)
    with recording(tmp):
        for _ in range(2):
            out, _ = net(torch.randn(3, 2, 4))
            out.sum().backward()
    assert len(set(Recorded(tmp).roots())) == 2


def test_uninitialised_memory_has_no_digest(tmp):
    def steps(x):
        made = [torch.empty(50), torch.empty_like(x), x.new_empty(4)]
        made += [torch.empty_strided((2, 3), (3, 1)), torch.zeros(3).resize_(60)]
        made += [made[0].view(5, 10), made[0][3:]]
        return made[0].fill_(1)

    seen, _ = ops_of(tmp, steps, torch.randn(4))
    wild = [e for e in seen.of("op") if "empty" in e.op or "resize" in e.op]
    assert len(wild) == 5
    for event in wild:
        assert event.digest is None
        assert all(o["digest"] is None for o in event.outputs)
    views = seen.ops("view") + seen.ops("slice")
    assert all(o["digest"] is None for e in views for o in e.outputs)
    assert seen.roots() == [digest(torch.ones(50))]


def test_memory_that_is_used_again(tmp):
    """Temporaries die and their addresses come back: no digest may outlive its tensor."""

    def steps(x):
        for i in range(700):
            y = x + i
            y = y * 2
            z = y.view(-1)[1:] - 1
            del y
            y = x - i
            y.add_(z.sum())
        return y

    seen, _ = ops_of(tmp, steps, torch.randn(4, 8))
    assert len({e.digest for e in seen.ops("mul")}) == 700
    assert len({e.digest for e in seen.ops("sub")}) == 1400


def test_memory_that_is_used_again_between_module_events(tmp):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.same = torch.nn.Identity()

        def forward(self, x):
            for i in range(500):
                self.same(x + i)
            return x

    for mode in (torch.no_grad, torch.enable_grad, torch.inference_mode):
        with recording(tmp, "module", mode.__name__), mode():
            Net()(torch.zeros(16))
        digests = {e.digest for e in Recorded(tmp, mode.__name__).of("module")}
        assert len(digests) == 500


def test_a_training_step(tmp):
    def train(record):
        torch.manual_seed(1)
        net = small_net()
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
        losses = []
        with record:
            for _ in range(3):
                loss = net(torch.randn(5, 6)).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(digest(loss))
        return (
            losses,
            [digest(p) for p in net.parameters()],
            [digest(p.grad) for p in net.parameters()],
        )

    wanted = train(torch.enable_grad())
    for level in ("module", "op"):
        assert train(recording(tmp, level, level)) == wanted, level
    seen = Recorded(tmp, "op")
    gap = [e for e in seen.of("op") if not e.inside]
    assert {e.step for e in gap} == {0, 1, 2}
    assert any("backward" in e.op for e in gap)
    assert all(e.module == "" for e in gap)


def test_casts_of_autocast_are_seen(tmp):
    net, x = torch.nn.Linear(4, 4), torch.randn(2, 4)
    with recording(tmp), torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        result = net(x)
    assert result.dtype is torch.bfloat16
    assert len(Recorded(tmp).ops("_to_copy")) >= 2


def test_ops_before_the_first_step_are_not_recorded(tmp):
    with recording(tmp), torch.no_grad():
        x = torch.ones(3) + 1
        Does(lambda x: x.exp())(x)
        x.sin()
    assert [(e.op, e.inside) for e in Recorded(tmp).of("op")] == [
        ("aten.exp.default", 1), ("aten.sin.default", 0),
    ]  # fmt: skip


def test_many_ops_between_steps(tmp):
    with recording(tmp), torch.no_grad():
        x = Does(lambda x: x + 1)(torch.zeros(3))
        for _ in range(4500):
            x = x + 1
        Does(lambda x: x + 1)(x)
    seen = Recorded(tmp)
    assert len(seen.ops("add", 0)) == 4501
    assert [e.call for e in seen.ops("add", 0)] == [0, *range(4500)]
    assert seen.ops("add", 1)[0].inputs[0]["digest"] == digest(torch.full((3,), 4501.0))


def test_ops_in_inference_mode(tmp):
    def steps(x):
        y = x + 1
        view = y[1:]
        y.add_(1)
        a = view * 2
        view.zero_()
        return y, a

    with recording(tmp), torch.inference_mode():
        x = torch.randn(5)
        results = Does(steps)(x)
    found = [o["digest"] for o in Recorded(tmp).of("module")[0].outputs]
    assert found == [digest(r) for r in results]


def test_a_mode_of_the_script(tmp):
    from torch.utils._python_dispatch import TorchDispatchMode

    seen_by_script = []

    class Mine(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen_by_script.append(str(func))
            return func(*args, **(kwargs or {}))

    def steps(x):
        with Mine():
            return x.sin().cos()

    seen, _ = ops_of(tmp, steps, torch.ones(2))
    assert seen_by_script == ["aten.sin.default", "aten.cos.default"]
    assert [e.op for e in seen.of("op")] == seen_by_script


def test_a_mode_of_the_script_sees_its_own_ops_only(tmp):
    from torch.utils._python_dispatch import TorchDispatchMode

    class Mine(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    net, x = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Sigmoid()), torch.randn(300, 200)
    for level in ("module", "op"):
        seen = []
        with recording(tmp, level=level, name=level), Mine():
            net(x)
        assert seen == ["aten.tanh.default", "aten.sigmoid.default"]
        assert len(Recorded(tmp, level).of("module")) == 3
