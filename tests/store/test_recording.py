from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from forkpoint.errors import RecordingError
from forkpoint.store import Recording
from forkpoint_worker import schema
from tests.support.recordings import SHARD, RecordingBuilder, digest_of

X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "rec"
    with RecordingBuilder(path) as rec:
        for number in range(3):
            with rec.step("Net", inputs={"x": X + number}) as step:
                step.op("aten.mul.Tensor", inputs=[X], outputs=[X * 2], module="act")
                step.module("act", {"": X * 2}, keep=True)
                step.root({"logits": X * 2 + number}, keep=True)
        rec.db.execute("INSERT INTO uncovered VALUES ('child process', 'python', 2)")
    return path


def edit(folder: Path, *statements: str) -> None:
    with sqlite3.connect(folder / "index.sqlite") as db:
        for statement in statements:
            db.execute(statement)
    db.close()


def refused(folder: Path) -> str:
    """The message of the error that reading everything in the folder raises."""
    with pytest.raises(RecordingError) as caught, Recording.open(folder) as recording:
        for step in recording.steps():
            for event in recording.events(step.id):
                for value in recording.values(event.id):
                    if recording.stored(value.tensor.id):
                        recording.load(value.tensor.id)
                    recording.metric(event.id, value.slot)
    return caught.value.message


def test_what_was_written_is_read(folder: Path) -> None:
    with Recording.open(folder) as recording:
        assert recording.complete
        assert recording.manifest.argv == ("--batch-size", "32")
        assert [step.module for step in recording.steps()] == ["Net"] * 3
        events = recording.events(1)
        assert [(e.kind, e.module, e.op) for e in events] == [
            (schema.KIND_INPUT, "", ""),
            (schema.KIND_OP, "act", "aten.mul.Tensor"),
            (schema.KIND_MODULE, "act", ""),
            (schema.KIND_MODULE, "", ""),
        ]
        assert events[3].digest == digest_of(X * 2 + 1)
        (value,) = recording.values(events[3].id)
        assert (value.name, value.tensor.shape, value.tensor.nbytes) == ("logits", (2, 3), 24)
        np.testing.assert_array_equal(recording.load(value.tensor.id), X * 2 + 1)
        assert recording.root_values()[events[3].id] == (value,)
        assert recording.values_of_step(1)[events[3].id] == (value,)
        assert len(recording.values_of_kind(schema.KIND_INPUT)) == 3
        assert [row.count for row in recording.uncovered()] == [2]


@pytest.fixture
def with_others(tmp_path: Path) -> Path:
    """A recording of one step with plain values and one that could not be read."""
    path = tmp_path / "others"
    with RecordingBuilder(path) as rec, rec.step("Net", inputs={"x": X}) as step:
        event = step.root({"logits": X})
        rec.plain(event, schema.ROLE_OUT, "dict(logits: Tensor, loss: float)", {"loss": "0.5"})
        rec.unread(event, schema.ROLE_OUT, {"rest": "generator"})
    return path


def test_values_that_are_no_tensors_are_read(with_others: Path) -> None:
    with Recording.open(with_others) as recording:
        event = recording.events(0)[-1].id
        rows = recording.plain(event)
        assert [(row.role, row.slot, row.name, row.text) for row in rows] == [
            (schema.ROLE_OUT, -1, "structure", "dict(logits: Tensor, loss: float)"),
            (schema.ROLE_OUT, 0, "loss", "0.5"),
        ]
        (unread,) = recording.unread(event)
        assert (unread.name, unread.why) == ("rest", "generator")
        assert recording.plain_by_event() == {event: rows}
        assert recording.unread_by_event() == {event: (unread,)}
        assert recording.plain(event - 1) == recording.unread(event - 1) == ()


def test_a_recording_of_an_older_release_holds_none(with_others: Path) -> None:
    edit(with_others, "DROP TABLE plain", "DROP TABLE unread")
    with Recording.open(with_others) as recording:
        assert recording.steps()
        assert recording.plain_by_event() == recording.unread_by_event() == {}


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE plain SET text = 9999 WHERE slot = 0", "text 9999 is not there"),
        ("UPDATE plain SET role = 7 WHERE slot = 0", "a row of plain has role 7"),
        ("UPDATE plain SET slot = -2 WHERE slot = 0", "slot -2"),
        ("UPDATE unread SET why = 'x'", "'x' where a number belongs"),
        ("UPDATE unread SET name = 1.5", "'1.5' where a number belongs"),
    ],
)
def test_a_damaged_row_of_other_values_is_refused(
    with_others: Path, statement: str, said: str
) -> None:
    edit(with_others, statement)
    with Recording.open(with_others) as recording:  # noqa: SIM117 - the second is what raises
        with pytest.raises(RecordingError, match=said):
            recording.plain_by_event(), recording.unread_by_event()


def test_a_table_of_another_form_is_refused(with_others: Path) -> None:
    edit(with_others, "DROP TABLE plain", "CREATE TABLE plain (event INTEGER)")
    with pytest.raises(RecordingError, match="has an unexpected table plain"):
        Recording.open(with_others)


