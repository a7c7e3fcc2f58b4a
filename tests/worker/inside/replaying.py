"""Capsules: made where they are replayed, each call gives the bits that were recorded."""

from __future__ import annotations

import json
import os
import sys

import torch

from forkpoint_worker import fills, state
from forkpoint_worker.capsules import read
from forkpoint_worker.digest import Digester
from forkpoint_worker.exact import distances
from forkpoint_worker.replay import Replay
from forkpoint_worker.settle import settle
from forkpoint_worker.status import NoStatus
from support import Recorded, recording

WHOLE = {"default": {"level": "op", "capsules": True}, "steps": {}}


class Body(torch.nn.Module):
    """A module whose forward is a function."""

    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, *args):
        return self.body(*args)


def capsules_of(tmp, body, *args, plan=WHOLE):
    with recording(tmp, plan=plan):
        Body(body)(*args)
    root = os.path.join(tmp, "rec", "capsules")
    folders = sorted(os.listdir(root)) if os.path.isdir(root) else []
    return {name: os.path.join(root, name) for name in folders}


def replayed(tmp, calls, **job):
    control = os.path.join(tmp, "control%d" % len(os.listdir(tmp)))
    os.makedirs(control)
    path = os.path.join(control, "calls.jsonl")
    with open(path, "w") as stream:
        stream.writelines(json.dumps(call) + "\n" for call in calls)
    Replay(dict(job, calls=path), control, NoStatus()).go()
    with open(os.path.join(control, "replayed.jsonl")) as stream:
        return {answer["id"]: answer for answer in map(json.loads, stream)}


def all_agree(tmp, body, *args):
    """Replay every op of a body; each gives its recorded bits. How many there were."""
    folders = capsules_of(tmp, body, *args)
    calls = [
        {"id": name, "capsule": folder, "against": ["capsule"], "repeat": 2}
        for name, folder in folders.items()
    ]
    answers = replayed(tmp, calls)
    ran = 0
    for name, folder in folders.items():
        data, answer = read(folder), answers[name]
        if data["random"] or data["reason"]:
            assert answer["status"] in ("random", "unsupported"), answer
            continue
        ran += 1
        assert answer["status"] == "ran" and answer["repeatable"], (data["call"]["op"], answer)
        found = {out["slot"]: out for out in answer["outputs"]}
        for out in data["outputs"]:
            assert found[out["slot"]]["digest"] == out["digest"], data["call"]["op"]
            metrics = found[out["slot"]]["metrics"][0]
            assert metrics is None or metrics["bit_equal"], metrics
    return ran


def test_an_encoder_layer(tmp):
    layer = torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).train()
    layer.dropout1.p = layer.dropout2.p = layer.dropout.p = 0.0
    assert all_agree(tmp, layer, torch.randn(3, 5, 16)) > 10


def test_settling_changes_nothing_but_the_library():
    state = torch.random.get_rng_state()
    with torch.inference_mode():
        settle()
    settle()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_convolutions_and_pooling(tmp):
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(inplace=True),
        torch.nn.MaxPool2d(2),
    )  # fmt: skip
    assert all_agree(tmp, net, torch.randn(2, 3, 12, 12)) >= 4


def test_training_with_foreach_ops_that_write_to_lists(tmp):
    weight = torch.nn.Parameter(torch.randn(4, 4))
    optimizer = torch.optim.Adam([weight], foreach=True)

    def body(x):
        (x @ weight).square().mean().backward()
        optimizer.step()
        return weight.detach().clone()

    assert all_agree(tmp, body, torch.randn(3, 4)) > 5


def test_strides_offsets_views_and_aliases(tmp):
    def body(x):
        y = x.t()[1:, ::2]
        z = y + y[:1].expand_as(y)
        z.mul_(z)
        z[1:].add_(z[:-1].clone())
        return torch.cat([z, y]), x[2:].sum(0), torch.add(z, 1, out=torch.empty(0))

    assert all_agree(tmp, body, torch.randn(7, 9)) >= 6


