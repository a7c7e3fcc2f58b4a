"""Recording in this process, checking every digest on the way, and reading what was written."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3

import torch

from forkpoint_worker import schema
from forkpoint_worker.digest import Digester
from forkpoint_worker.session import Session
from forkpoint_worker.writer import Writer

DIGESTER = Digester()
KINDS = ("module", "op", "input", "weights", "watch")


def safetensors(path):
    """The bytes of each tensor of a safetensors file, by name."""
    with open(path, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header, data = json.loads(stream.read(length)), stream.read()
    header.pop("__metadata__", None)
    return {name: data[slice(*entry["data_offsets"])] for name, entry in header.items()}


@contextlib.contextmanager
def recording(tmp, level="op", name="rec", **job):
    """Record what the block does; yields the folder. Every digest is compared with a clone's."""
    session = Session(os.path.join(tmp, name), dict(job, level=level))
    with contents_checked() as wrong:
        session.start()
        status = "raised"
        try:
            yield session
            status = "completed"
        finally:
            session.stop(status)
    assert not wrong, wrong[:5]


@contextlib.contextmanager
def contents_checked():
    """Wrap every way in which a tensor gets a content, and digest a copy of it, too."""
    wrong = []
    names = ("content", "anew", "identify", "fresh", "view", "remember")
    originals = {name: getattr(Writer, name) for name in names}
    for name, original in originals.items():
        setattr(Writer, name, _checked(original, wrong))
    try:
        yield wrong
    finally:
        for name, original in originals.items():
            setattr(Writer, name, original)


def _checked(original, wrong):
    def call(self, tensor, *args, **kwargs):
        content = original(self, tensor, *args, **kwargs)
        if content is not None and content.raw is not None:
            self.hasher.fetch()  # of a tensor on a device, the digest is on its way
            expected = DIGESTER.digest(tensor.detach().clone().cpu())
            if content.digest != expected:
                wrong.append((original.__name__, tensor.dtype, tuple(tensor.shape), content.id))
        return content

    return call


class Recorded:
    """A recording's rows as plain objects."""

    def __init__(self, tmp, name="rec"):
        self.folder = os.path.join(tmp, name)
        with open(os.path.join(self.folder, "manifest.json")) as stream:
            self.manifest = json.load(stream)
        db = sqlite3.connect(os.path.join(self.folder, "index.sqlite"))
        self.texts = dict(db.execute("SELECT id, text FROM name"))
        self.steps = [
            {"module": self.texts[m], "level": level, "state": state, "thread": thread}
            for _, m, level, state, thread in db.execute("SELECT * FROM step ORDER BY id")
        ]
        self.tensors = {row[0]: self._tensor(row) for row in db.execute("SELECT * FROM tensor")}
        self.events = [self._event(row) for row in db.execute("SELECT * FROM event ORDER BY id")]
        by_id = {event.id: event for event in self.events}
        for event, role, slot, text, tensor in db.execute("SELECT * FROM value"):
            entry = dict(self.tensors[tensor], name=self.texts[text], slot=slot)
            getattr(by_id[event], "inputs" if role == schema.ROLE_IN else "outputs").append(entry)
        self.structures = {}
        for event, role, slot, text, value in db.execute("SELECT * FROM plain"):
            if slot == schema.STRUCTURE:
                self.structures[event, role] = self.texts[value]
            else:
                side = by_id[event].plain_in if role == schema.ROLE_IN else by_id[event].plain
                side[self.texts[text]] = self.texts[value]
        for event, role, _, text, why in db.execute("SELECT * FROM unread"):
            side = by_id[event].unread_in if role == schema.ROLE_IN else by_id[event].unread
            side[self.texts[text]] = self.texts[why]
        self.stored = dict(db.execute("SELECT tensor, key FROM stored"))
        self.metrics = [
            dict(json.loads(text), event=event, slot=slot, other=other)
            for event, slot, other, text in db.execute("SELECT * FROM metric")
        ]
        rows = db.execute("SELECT kind, detail, count FROM uncovered")
        noted = {(kind, detail): count for kind, detail, count in rows}
        self.uncovered = {key: n for key, n in noted.items() if key[0] != "outside modules"}
        self.outside = {key[1]: n for key, n in noted.items() if key[0] == "outside modules"}
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        db.close()

    def _tensor(self, row):
        number, dtype, shape, stride, device, source, base, digest = row
        return {
            "id": number, "dtype": self.texts[dtype], "shape": self.texts[shape],
            "stride": self.texts[stride], "device": self.texts[device], "source": source,
            "base": base, "digest": digest,
        }  # fmt: skip

    def _event(self, row):
        return Event(self.texts, row)

    def of(self, kind, step=None):
        """The events of a kind, in the order of their ends."""
        return [e for e in self.events if e.kind == kind and step in (None, e.step)]

    def ops(self, name, step=None):
        """The calls of an op, by its name without ``aten.`` and overload."""
        return [e for e in self.of("op", step) if e.op.split(".")[1] == name]

    def roots(self):
        """Digests of the outermost modules' results."""
        return [e.digest for e in self.of("module") if e.module == ""]

    def noted(self, kind):
        """How often something of this kind was noted as uncovered."""
        return sum(count for (found, _), count in self.uncovered.items() if found == kind)


class Event:
    def __init__(self, texts, row):
        self.id, step, inside, kind, module, op, call, signature, digest = row
        self.step = step
        self.inside = inside
        self.kind = KINDS[kind]
        self.module = texts[module]
        self.op = texts.get(op, "")
        self.call = call
        self.signature = texts.get(signature, "")
        self.digest = digest
        self.inputs = []
        self.outputs = []
        self.plain, self.plain_in = {}, {}
        self.unread, self.unread_in = {}, {}


def digest(tensor):
    return DIGESTER.digest(tensor.detach().cpu())


def small_net():
    torch.manual_seed(3)
    return torch.nn.Sequential(
        torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.LayerNorm(8), torch.nn.Linear(8, 4)
    )