@pytest.mark.parametrize(
    "array",
    [
        np.array(1.5, dtype=np.float64),
        np.empty((0, 4), dtype=np.float16),
        np.array([[1, -2], [3, 4]], dtype=np.int8),
        np.array([True, False]),
        np.array([1.5, -0.0, np.nan], dtype=ml_dtypes.bfloat16),
        np.array([1.5, -2.0], dtype=ml_dtypes.float8_e4m3fn),
        np.array([1 + 2j, complex("nan")], dtype=np.complex128),
        np.array([2**63], dtype=np.uint64),
    ],
    ids=lambda array: f"{array.dtype}{list(array.shape)}",
)
def test_every_dtype_and_shape_comes_back_bit_for_bit(tmp_path: Path, array: np.ndarray) -> None:
    with RecordingBuilder(tmp_path / "rec") as rec, rec.step() as step:
        event = step.root({"": array}, keep=True)
    with Recording.open(tmp_path / "rec") as recording:
        (value,) = recording.values(event)
        loaded = recording.load(value.tensor.id)
    assert (loaded.dtype, loaded.shape) == (array.dtype, array.shape)
    assert loaded.tobytes() == array.tobytes()


def test_reading_leaves_the_folder_as_it_was(folder: Path) -> None:
    before = sorted(path.name for path in folder.rglob("*"))
    with Recording.open(folder) as recording:
        assert len(recording.columns) == 12
    assert sorted(path.name for path in folder.rglob("*")) == before


def test_a_missing_folder_and_a_file_are_told_apart(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "nothing")
    (tmp_path / "file").write_text("x")
    assert "is not a folder" in refused(tmp_path / "file")


@pytest.mark.parametrize("name", ["manifest.json", "index.sqlite"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert refused(folder) == f"{folder / name} is missing"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "forkpoint.recording/9"}, "this forkpoint reads 'forkpoint.recording/1'"),
        ({"format": "onnx"}, "not a forkpoint recording"),
        ({"complete": "yes"}, "Expected `bool`"),
        ({"fingerprint": {"torch": 2}}, "Expected `str`"),
        ({"argv": "x"}, "Expected `array`"),
    ],
)
def test_a_foreign_manifest_is_refused(folder: Path, change: dict[str, object], said: str) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    message = refused(folder)
    assert said in message
    assert str(path) in message


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff", "[" * 200_000])
def test_a_manifest_that_is_no_json_object_is_refused(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_bytes(text.encode("latin-1"))
    assert "manifest" in refused(folder)


def test_a_huge_manifest_is_not_read(folder: Path) -> None:
    with (folder / "manifest.json").open("r+b") as stream:
        stream.truncate(1 << 40)
    assert "is too large" in refused(folder)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("CREATE TABLE more (x)", "unexpected table more"),
        ("CREATE VIEW v AS SELECT 1", "unexpected view v"),
        ("CREATE TRIGGER t AFTER INSERT ON step BEGIN SELECT 1; END", "unexpected trigger t"),
        ("DROP TABLE metric", "lacks table metric"),
        ("DROP INDEX event_step", "lacks index event_step"),
        ("ALTER TABLE step ADD COLUMN more", "unexpected table step"),
    ],
)
def test_another_schema_is_refused(folder: Path, statement: str, said: str) -> None:
    edit(folder, statement)
    assert said in refused(folder)


def test_a_view_that_poses_as_a_table_is_refused(folder: Path) -> None:
    edit(folder, "DROP TABLE metric", "CREATE VIEW metric AS SELECT 1")
    assert "unexpected view metric" in refused(folder)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE event SET module = 99999 WHERE id = 2", "module is a text that is not there"),
        ("UPDATE event SET kind = 77 WHERE id = 2", "0 to 4"),
        ("UPDATE event SET call = -1 WHERE id = 2", "is allowed"),
        ("UPDATE event SET step = 'abc' WHERE id = 2", "event 2 has something else"),
        ("UPDATE step SET module = x'00' WHERE id = 1", "where a number belongs"),
        ("UPDATE value SET tensor = 4711", "names a tensor that is not there"),
        ("UPDATE tensor SET digest = 'abc'", "digest that is no number"),
        ("UPDATE name SET text = '-2,3' WHERE text = '2,3'", "a shape with '-2'"),
        ("UPDATE name SET text = '2,x' WHERE text = '2,3'", "a shape with 'x'"),
        ("UPDATE name SET text = '9999999999,9999999999' WHERE text = '2,3'", "no memory holds"),
        ("UPDATE name SET text = '9,9' WHERE text = '2,3'", "the index says float32[9, 9]"),
        ("UPDATE name SET text = 'float64' WHERE text = 'float32'", "but the index says float64"),
        ("UPDATE stored SET file = '../manifest.json'", "as a file of tensors"),
        ("UPDATE stored SET file = '/etc/passwd'", "as a file of tensors"),
        ("UPDATE stored SET file = '00009.safetensors'", "00009.safetensors is missing"),
        ("UPDATE stored SET key = 'other'", "holds no tensor 'other'"),
        ("INSERT INTO metric SELECT id, 0, 1, '{}' FROM event", "missing required field"),
        ("INSERT INTO metric SELECT id, 0, 1, x'ff' FROM event", "are not text"),
    ],
)
def test_a_damaged_row_is_named(folder: Path, statement: str, said: str) -> None:
    edit(folder, statement)
    message = refused(folder)
    assert said in message
    assert str(folder) in message


