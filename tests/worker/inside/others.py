"""What cannot be seen is noted; what is recorded is not changed; memory does not grow."""

from __future__ import annotations

import gc
import importlib
import os
import shutil
import subprocess
import sys
import unittest.mock

import torch

from forkpoint_worker import fingerprint
from forkpoint_worker.session import Session
from support import Recorded, digest, recording, small_net


class Drops(torch.nn.Module):
    """Draws random numbers, keeps running statistics, and writes in place."""

    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Linear(6, 16), torch.nn.BatchNorm1d(16), torch.nn.ReLU(inplace=True),
            torch.nn.Dropout(0.3), torch.nn.Linear(16, 4), torch.nn.Softmax(-1),
        )  # fmt: skip

    def forward(self, x):
        return self.body(x + torch.rand_like(x)) * torch.bernoulli(torch.full((4,), 0.5))


def test_recording_changes_no_bit(tmp):
    def run(record, train):
        torch.manual_seed(7)
        net = Drops().train(train)
        with record:
            results = [digest(net(torch.randn(5, 6))) for _ in range(4)]
        return results, [digest(t) for t in net.state_dict().values()], digest(torch.rand(3))

    for train in (True, False):
        wanted = run(torch.enable_grad(), train)
        for level in ("bare", "module", "op"):
            name = level + str(train)
            assert run(recording(tmp, level, name), train) == wanted, name
            assert Recorded(tmp, name).roots() == wanted[0]


def test_recording_leaves_the_modes_alone(tmp):
    def modes():
        return (
            torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_num_threads(),
            torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled(),
        )  # fmt: skip

    class Looks(torch.nn.Module):
        def forward(self, x):
            found.append((modes(), x.requires_grad, x.is_leaf))
            return x + 1

    for context in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        found = []
        x = torch.ones(2, requires_grad=True)
        with context():
            Looks()(x)
            with recording(tmp, "op", context.__name__):
                out = Looks()(x)
                found.append((modes(), x.requires_grad, x.is_leaf))
            found.append((modes(), x.requires_grad, x.is_leaf))
        assert len(set(found)) == 1
        assert out.requires_grad == (context is torch.enable_grad)


def _distribution(folder, name, version):
    place = os.path.join(folder, "%s-%s.dist-info" % (name, version))
    os.makedirs(place)
    with open(os.path.join(place, "METADATA"), "w") as stream:
        stream.write("Metadata-Version: 2.1\nName: %s\nVersion: %s\n" % (name, version))


def test_packages_that_another_package_carries_are_not_installed(tmp):
    site = os.path.join(str(tmp), "site")
    carried = os.path.join(site, "carrier", "_parts", "wheels")
    beside = os.path.join(site, "no_package", "more")
    for folder, name in ((site, "Carrier"), (carried, "vendored"), (beside, "installed_too")):
        _distribution(folder, name, "1.5")
    _distribution(carried, "Carrier", "0.1")  # it hides no other of its name
    open(os.path.join(site, "carrier", "__init__.py"), "w").close()
    with unittest.mock.patch.object(sys, "path", [carried, *sys.path, site, beside]):
        found = fingerprint.collect()
    assert found["package.carrier"] == "1.5"
    assert found["package.installed-too"] == "1.5"
    assert "package.vendored" not in found


def test_the_fingerprint_has_variables_that_change_results(tmp):
    names = ("OMP_WAIT_POLICY", "CUBLAS_WORKSPACE_CONFIG", "DISABLE_ADDMM_CUDA_LT")
    with unittest.mock.patch.dict(os.environ, dict.fromkeys(names + ("CUDA_TOKEN", "X_Y"), "1")):
        found = fingerprint.collect()
        asked = fingerprint.collect(("X_Y", "CUDA_TOKEN", "NOT_SET"))
    assert [found.get("variable." + name) for name in names] == ["1", "1", "1"]
    assert not {"variable.CUDA_TOKEN", "variable.X_Y"} & found.keys()
    assert asked == dict(found, **{"variable.X_Y": "1"})