def test_integers_booleans_complex_and_small_floats(tmp):
    def body(x):
        order = x.argsort(dim=0)
        values, _ = x.topk(2)
        out = [(x > 0).sum(), order.cumsum(0), torch.fft.fft(x).conj() * 2j, values]
        out += [x.bfloat16() @ x.bfloat16().t(), x.half() * 3, x.double().log_softmax(0)]
        x = x.clone()
        x[order[:, 0]] = 1.5
        return out, x

    assert all_agree(tmp, body, torch.randn(5, 6)) > 10


def test_embedding_attention_and_dtype_arguments(tmp):
    table = torch.nn.Embedding(10, 8)

    def body(ids):
        x = table(ids).view(2, 2, 3, 4)
        y = torch.nn.functional.scaled_dot_product_attention(x, x, x)
        return y.sum(-1, dtype=torch.float64), torch.full_like(y, 2, dtype=torch.int32)

    assert all_agree(tmp, body, torch.tensor([[1, 2, 3], [4, 5, 9]])) > 2


def test_memory_that_lies_askew_is_laid_the_same_way(tmp):
    def body(x):
        return torch.frombuffer(data, dtype=torch.float32, offset=1, count=8).sum() + x

    data = bytearray(64)
    capsules = capsules_of(tmp, body, torch.ones(()))
    first = read(next(iter(capsules.values())))
    assert first["call"]["tensors"][0]["alignment"] % 4 == 1
    answers = replayed(tmp, [{"id": n, "capsule": f} for n, f in capsules.items()])
    assert {answer["status"] for answer in answers.values()} == {"ran"}


def test_what_draws_random_numbers_is_said_and_not_run(tmp):
    folders = capsules_of(tmp, lambda x: torch.nn.functional.dropout(x, 0.5), torch.ones(8))
    answers = replayed(tmp, [{"id": n, "capsule": f} for n, f in folders.items()])
    assert "random" in {answer["status"] for answer in answers.values()}


def test_inputs_are_those_before_an_op_that_writes(tmp):
    folders = capsules_of(tmp, lambda x: x.clone().mul_(3), torch.ones(4))
    answers = replayed(
        tmp, [{"id": n, "capsule": f, "against": ["capsule"]} for n, f in folders.items()]
    )
    assert all(a["outputs"][0]["metrics"][0]["bit_equal"] for a in answers.values())


def test_only_the_call_that_was_asked_for_is_kept(tmp):
    plan = {"default": {"level": "op", "capsules": [["", "aten.exp.default", 1]]}, "steps": {}}
    folders = capsules_of(tmp, lambda x: x.exp().exp().exp(), torch.zeros(2), plan=plan)
    (folder,) = folders.values()
    assert read(folder)["source"]["call"] == 1
    assert Recorded(tmp).manifest["complete"]


def test_the_state_of_the_call_is_restored_and_then_the_environments(tmp):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        folders = capsules_of(tmp, lambda x: x.exp(), torch.zeros(2))
        torch.set_num_threads(1)
        call = {"id": "a", "capsule": next(iter(folders.values()))}
        replayed(tmp, [call])
        assert torch.get_num_threads() == 3
        replayed(tmp, [call], settings={"threads": "2"})
        assert torch.get_num_threads() == 2
        replayed(tmp, [dict(call, state=False)])
    finally:
        torch.set_num_threads(threads)


def test_a_float64_run_says_how_far_the_kept_bits_are(tmp):
    folders = capsules_of(tmp, lambda x: x.sum(), torch.full((1000,), 0.1))
    (folder,) = folders.values()
    answer = replayed(tmp, [{"id": "a", "capsule": folder, "as": "float64",
                             "against": ["capsule"]}])["a"]  # fmt: skip
    far = answer["outputs"][0]["metrics"][0]
    assert answer["outputs"][0]["dtype"] == "float64"
    assert 0 <= far["max_ulp"] < 1000
    assert far["nonfinite"] == 0


