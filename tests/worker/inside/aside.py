"""What a script does runs as if nobody watched, at every level; what was not followed is noted."""

from __future__ import annotations

import copy
import gc
import importlib
import inspect
import io
import pickle
import threading
import unittest
import unittest.mock
import warnings
import weakref

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from forkpoint_worker import ops
from support import Recorded, digest, recording, small_net

LEVELS = ("module", "op")


class Net(torch.nn.Module):
    """Small, pickled by its class."""

    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(6, 8)
        self.last = torch.nn.Linear(8, 4)

    def forward(self, x):
        return self.last(torch.relu(self.inner(x)))


def fresh(kind=Net):
    torch.manual_seed(3)
    return kind().eval()


def as_without(tmp, act, levels=LEVELS):
    """``act`` returns plain values and tensors, the same ones whatever is recorded of it."""
    wanted = plain(act())
    for level in levels:
        torch.manual_seed(0)
        with warnings.catch_warnings(), recording(tmp, level, level) as session:
            warnings.simplefilter("error", torch.jit.TracerWarning)
            result = act()
        assert session.recorder.error is None, session.recorder.error
        found = plain(result)
        assert found == wanted, (level, found, wanted)
    return Recorded(tmp, levels[-1])


def plain(value):
    if isinstance(value, torch.Tensor):
        return digest(value), str(value.dtype), tuple(value.shape)
    if isinstance(value, (tuple, list)):
        return [plain(one) for one in value]
    return value


def encoder(**keywords):
    torch.manual_seed(1)
    layer = torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, **keywords)
    return torch.nn.TransformerEncoder(layer, 2).eval()


def test_fast_paths_of_attention(tmp):
    x = torch.randn(2, 5, 16)
    padded = torch.zeros(2, 5, dtype=torch.bool)
    padded[1, 3:] = True
    causal = torch.triu(torch.full((5, 5), float("-inf")), 1)

    def act():
        torch.manual_seed(1)
        alone = torch.nn.MultiheadAttention(16, 4, batch_first=True).eval()
        models = encoder(), encoder(norm_first=True), encoder(activation="gelu")
        found = []
        for context in (torch.no_grad, torch.inference_mode):
            with context():
                found += [model(x, src_key_padding_mask=padded) for model in models]
                found += [model(x, mask=causal) for model in models]
                found += [alone(x, x, x)[0], alone(x, x, x, key_padding_mask=padded)[0]]
                found.append(models[0].layers[0].forward(x, src_key_padding_mask=padded))
                found.append(models[0].forward(x, src_key_padding_mask=padded))
                found.append(alone.forward(x, x, x, key_padding_mask=padded)[0])
        return found

    seen = as_without(tmp, act)
    assert seen.ops("_transformer_encoder_layer_fwd")