def test_a_truncated_index_is_refused(folder: Path) -> None:
    path = folder / "index.sqlite"
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size // 2)
    assert "index.sqlite" in refused(folder)


@pytest.mark.parametrize("size", [0, 50, 99])
def test_the_head_of_an_index_alone_is_refused(folder: Path, size: int) -> None:
    with (folder / "index.sqlite").open("r+b") as stream:
        stream.truncate(size)
    assert "index.sqlite" in refused(folder)


def test_flipped_pages_are_refused_or_read_but_never_crash(folder: Path) -> None:
    path = folder / "index.sqlite"
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        data = bytearray(whole)
        for at in rng.integers(100, len(data), size=40):
            data[at] ^= int(rng.integers(1, 256))
        path.write_bytes(data)
        try:
            with Recording.open(folder) as recording:
                for step in recording.steps():
                    recording.values_of_step(step.id)
                recording.events(0)
        except RecordingError as error:
            assert "index.sqlite" in error.message


@pytest.mark.parametrize("name", ["manifest.json", "index.sqlite", f"tensors/{SHARD}"])
def test_links_are_not_followed(folder: Path, tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.move(folder / name, elsewhere)
    (folder / name).symlink_to(elsewhere)
    assert "is a link and not a regular file" in refused(folder)


def test_a_linked_folder_of_tensors_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder / "tensors", tmp_path / "tensors")
    (folder / "tensors").symlink_to(tmp_path / "tensors")
    assert "is a link" in refused(folder)


def test_a_rollback_journal_is_not_played_back(folder: Path) -> None:
    (folder / "index.sqlite-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" * 99)
    assert "rollback journal" in refused(folder)
    assert (folder / "index.sqlite-journal").exists()


@pytest.mark.parametrize(
    "header",
    [
        b"not json",
        b'{"a": 1}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 99999999]}}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}}',
    ],
)
def test_a_damaged_shard_is_named(folder: Path, header: bytes) -> None:
    path = folder / "tensors" / SHARD
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 64)
    assert str(path) in refused(folder)


def test_a_shard_with_an_absurd_header_length_is_named(folder: Path) -> None:
    path = folder / "tensors" / SHARD
    path.write_bytes(struct.pack("<Q", 1 << 62) + b"{}")
    assert str(path) in refused(folder)


def test_a_truncated_shard_is_named(folder: Path) -> None:
    path = folder / "tensors" / SHARD
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size - 4)
    assert "was cut off" in refused(folder)


def test_a_shard_that_was_being_written_is_read_up_to_there(folder: Path) -> None:
    with (folder / "tensors" / SHARD).open("ab") as stream:
        stream.write(b"\1" * 1000)
    with Recording.open(folder) as recording:
        assert recording.load(recording.values(3)[0].tensor.id).shape == (2, 3)


_WRITER = """
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode=WAL"); db.execute("PRAGMA synchronous=OFF")
db.execute("INSERT INTO step SELECT 3, module, level, 0, 0 FROM step WHERE id = 0")
db.execute("BEGIN"); db.execute("INSERT INTO step VALUES (4, 1, 0, 0, 0)")
print("written", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("read_only", [False, True])
def test_what_a_killed_writer_committed_is_read(folder: Path, read_only: bool) -> None:
    argv = [sys.executable, "-c", _WRITER, str(folder / "index.sqlite")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == b"written\n"
        os.kill(writer.pid, signal.SIGKILL)
    assert (folder / "index.sqlite-wal").stat().st_size
    names = sorted(path.name for path in folder.iterdir())
    if read_only:
        folder.chmod(0o555)
    try:
        with Recording.open(folder) as recording:
            assert [step.id for step in recording.steps()] == [0, 1, 2, 3]
    finally:
        folder.chmod(0o755)
    assert sorted(path.name for path in folder.iterdir()) == names


def test_a_recording_is_read_while_it_is_written(folder: Path) -> None:
    argv = [sys.executable, "-c", _WRITER, str(folder / "index.sqlite")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout
            writer.stdout.readline()
            with Recording.open(folder) as recording:
                assert len(recording.steps()) == 4
        finally:
            writer.kill()


def test_no_copy_is_left_behind(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    (folder / "index.sqlite-wal").write_bytes(b"")
    with Recording.open(folder) as recording:
        assert len(recording.steps()) == 3
    assert list(temporary.iterdir()) == []