def test_the_default_device_of_a_script_does_not_matter():
    """A capsule's state brings it back: what is measured on the CPU must stay there."""
    kept = torch.tensor([1.0, 2.0], device="cpu")
    wanted = distances(kept, kept.double()), Digester().digest(kept.repeat(5000))
    torch.set_default_device("meta")
    try:
        found = distances(kept, kept.double()), Digester().digest(kept.repeat(5000))
    finally:
        torch.set_default_device(None)
    assert found == wanted


def test_distances_are_in_units_of_the_dtypes_own_spacing(tmp):
    exact = torch.tensor([1.0, 1.5, 4.0, 2.0**-150], dtype=torch.float64)
    kept = torch.tensor([1.0 + 2**-23, 1.5, 4.0 - 2**-22, 0.0])
    assert distances(kept, exact)["max_ulp"] == 1.0
    assert distances(kept[2:3], exact[2:3])["max_ulp"] == 0.5  # below a power of two, half


def test_hostile_and_foolish_calls_are_refused(tmp):
    def document(op, **more):
        return dict({"op": op, "args": [], "kwargs": {}, "tensors": [], "storages": []}, **more)

    beyond = {
        "dtype": "float32", "shape": [9], "stride": [1], "offset": 0, "storage": 0,
        "alignment": 0, "device": "cpu",
    }  # fmt: skip
    fill = {"fill": {"kind": "uniform", "seed": 1, "scale": 1.0, "shift": "0x0p+0"}, "bytes": 8}
    calls = {
        "file": document("aten.from_file.default", args=[{"str": os.path.join(tmp, "made")}]),
        "dunder": document("aten.__class__.mro"),
        "name": document("os.system.default"),
        "beyond": document("aten.exp.default", args=[{"tensor": 0}], tensors=[beyond],
                           storages=[fill]),
        "absent": document("aten.no_such_thing.default"),
        "dtype": document("aten.exp.default", tensors=[dict(beyond, dtype="load")],
                          storages=[fill]),
        "device": document("aten.exp.default", args=[{"tensor": 0}],
                           tensors=[dict(beyond, device="cuda:99")], storages=[fill]),
    }  # fmt: skip
    answers = replayed(tmp, [{"id": name, "call": call} for name, call in calls.items()])
    found = {name: answer["status"] for name, answer in answers.items()}
    assert found == {
        "file": "unsupported", "dunder": "no_such_op", "name": "unsupported",
        "beyond": "unsupported", "absent": "no_such_op", "dtype": "unsupported",
        "device": "no_such_device",
    }  # fmt: skip
    assert not os.path.exists(os.path.join(tmp, "made"))


def call_over(shape, stride, bytes_, op="aten.neg.default", **more):
    fill = {"kind": "constant", "value": {"float": "0x1p+0"}}
    layout = {"dtype": "float32", "shape": shape, "stride": stride, "offset": 0, "storage": 0,
              "alignment": 0, "device": "cpu"}  # fmt: skip
    return dict({"op": op, "args": [{"tensor": 0}], "kwargs": {}, "tensors": [layout],
                 "storages": [{"fill": fill, "bytes": bytes_}]}, **more)  # fmt: skip


def test_claims_are_checked_against_the_bytes_before_anything_is_allocated(tmp):
    calls = {
        "zero": call_over([1 << 20, 1 << 20], [0, 0], 4),
        "overlap": call_over([1 << 19, 1 << 19], [1, 1], 4 << 20),
        "dims": call_over([1] * 100, [1] * 100, 4),
        "words": call_over(["1"], [1], 4),
        "huge": call_over([1], [1], 1 << 60),
        "deep": call_over([1], [1], 4, args=[json.loads('{"list": [' * 99 + "1" + "]}" * 99)]),
        "none": call_over([1], [1], 4, args=[3]),
        "many": call_over([1], [1], 4, args=[{"tensor": 7}]),
    }
    answers = replayed(tmp, [{"id": name, "call": call} for name, call in calls.items()])
    assert {answer["status"] for answer in answers.values()} == {"unsupported"}, answers
    assert "1099511627776 elements over 4 bytes" in answers["zero"]["reason"]