def test_inference_mode_changes_no_number(tmp):
    """Under any dispatch mode, newer releases multiply otherwise there, and autocast is off."""
    x = torch.randn(7, 4, 384).transpose(0, 1)
    c = torch.randn(3, 3, dtype=torch.complex64)

    class Products(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.one = torch.nn.Linear(384, 384, bias=False)

        def forward(self, x):
            product = torch.einsum("bij,kj->bik", x, self.one.weight)
            return self.one(x), product, torch.einsum("ij,jk->ik", c.conj(), c)

    def act():
        net, found = fresh(Products), []
        for context in (torch.inference_mode, torch.no_grad):
            with context():
                found += net(x)
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    found += net(x)
                    with torch.autocast("cpu", enabled=False):
                        found += net(x)
        return found

    as_without(tmp, act)


def test_a_mode_of_the_script_above_ours_in_inference_mode(tmp):
    class Passes(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            return func(*args, **(kwargs or {}))

    x = torch.randn(7, 4, 384).transpose(0, 1)

    def act():
        torch.manual_seed(1)
        net = torch.nn.Linear(384, 384, bias=False)
        with torch.inference_mode():
            one = net(x)
            with Passes():
                return one, net(x)

    as_without(tmp, act)


def test_tracing_scripting_and_freezing(tmp):
    x = torch.randn(2, 6)

    def act():
        net = fresh().requires_grad_(False)
        traced = torch.jit.trace(net, x)
        scripted = torch.jit.script(net)
        frozen = torch.jit.freeze(scripted)
        function = torch.jit.trace(lambda x: net(x) + 1, (x,))
        buffer = io.BytesIO()
        torch.jit.save(traced, buffer)
        buffer.seek(0)
        with torch.no_grad():
            return [one(x) for one in (traced, scripted, frozen, function, torch.jit.load(buffer))]

    seen = as_without(tmp, act)
    assert ("call under tracing", "torch.jit.trace") in seen.uncovered
    assert {step["module"] for step in seen.steps} <= {
        "Net", "TopLevelTracedModule", "RecursiveScriptModule", "RecursiveScriptModule#2",
        "RecursiveScriptModule#3",
    }  # fmt: skip


def test_a_model_that_traces_a_part_of_itself(tmp):
    class Lazy(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Net()
            self.traced = None

        def forward(self, x):
            if self.traced is None:
                object.__setattr__(self, "traced", torch.jit.trace(self.inner, x))
            return self.traced(x) * 2

    x = torch.randn(2, 6)

    def act():
        net = fresh(Lazy)
        with torch.no_grad():
            return net(x), net(x)

    seen = as_without(tmp, act)
    assert len(seen.steps) == 2


def test_legacy_export(tmp):
    """Needs the package onnx in most releases; without it the tracer underneath is asked."""
    x = torch.randn(64, 6)

    def act():
        net = fresh()
        graph, _ = torch.jit._get_trace_graph(net, (x,))[:2]
        with torch.no_grad():
            return str(graph), net(x)

    seen = as_without(tmp, act)
    assert ("call under tracing", "torch.jit._get_trace_graph") in seen.uncovered
    assert [step["module"] for step in seen.steps] == ["Net"]


def test_symbolic_tracing(tmp):
    x = torch.randn(2, 6)

    def act():
        net = fresh()
        graph = torch.fx.symbolic_trace(net)
        with torch.no_grad():
            return str(graph.graph), graph(x), torch.fx.GraphModule(net, graph.graph)(x)

    as_without(tmp, act)


def test_fake_tensors_and_the_meta_device(tmp):
    fake = importlib.import_module("torch._subclasses.fake_tensor")

    def act():
        net = fresh()
        with fake.FakeTensorMode(allow_non_fake_inputs=True) as mode:
            shape = tuple(net(torch.empty(3, 6)).shape)
        converted = mode.from_tensor(torch.empty(5, 6))
        with mode:
            shape += tuple(net(converted).shape)
        meta = copy.deepcopy(net).to("meta")
        shape += tuple(meta(torch.empty(7, 6, device="meta")).shape)
        shape += tuple(meta(torch.empty(7, 6, device="meta").requires_grad_()).shape)
        return shape, net(torch.ones(2, 6))

    seen = as_without(tmp, act)
    assert len(seen.steps) == 1
    assert seen.uncovered["call on the meta device", "Net"] == 2
    assert seen.uncovered["call under tracing", "Net"] == 2


def test_make_fx(tmp):
    proxy = importlib.import_module("torch.fx.experimental.proxy_tensor")
    x = torch.randn(2, 6)

    def act():
        net = fresh()
        with torch.no_grad():
            graphs = [proxy.make_fx(what)(x) for what in (net, lambda x: net(x) * 2)]
            return [one.code for one in graphs], graphs[0](x), net(x)

    seen = as_without(tmp, act)
    assert [step["module"].partition("#")[0] for step in seen.steps][-1] == "Net"
    assert len(seen.steps) == 2


def test_export(tmp):
    if not hasattr(torch, "export"):
        raise unittest.SkipTest("this release has no torch.export")
    x = torch.randn(2, 6)

    def act():
        net = fresh()
        exported = torch.export.export(net, (x,))
        with torch.no_grad():
            return str(exported.graph), exported.module()(x), net(x)

    seen = as_without(tmp, act)
    assert ("call under tracing", "torch.export.export") in seen.uncovered


def test_functional_transforms(tmp):
    func = getattr(torch, "func", None)
    if func is None:
        raise unittest.SkipTest("this release has no torch.func")
    x = torch.randn(3, 6)

    def act():
        net = fresh()
        weights = {name: p.detach() for name, p in net.named_parameters()}

        def call(weights, x):
            return func.functional_call(net, weights, (x,))

        def loss(weights, x):
            return call(weights, x).sin().sum()

        gradients = func.grad(loss)(weights, x)
        each = func.vmap(func.grad(loss), in_dims=(None, 0))(weights, x)
        out, tangent = func.jvp(lambda x: call(weights, x), (x,), (torch.ones_like(x),))
        whole = func.jacrev(lambda x: call(weights, x))(x)
        stack = func.stack_module_state([net, fresh()])[0]
        many = func.vmap(call, in_dims=(0, None))(stack, x)
        functional = func.functionalize(lambda x: net(x).add_(1))(x)
        return [
            call(weights, x), *gradients.values(), *each.values(), out, tangent, whole, many,
            functional,
        ]  # fmt: skip

    as_without(tmp, act)


def test_gradients_checkpoints_and_hooks(tmp):
    checkpoint = importlib.import_module("torch.utils.checkpoint").checkpoint
    x = torch.randn(3, 6)

    def act():
        found, called, packed = [], [], []
        for reentrant in (True, False):
            net = fresh()
            net.inner.register_full_backward_hook(lambda *_: called.append("backward"))
            net.register_forward_hook(lambda m, a, out: out * 2)
            net.register_forward_pre_hook(lambda m, a: (a[0] + 1,))
            x_ = x.clone().requires_grad_()
            x_.register_hook(lambda g: g * 2)
            hidden = checkpoint(net.inner, x_, use_reentrant=reentrant)
            with torch.autograd.graph.saved_tensors_hooks(
                lambda t: packed.append(tuple(t.shape)) or t, lambda t: t
            ):
                (net.last(hidden.relu()).sum() + net(x_).sum()).backward()
            found += [x_.grad, *(p.grad for p in net.parameters())]
        return found, called, packed

    as_without(tmp, act)


def test_modes_of_the_script(tmp):
    """Around and inside of modules they see what they would have seen."""

    class Counts(TorchDispatchMode):
        def __init__(self, seen):
            super().__init__()
            self.seen = seen

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.seen.append(str(func))
            return func(*args, **(kwargs or {}))

    class Functions(TorchFunctionMode):
        def __init__(self, seen):
            super().__init__()
            self.seen = seen

        def __torch_function__(self, func, types, args=(), kwargs=None):
            self.seen.append(func.__name__)
            return func(*args, **(kwargs or {}))

    x = torch.randn(2, 6)

    def act():
        seen = []

        class Inside(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.net = fresh()

            def forward(self, x):
                with Functions(seen), Counts(seen):
                    return self.net(x) * 2

        with torch.no_grad():
            with Functions(seen):
                first = fresh()(x) + torch.ones(4)
            with Counts(seen):
                second = fresh()(x) + torch.ones(4)
            return first, second, Inside()(x), seen

    as_without(tmp, act)


class Whole(torch.nn.Module):
    """Overrides what is called, and finds attributes by tricks."""

    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(3, 3)

    def __call__(self, x):
        return super().__call__(x) + self.nothing

    def __getattr__(self, name):
        if name == "nothing":
            return 1.0
        return super().__getattr__(name)

    def forward(self, x):
        return self.inner(x)


class Delegates(torch.nn.Module):  # noqa: PLW1641 - it is to have no hash
    def __init__(self):
        super().__init__()
        self.inner = Whole()

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)

    def __eq__(self, other):
        return True

    def forward(self, x):
        return self.inner(x)


def test_modules_that_are_not_as_others(tmp):
    x = torch.ones(2, 3)

    class Unready(torch.nn.Module):
        def __init__(self):
            pass

        def forward(self, x):
            return x

    def act():
        made = fresh(Whole), fresh(Delegates)
        with torch.no_grad():
            found = [one(x) for one in made]
        try:
            found.append(Unready()(x))
        except Exception as error:
            found.append(repr(error))
        return found

    as_without(tmp, act)


def test_looking_at_modules(tmp):
    def act():
        net = fresh()
        call = torch.nn.Module.__call__
        found = [
            str(inspect.signature(net)), str(inspect.signature(call)), call.__name__,
            call.__qualname__, call.__module__, type(net).__call__ is call,
            [name for name in vars(net) if "forkpoint" in name], str(net),
        ]  # fmt: skip
        again = pickle.loads(pickle.dumps(net))
        buffer = io.BytesIO()
        torch.save(net, buffer)
        size = len(buffer.getvalue())
        buffer.seek(0)
        try:
            loaded = torch.load(buffer, weights_only=False)
        except TypeError:  # torch 2.0 has no such argument for this
            buffer.seek(0)
            loaded = torch.load(buffer)
        x = torch.ones(1, 6)
        return found, size, [one(x) for one in (net, copy.deepcopy(net), again, loaded)]

    as_without(tmp, act)


def test_a_script_that_wraps_the_call_of_modules(tmp):
    x = torch.ones(1, 6)
    original = torch.nn.Module.__call__

    def act():
        called, inner = [], torch.nn.Module.__call__

        def mine(self, *args, **kwargs):
            called.append(type(self).__name__)
            return inner(self, *args, **kwargs)

        torch.nn.Module.__call__ = mine
        try:
            return fresh()(x), called
        finally:
            torch.nn.Module.__call__ = inner

    as_without(tmp, act)
    assert torch.nn.Module.__call__ is original
    with recording(tmp, "module", "left"):
        left = torch.nn.Module.__call__

        def mine(self, *args):
            return left(self, *args)

        torch.nn.Module.__call__ = mine
    assert torch.nn.Module.__call__ is mine  # the script's own stays
    torch.nn.Module.__call__ = original


def test_what_is_let_go_is_gone(tmp):
    def act():
        net = fresh()
        gc.collect()
        gc.disable()
        try:
            x = torch.ones(3, 6)
            out = net(x)
            dead = [weakref.ref(one) for one in (x, out, net.inner.weight, net)]
            del x, out, net
            return [reference() is None for reference in dead[:2]]
        finally:
            gc.enable()

    as_without(tmp, act)


def test_weights_can_be_swapped(tmp):
    """Torch refuses to where anybody has a weak reference to a tensor."""
    future = torch.__future__
    if not hasattr(future, "set_swap_module_params_on_conversion"):
        raise unittest.SkipTest("this release swaps no weights")

    def act():
        net, x = fresh(), torch.ones(1, 6)
        future.set_swap_module_params_on_conversion(True)
        try:
            with torch.no_grad():
                first = net(x)
                net.to(torch.float64)
                return first, net(x.double())
        finally:
            future.set_swap_module_params_on_conversion(False)

    as_without(tmp, act)


def test_default_devices(tmp):
    x = torch.ones(1, 6)

    class Sets(torch.nn.Module):
        def forward(self, x):
            torch.set_default_device("cpu")
            return x + torch.ones(6)

    def depth():
        return torch._C._len_torch_function_stack()

    def act():
        net, found, before = fresh(), [], depth()
        torch.set_default_device("cpu")
        found.append(net(x))
        with torch.device("cpu"):
            found += [net(x), net(torch.ones(1, 6))]
        found.append(net(x))
        torch.set_default_device("meta")
        found.append(str(torch.empty(1).device))
        found.append(net(x))
        torch.set_default_device(None)
        found += [str(torch.empty(1).device), Sets()(x), net(x)]
        torch.set_default_device(None)
        with torch.device("meta"):
            found += [net(x), str(torch.empty(1).device)]
        return [*found, str(torch.empty(1).device), depth() - before]

    as_without(tmp, act)
    assert depth() == 0


def test_threads_of_the_script(tmp):
    x = torch.ones(1, 6)

    def act():
        net, found = fresh(), {}

        def work(number):
            with torch.no_grad():
                found[number] = [net(x * number), net(x * number) * 2]

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sorted(found.items())

    as_without(tmp, act)


def test_nested_and_other_tensors(tmp):
    def act():
        torch.manual_seed(1)
        net = torch.nn.Linear(4, 2)
        with torch.no_grad():
            nested = torch.nested.nested_tensor([torch.ones(2, 4), torch.ones(3, 4)])
            first = torch.nested.to_padded_tensor(net(nested), 0.0)
            sparse = torch.eye(4).to_sparse()
            return first, torch.sparse.mm(sparse, net.weight.t()), net(torch.ones(0, 4))

    as_without(tmp, act)


def test_quantized_modules(tmp):
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        raise unittest.SkipTest("no quantized kernels here")

    def act():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net = torch.ao.quantization.quantize_dynamic(fresh(), {torch.nn.Linear})
        with torch.no_grad():
            return net(torch.ones(2, 6))

    as_without(tmp, act)


def test_small_nets_still_have_their_events(tmp):
    net = small_net()
    with recording(tmp, "op"), torch.inference_mode():
        net(torch.ones(1, 6))
    assert [e.op.split(".")[1] for e in Recorded(tmp).of("op", 0)]


def test_an_op_that_cannot_be_read_runs_and_is_noted(tmp):
    """Torch has kinds of tensors that refuse to say what they are; the next one is unknown."""
    original = ops.layout_of

    def refuses(tensor):
        if tensor.dtype is torch.float64:
            raise RuntimeError("there is no such thing as a shape")
        return original(tensor)

    def act():
        with torch.no_grad():
            return torch.nn.ReLU()(torch.ones(2)), torch.nn.ReLU()(torch.ones(2).double())

    with unittest.mock.patch.object(ops, "layout_of", refuses):
        seen = as_without(tmp, act)
    assert (
        seen.uncovered["op not read", "aten.relu.default: there is no such thing as a shape"] == 1
    )
    assert len(seen.ops("relu")) == 1
    assert len(seen.steps) == 2
