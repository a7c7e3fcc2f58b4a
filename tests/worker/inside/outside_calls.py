"""Numbers made between steps: they are listed with function and place, and never changed."""

from __future__ import annotations

import contextlib
import threading

import torch
from torch.nn import functional

from support import Recorded, digest, recording

HERE = "outside_calls.py"


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.inner = torch.nn.Linear(4, 3)

    def forward(self, x):
        return torch.relu(self.inner(x))

    def encode(self, x):
        return functional.normalize(self.inner(x) * 2, dim=-1)


def found(tmp, name="rec"):
    """{detail without the line: count}."""
    seen = {}
    for detail, count in Recorded(tmp, name).outside.items():
        place, colon, line = detail.rpartition(":")
        assert not colon or line.isdigit(), detail
        seen[place or detail] = seen.get(place or detail, 0) + count
    return seen


def test_a_forward_that_is_called_directly(tmp):
    net, x = Net(), torch.ones(2, 4)
    with recording(tmp, "module"), torch.no_grad():
        torch.nn.Linear.forward(net.inner, x)
        for _ in range(3):
            net.forward(x)
        net.encode(x)
    assert found(tmp) == {
        "linear in Linear.forward, called directly, at " + HERE: 1,
        "relu in Net.forward, called directly, at " + HERE: 3,
        "mul in Net.encode, called directly, at " + HERE: 1,
        "normalize in Net.encode, called directly, at " + HERE: 1,
    }
    assert len(Recorded(tmp).steps) == 4  # the inner ones are called as modules are


def test_pooling_losses_and_gradients_in_the_script(tmp):
    net, x = Net(), torch.ones(2, 4)
    with recording(tmp, "op"):
        optimizer = torch.optim.Adam(net.parameters(), foreach=False)
        hidden = net(x)
        pooled = hidden.mean(0) @ torch.ones(3)
        loss = functional.mse_loss(pooled, torch.zeros(())) / 2
        loss.backward()
        optimizer.step()
        torch.linalg.norm(hidden.detach())
        hidden.detach().add_(1)
    seen = found(tmp)
    places = {
        "%s at %s" % (name, HERE)
        for name in ("mean", "matmul", "mse_loss", "div", "backward", "optimizer step", "add_")
    }
    assert {
        name.replace("__matmul__", "matmul").replace("__truediv__", "div") for name in seen
    } >= (places), seen
    assert any("norm at" in name for name in seen)


def test_what_makes_no_new_numbers_is_not_listed(tmp):
    net, x = Net(), torch.ones(2, 4)
    with recording(tmp, "module"), torch.no_grad():
        out = net(x)
        torch.nn.init.xavier_uniform_(torch.empty(3, 3))
        torch.nn.Linear(5, 5)
        again = torch.cat([out, out.clone()]).reshape(-1)[1:].to(torch.float64).unsqueeze(0)
        again.tolist(), repr(again), again.max().item(), again > 1, again.shape, again.argmax()
        torch.zeros_like(again), torch.randn(3), torch.stack([again, again]).split(1)
        torch.arange(4).sum(), torch.ones(2, dtype=torch.int64) + 1
        torch.equal(out, out), torch.allclose(out, out), x.T, x.data, x.real
    assert found(tmp) == {"max at " + HERE: 1}


def test_nothing_of_ours_is_there_inside_of_steps_or_in_bare_runs(tmp):
    depths = []

    class Looks(torch.nn.Module):
        def forward(self, x):
            depths.append(torch._C._len_torch_function_stack())
            return x + 1

    for level in ("bare", "module", "op"):
        with recording(tmp, level, level):
            Looks()(torch.ones(1))
            depths.append(torch._C._len_torch_function_stack())
    assert depths == [0, 0, 0, 1, 0, 1]
    assert torch._C._len_torch_function_stack() == 0


def test_threads_have_their_own(tmp):
    def work():
        net(x) * 2
        net(x) * 2

    net, x = Net(), torch.ones(2, 4)
    with recording(tmp, "module"), torch.no_grad():
        net(x) + 1
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    seen = found(tmp)
    assert seen["add at " + HERE] == 1
    assert seen["mul at " + HERE] == 6, seen


def test_many_places_are_cut_short(tmp):
    x = torch.ones(2)
    lines = ["x + %d" % n for n in range(100)]
    with recording(tmp, "module"):
        exec(compile("\n".join(lines * 2), "many.py", "exec"), {"x": x})
    seen = Recorded(tmp).outside
    assert len(seen) == 41
    assert sum(seen.values()) == 200
    assert seen["more of them, at other places"] == 160


def test_a_call_in_a_class_of_tensors(tmp):
    class Named(torch.Tensor):
        pass

    with recording(tmp, "module"):
        x = torch.ones(3).as_subclass(Named)
        y = (x * 3).sum()
        assert type(y) is Named
    assert set(found(tmp)) == {"mul at " + HERE, "sum at " + HERE}


def test_numbers_stay_as_they_are(tmp):
    """Modes, autocast, transforms and errors between steps."""

    def act():
        x = torch.linspace(0, 1, 6).reshape(2, 3)
        results = [x @ x.T, functional.softmax(x, -1), torch.linalg.svd(x)[1]]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            results.append(x @ x.T)
        with torch.inference_mode():
            results.append(functional.linear(x.T, x.T))
        results.append(torch.func.vmap(torch.dot)(x, x))
        results.append(torch.func.grad(lambda x: (x**2).sum())(x))
        results.append(torch.func.jvp(torch.sin, (x,), (x,))[1])
        with contextlib.suppress(RuntimeError):
            x @ x
        with contextlib.suppress(TypeError):
            torch.add(x, "a")
        mha = torch.nn.MultiheadAttention(4, 2)
        results.append(mha.forward(*[torch.ones(2, 1, 4)] * 3)[0])
        return results

    torch.manual_seed(0)
    wanted = [(digest(one), one.dtype) for one in act()]
    for level in ("module", "op"):
        torch.manual_seed(0)
        with recording(tmp, level, level) as session:
            results = act()
        assert session.recorder.error is None
        assert [(digest(one), one.dtype) for one in results] == wanted