def test_an_expanded_tensor_of_a_usual_size_is_still_replayed(tmp):
    call = call_over([64, 1000, 1000], [0, 0, 0], 4, op="aten.select.int",
                     args=[{"tensor": 0}, {"int": 0}, {"int": 0}])  # fmt: skip
    assert replayed(tmp, [{"id": "a", "call": call}])["a"]["status"] == "ran"


def test_nothing_but_registered_ops_is_looked_up(tmp):
    names = [
        "import_module.__call__.__call__", "load_library.x.y", "aten.__init__.default",
        "aten.neg.__call__", "aten.neg.op", "prims.__getattr__.default", "aten.neg.default.x",
        "aten.nég.default", "aten..default", "aten.neg.default\n", "profiler._x.y", "",
    ]  # fmt: skip
    for trust in (False, True):
        calls = [{"id": name, "call": call_over([1], [1], 4, op=name)} for name in names]
        answers = replayed(tmp, calls, trust=trust)
        assert {a["status"] for a in answers.values()} <= {"unsupported", "no_such_op"}, answers


def test_a_foreign_op_runs_where_it_is_trusted_and_nowhere_else(tmp):
    library = torch.library.Library("fp_foreign", "DEF")
    library.define("twice(Tensor x) -> Tensor")
    library.impl("twice", lambda x: x * 2, "CPU")
    call = {"id": "a", "call": call_over([4], [1], 16, op="fp_foreign.twice.default")}
    refused = replayed(tmp, [call])["a"]
    assert refused["status"] == "unsupported"
    assert "fp_foreign.twice.default is no op of torch's own" in refused["reason"]
    assert replayed(tmp, [call], trust=True)["a"]["status"] == "ran"


def test_a_trusted_capsule_may_name_an_op_of_a_package_that_is_there(tmp):
    with open(os.path.join(tmp, "fp_packaged.py"), "w") as stream:
        stream.write(
            "import torch\nlibrary = torch.library.Library('fp_packaged', 'DEF')\n"
            "library.define('twice(Tensor x) -> Tensor')\n"
            "library.impl('twice', lambda x: x * 2, 'CPU')\n"
        )
    sys.path.insert(0, tmp)
    call = {"id": "a", "call": call_over([4], [1], 16, op="fp_packaged.twice.default")}
    assert replayed(tmp, [call])["a"]["status"] == "unsupported"
    assert "fp_packaged" not in sys.modules
    assert replayed(tmp, [call], trust=True)["a"]["status"] == "ran"


def test_a_call_may_not_take_more_memory_than_its_inputs_are_worth(tmp):
    call = call_over([4], [1], 16, op="aten.repeat.default",
                     args=[{"tensor": 0}, {"list": [{"int": 1 << 31}]}])  # fmt: skip
    limits = {"memory": 1 << 29, "seconds": 100}
    answer = replayed(tmp, [{"id": "a", "call": call}], limits=limits)["a"]
    assert answer["status"] == "raised", answer
    small = call_over([4], [1], 16)
    assert replayed(tmp, [{"id": "a", "call": small}], limits=limits)["a"]["status"] == "ran"


def test_a_state_that_asks_for_a_hundred_thousand_threads_is_not_set():
    before = torch.get_num_threads()
    for threads in (100000, 0, -1, "8", 1.5, True, None):
        assert state.restore({"threads": threads}), threads
    assert torch.get_num_threads() == before


def test_a_capsule_that_is_a_pipe_or_nests_deeply_is_refused(tmp):
    folders = {}
    for name in ("pipe", "deep", "list", "binary", "link"):
        folders[name] = os.path.join(tmp, name)
        os.makedirs(folders[name])
    os.mkfifo(os.path.join(folders["pipe"], "capsule.json"))
    os.symlink("/dev/zero", os.path.join(folders["link"], "capsule.json"))
    contents = {"deep": b"[" * 100000, "list": b"[]", "binary": b"\xff\xfe"}
    for name, content in contents.items():
        with open(os.path.join(folders[name], "capsule.json"), "wb") as stream:
            stream.write(content)
    answers = replayed(tmp, [{"id": n, "capsule": folder} for n, folder in folders.items()])
    assert {answer["status"] for answer in answers.values()} == {"unsupported"}, answers