def test_deterministic_algorithms_are_no_obstacle(tmp):
    torch.use_deterministic_algorithms(True)
    try:
        with recording(tmp):
            small_net()(torch.ones(2, 6)).sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)
    assert Recorded(tmp).uncovered == {}


def test_other_defaults_are_no_obstacle(tmp):
    torch.set_default_dtype(torch.float64)
    try:
        with recording(tmp), torch.device("cpu"):
            small_net()(torch.ones(2, 6)).sum().backward()
    finally:
        torch.set_default_dtype(torch.float32)
    assert Recorded(tmp).of("module")[0].outputs[0]["dtype"] == "float64"


def compiled(tmp, backend, anew=True):
    """``anew``: compile in each recording, not only before them."""
    net, x = small_net(), torch.randn(2, 6)
    torch._dynamo.reset()
    whole = torch.compile(net, backend=backend)
    with torch.no_grad():
        wanted = digest(whole(x))
    for level in ("module", "op"):
        if anew:
            torch._dynamo.reset()
        with recording(tmp, level, level), torch.no_grad():
            if anew:
                whole = torch.compile(net, backend=backend)
            assert digest(whole(x)) == wanted
            assert digest(torch.nn.Sequential(torch.nn.Identity(), whole)(x)) == wanted
            assert digest(whole(x)) == wanted
        seen = Recorded(tmp, level)
        assert seen.roots() == [wanted] * 3
        assert seen.noted("compiled graph") >= 3
        assert {e.module for e in seen.of("module")} == {"", "0", "1"}


def test_a_compiled_module(tmp):
    require_dynamo()
    compiled(tmp, "aot_eager")


def test_a_module_compiled_to_machine_code(tmp):
    require_dynamo()
    if shutil.which("g++") is None and shutil.which("c++") is None:
        raise unittest.SkipTest("no compiler")
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = tmp
    try:
        torch.compile(lambda x: x + 1)(torch.ones(2))
    except Exception as error:
        if "No module named" in str(error):  # numpy or setuptools, in some releases
            raise unittest.SkipTest(str(error).splitlines()[0]) from error
        raise
    compiled(tmp, "inductor", anew=False)


def test_a_module_compiled_in_place(tmp):
    require_dynamo()
    if not hasattr(torch.nn.Module, "compile"):
        raise unittest.SkipTest("this release has no Module.compile")
    net, x = small_net(), torch.randn(2, 6)
    net[0].compile(backend="aot_eager")
    with torch.no_grad():
        wanted = digest(net(x))
        with recording(tmp, "op"):
            assert digest(net(x)) == wanted
    seen = Recorded(tmp)
    assert ("compiled graph", "0") in seen.uncovered
    assert seen.ops("addmm")[0].module == "3"


def test_a_compiled_function(tmp):
    """Under a dispatch mode, torch would run it uncompiled, and its numbers would change."""
    require_dynamo()
    torch._dynamo.reset()
    calls = []

    def backend(graph, examples):
        calls.append("compiled")

        def run(*args):
            calls.append("run")
            return graph(*args)

        return run

    original = torch.compile
    with recording(tmp, "op"), torch.no_grad():

        @torch.compile(backend=backend)
        def double(x):
            return x * 2 + 1

        class Calls(torch.nn.Module):
            def forward(self, x):
                return double(x).sin()

        assert double.__name__ == "double"
        x = torch.ones(3)
        Calls()(x)
        Calls()(x)
    assert calls == ["compiled", "run", "run"], calls
    assert torch.compile is original
    seen = Recorded(tmp)
    assert seen.uncovered["compiled graph", "double"] == 2
    assert [e.op for e in seen.of("op") if e.inside] == ["aten.sin.default"] * 2


def require_dynamo():
    try:
        importlib.import_module("torch._dynamo")
        torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1))
    except (ImportError, RuntimeError) as error:  # not on this Python
        raise unittest.SkipTest(str(error)) from error


