"""Shards: what is kept, once, within the limit."""

from __future__ import annotations

import os
import resource
import signal

import torch
from digests import dtypes, of_dtype

from forkpoint_worker.shards import Shards
from support import DIGESTER, Recorded, digest, recording, small_net


def test_export_shards(artifacts):
    """Tensors for the host to read with the safetensors library."""
    shards = Shards(os.path.join(artifacts, "shards"), 1 << 30)
    listing = []
    for dtype in dtypes():
        for shape in ((), (0, 4), (5,), (3, 7)):
            count = 1
            for size in shape:
                count *= size
            tensor = of_dtype(dtype, max(count, 1))[:count].view(shape)
            listing.append(put(shards, tensor))
    base = of_dtype(torch.float32, 600).view(20, 30)
    listing += [put(shards, view) for view in (base.t(), base[:, 3:9], base[0:1].expand(4, 30))]
    shards.close()
    with open(os.path.join(artifacts, "shards", "listing"), "w") as stream:
        stream.writelines("\t".join(line) + "\n" for line in listing)


def put(shards, tensor):
    file, key = shards.put(DIGESTER.digest(tensor), tensor)
    flat = tensor.resolve_conj().contiguous().view(-1)
    if flat.is_complex():
        flat = torch.view_as_real(flat).view(-1)
    data = bytes(flat.view(torch.uint8).tolist()) if flat.numel() else b""
    name = str(tensor.dtype).replace("torch.", "")
    return file, key, name, ",".join(map(str, tensor.shape)), data.hex()


def test_equal_bits_are_stored_once(tmp):
    shards = Shards(tmp + "/tensors", 1 << 30)
    one = torch.randn(100, 10)
    places = {put(shards, tensor)[:2] for tensor in (one, one.clone(), one.t().t())}
    assert len(places) == 1
    assert shards.bytes == 4000
    other = one.clone()
    other[0, 0] = -other[0, 0]
    assert put(shards, other)[:2] not in places
    assert put(shards, one.view(10, 100))[:2] not in places
    shards.close()


def test_the_limit_is_kept(tmp):
    shards = Shards(tmp + "/tensors", 1000)
    kept = [torch.randn(100), torch.randn(100)]
    assert shards.put(digest(kept[0]), kept[0]) is not None
    assert shards.put(digest(kept[1]), kept[1], spare=500) is None
    assert shards.full
    assert shards.put(digest(kept[1]), kept[1]) is not None
    assert shards.put(digest(torch.zeros(60)), torch.zeros(60)) is None
    assert shards.bytes == 800
    shards.close()


def test_a_full_disk_keeps_what_is_there(tmp):
    """A limit on a file's size stands in for the disk's end: a write ends short, then fails."""
    shards = Shards(tmp + "/tensors", 1 << 30)
    first = torch.randn(1000)
    place = shards.put(digest(first), first)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
        assert shards.put(1, torch.randn(1 << 20)) is None
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert shards.full
    assert shards.put(digest(first), first) == place
    again = torch.randn(1000)
    assert shards.put(digest(again), again) is not None
    shards.close()


def test_outputs_of_steps_are_kept_and_those_of_modules_where_asked(tmp):
    net, x = small_net(), torch.randn(2, 6)
    for store, wanted in ((["root"], 1), (["root", "modules"], 4), (["none"], 0)):
        name = "-".join(store)
        with recording(tmp, "module", name, store=store), torch.no_grad():
            net(x)
            net(x)  # the same bits again
        assert len(set(Recorded(tmp, name).stored.values())) == wanted, store


def test_a_weight_in_the_windows_of_two_steps_is_stored_once(tmp):
    pick = {"level": "op", "store": ["root"], "window": [None, None]}
    plan = {"default": pick, "steps": {}}
    net = small_net()
    with recording(tmp, name="rec", plan=plan), torch.no_grad():
        net(torch.ones(2, 6))
        net(torch.zeros(2, 6))
    seen = Recorded(tmp)
    weight = digest(net[0].weight)
    kept = [number for number in seen.stored if seen.tensors[number]["digest"] == weight]
    assert len(kept) >= 1
    for step in (0, 1):
        assert any(
            e.inside and i["id"] in seen.stored for e in seen.of("op", step) for i in e.inputs
        )


def test_a_window_keeps_the_ops_between_two_module_calls(tmp):
    window = ["0:0", "2:0"]
    pick = {"level": "op", "store": [], "window": window}
    net = small_net()
    with recording(tmp, plan={"default": pick, "steps": {}}), torch.no_grad():
        net(torch.randn(2, 6))
    seen = Recorded(tmp)
    kept = [e.module for e in seen.of("op") for o in e.outputs if o["id"] in seen.stored]
    # the first linear's output is an input of what follows it
    assert set(kept) == {"0", "1", "2"}


def test_outputs_are_measured_against_a_reference(tmp):
    plan = {
        "default": {"level": "module", "store": ["root"]},
        "steps": {"1": {"level": "op", "store": ["root", "modules"], "window": ["1:0", None]}},
    }
    net = small_net()
    x = torch.randn(2, 6)

    def run():
        with torch.no_grad():
            net(x)
            net(x)

    with recording(tmp, name="a", plan=plan):
        run()
    with torch.no_grad():
        net[2].bias[3] += 0.25
    reference = os.path.join(tmp, "a")
    tolerance = {"limits": {"float32": [0.0, 0.0]}, "outputs": {"out": [1.0, 0.0]}}
    with recording(tmp, name="b", plan=plan, reference=reference, tolerance=tolerance):
        run()
    a, b = Recorded(tmp, "a"), Recorded(tmp, "b")
    assert b.manifest["tolerance"] == tolerance
    assert a.manifest["tolerance"] is None
    events = {e.id: e for e in b.events}
    others = {e.id: e for e in a.events}
    measured = [(events[m["event"]], m) for m in b.metrics]
    for event, row in measured:
        other = others[row["other"]]
        assert (event.kind, event.module, event.op) == (other.kind, other.module, other.op)
        assert not row["bit_equal"]
    norm = [m for e, m in measured if e.kind == "module" and e.module == "2"]
    assert [m["max_abs"] for m in norm] == [0.25]
    assert norm[0]["equal_fraction"] == 14 / 16
    assert norm[0]["close_count"] == 16  # by name
    roots = [e.step for e, _ in measured if e.kind == "module" and e.module == ""]
    assert roots == [0, 1]
    ops = {e.op for e, _ in measured if e.kind == "op"}
    assert any("layer_norm" in op for op in ops)
    assert not any(e.module in ("0", "1") for e, _ in measured)  # equal bits are not measured