NORMAL = [
    0.8822663426399231,
    -1.243956208229065,
    -1.220035433769226,
    -1.0773142576217651,
    0.9128774404525757,
]
"""The first five of seed 7, as float32."""


def test_fills_have_the_same_bits_everywhere(tmp):
    recipe = {"kind": "normal", "seed": 7, "scale": 1.0, "shift": "0x0.0p+0"}
    found = fills.fill(recipe, torch.float32, 5).tolist()
    assert found == NORMAL, found
    many = fills.fill(recipe, torch.float64, 100_000)
    assert abs(many.mean()) < 0.02
    assert abs(many.std() - 1) < 0.02
    integers = fills.fill({"kind": "integers", "seed": 1, "low": 2, "high": 9}, torch.int64, 500)
    assert integers.min() == 2
    assert integers.max() == 8


def test_steps_are_multiples_from_0_on(tmp):
    found = fills.fill({"kind": "steps", "step": 33}, torch.int64, 5)
    assert found.tolist() == [0, 33, 66, 99, 132]
    assert fills.fill({"kind": "steps", "step": 2}, torch.bfloat16, 3).tolist() == [0.0, 2.0, 4.0]


DEFINITE = [1.9729143751891451, -0.494088625617659, -0.494088625617659, 1.6101048017677675]
"""The first matrix of two rows of seed 3."""


def test_definite_matrices_are_symmetric_and_have_a_root(tmp):
    for size in (1, 2, 5, 64):
        recipe = {"kind": "definite", "seed": 3, "size": size}
        found = fills.fill(recipe, torch.float64, 3 * size * size).reshape(3, size, size)
        assert torch.equal(found, found.transpose(1, 2))
        roots, failed = torch.linalg.cholesky_ex(found)
        assert not failed.any()
        assert (roots.diagonal(dim1=1, dim2=2) > 0).all()
        if size > 1:
            assert not torch.equal(found[0], found[1])
    numbers = fills.fill({"kind": "definite", "seed": 3, "size": 2}, torch.float64, 4)
    assert numbers.tolist() == DEFINITE, numbers.tolist()


def test_a_longer_fill_goes_on_where_the_shorter_one_ended(tmp):
    kinds = [{"kind": "integers", "low": -3, "high": 9}, {"kind": "normal"}, {"kind": "uniform"}]
    kinds += [{"kind": "steps", "step": 3}, {"kind": "definite", "size": 7}]
    for kind in kinds:
        for dtype in (torch.float16, torch.complex64):
            recipe = dict(kind, seed=77)
            grown = [fills.fill(recipe, dtype, count) for count in (5, 0, 40_000, 100_000, 70_000)]
            at_once = fills._Beginnings(0).first(recipe, dtype, 100_000)
            for found in grown:
                assert torch.equal(found, at_once[: found.numel()])


def test_no_more_numbers_are_remembered_than_fit():
    known = fills._Beginnings(4000)
    recipes = [{"kind": "uniform", "seed": seed} for seed in range(4)]
    for recipe in recipes[:3]:
        known.first(recipe, torch.float32, 300)
    known.first(recipes[0], torch.float32, 300)  # the latest one stays
    known.first(recipes[3], torch.float32, 300)
    assert known._size == 3600 and len(known._known) == 3
    assert any("'seed', 0" in key for key in known._known)
    known.first(recipes[1], torch.float32, 2000)  # larger than all of the room
    assert known._size == 0 and not known._known


def test_the_state_is_whole_and_setting_it_again_changes_nothing(tmp):
    before = state.capture()
    assert state.restore(before) == []
    assert state.capture() == before
    assert state.restore({"flags": {"no.such.flag": True}}) == ["no.such.flag"]