def test_a_scripted_and_a_traced_module(tmp):
    net, x = small_net(), torch.randn(2, 6)
    wanted = digest(net(x))
    try:
        scripted, traced = torch.jit.script(net), torch.jit.trace(net, x)
    except RuntimeError as error:
        raise unittest.SkipTest(str(error)) from error
    for level in ("module", "op"):
        with recording(tmp, level, level):
            assert digest(scripted(x)) == wanted
            assert digest(torch.nn.Sequential(traced)(x)) == wanted
        seen = Recorded(tmp, level)
        assert seen.roots() == [wanted, wanted]
        assert seen.noted("scripted module") >= 2


def test_transforms_are_noted(tmp):
    net, xs = small_net(), torch.randn(3, 6)
    wanted = torch.func.vmap(net)(xs)
    for level in ("module", "op"):
        with recording(tmp, level, level):
            assert digest(torch.func.vmap(net)(xs)) == digest(wanted)
            torch.func.grad(lambda x: net(x).sum())(xs[0])
            torch.func.functional_call(net, dict(net.named_parameters()), (xs,))
        seen = Recorded(tmp, level)
        assert seen.noted("tensor without plain memory") > 0
        assert seen.roots()[-1] == digest(net(xs))


def test_tensors_without_plain_memory(tmp):
    def make():
        yield torch.eye(3).to_sparse()
        yield torch.empty(3, device="meta")
        yield torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.quint8)
        yield torch._efficientzerotensor(3)
        yield torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])

    net = torch.nn.Identity()
    count = len(list(make()))
    with recording(tmp, "op"):
        for tensor in make():
            net(tensor)
        torch.eye(2).to_sparse().mul_(2).to_dense()
    seen = Recorded(tmp)
    assert seen.noted("tensor without plain memory") >= 2 * count
    assert all(not e.outputs for e in seen.of("module"))


def test_forward_mode_derivatives(tmp):
    import torch.autograd.forward_ad as forward

    with recording(tmp, "op"), forward.dual_level():
        x = forward.make_dual(torch.ones(2, 6), torch.ones(2, 6))
        small_net()(x)


def test_a_fork(tmp):
    net, x = small_net(), torch.randn(2, 6)
    with recording(tmp, "op"), torch.no_grad():
        wanted = digest(net(x))
        child = os.fork()
        if child == 0:
            net(x + 1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status == 0
        net(x)
    seen = Recorded(tmp)
    assert seen.roots() == [wanted, wanted]
    assert seen.noted("child process") == 1
    assert seen.manifest["complete"]


def test_child_processes(tmp):
    with recording(tmp, "module"):
        small_net()(torch.ones(1, 6))
        subprocess.run([sys.executable, "-c", ""], check=True)
        os.system("true")
    seen = Recorded(tmp)
    name = os.path.basename(sys.executable)
    assert ("child process", name) in seen.uncovered
    assert ("child process", "os.system") in seen.uncovered


def resident():
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_memory_does_not_grow_with_steps(tmp):
    net = small_net()
    for level in ("module", "op"):
        session = Session(os.path.join(tmp, level), {"level": level})
        session.start()
        try:
            sizes = []
            for _ in range(3):
                for i in range(80):
                    net(torch.randn(64, 6) * i).sum().backward()
                gc.collect()
                sizes.append(resident())
        finally:
            session.stop("completed")
        assert sizes[2] - sizes[1] < 2 << 20, (level, sizes)
        assert len(Recorded(tmp, level).roots()) == 240


def test_a_recorder_that_breaks_says_so(tmp):
    from forkpoint_worker.index import Index

    net, original = small_net(), Index.commit

    def commit(self):
        raise OSError(28, "No space left on device")

    session = Session(os.path.join(tmp, "rec"), {"level": "op"})
    session.start()
    try:
        wanted = digest(net(torch.ones(1, 6)))
        Index.commit = commit
        for _ in range(2):  # runs on unrecorded
            assert digest(net(torch.ones(1, 6))) == wanted
        assert isinstance(session.recorder.error, OSError)
    finally:
        Index.commit = original
        session.stop("completed")
    seen = Recorded(tmp)
    assert not seen.manifest["complete"]
    assert len(seen.roots()) == 1
