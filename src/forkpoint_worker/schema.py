"""The SQLite tables of a recording: the host checks that an index has exactly these.

Events are numbered in the order in which they *end*; a step's ``input`` event comes first and
its root module's event last. An event's ``digest`` sums up all of its tensor outputs (for an
``input`` or ``weights`` event: all of its values), so two recordings are compared by one
integer an event. It is null where nothing has a digest of its own: an op that returns only
views or no tensor at all, or an output that could not be hashed (see ``uncovered``). The digest of
an input, of an outermost module and of a watched call goes over plain values and the structure of
containers, too; what could not be read (``unread``) is in no digest.
"""

FORMAT = "forkpoint.recording/1"
CAPSULE_FORMAT = "forkpoint.capsule/1"
DIGEST = "multilinear-columns-128x1024/2"
"""How digests are made (`digest`, which needs torch): those of two names say nothing together."""
EVENTS = DIGEST + ", events/2"
"""How the digests of a recording's events are made of those of their values."""

# step.level and event.kind
BARE, MODULE, OP = 0, 1, 2
KIND_MODULE, KIND_OP, KIND_INPUT, KIND_WEIGHTS, KIND_WATCH = 0, 1, 2, 3, 4
# step.state
OPEN, COMPLETE, RAISED = 0, 1, 2
# value.role
ROLE_IN, ROLE_OUT = 0, 1
# tensor.source
SOURCE_OP, SOURCE_INPUT, SOURCE_WEIGHT, SOURCE_OUTSIDE, SOURCE_VIEW = 0, 1, 2, 3, 4
# plain.slot of the structure of what an event took or gave
STRUCTURE = -1
# value.name of the state of a random generator, the last input of an op that draws from it
GENERATOR = "random generator"
# uncovered.kind of watched calls that kept their own result; detail: "FUNCTION: WHY"
NOT_SWAPPED = "not swapped"
# uncovered.kind of tensors that the disk did not take; detail: the system's word for it
NOT_KEPT = "tensor not kept"

TABLES = {
    # interned text: module paths, op names, dtypes, shapes ("32,77"), signatures
    "name": "CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT NOT NULL)",
    # one outermost module call; module: display name of the root ("BertModel", "Net#2"); thread:
    # 0 is the main one, others are numbered in the order in which they first called a module
    "step": (
        "CREATE TABLE step (id INTEGER PRIMARY KEY, module INTEGER NOT NULL, "
        "level INTEGER NOT NULL, state INTEGER NOT NULL, thread INTEGER NOT NULL)"
    ),
    # step: the step it lies in, or for an op between steps the step before it (-1: none) with
    # inside = 0; module: path below the root ("" is the root itself); op: "aten.addmm.default"
    # or 0; call: how often this (kind, module, op) ended in this step before; signature: the
    # op's arguments with tensors as dtype[shape]{stride} and plain values as they are, or 0.
    # A watched function's call: op is its name, call counts over the whole run, signature holds
    # the plain values as "arguments -> results", and it may lie between steps as ops may
    "event": (
        "CREATE TABLE event (id INTEGER PRIMARY KEY, step INTEGER NOT NULL, "
        "inside INTEGER NOT NULL, kind INTEGER NOT NULL, module INTEGER NOT NULL, "
        "op INTEGER NOT NULL, call INTEGER NOT NULL, signature INTEGER NOT NULL, digest INTEGER)"
    ),
    # the tensors of an event: inputs (op, input and weights events) and outputs; name: "self",
    # "last_hidden_state", "[0]", a parameter's name
    "value": (
        "CREATE TABLE value (event INTEGER NOT NULL, role INTEGER NOT NULL, "
        "slot INTEGER NOT NULL, name INTEGER NOT NULL, tensor INTEGER NOT NULL, "
        "PRIMARY KEY (event, role, slot)) WITHOUT ROWID"
    ),
    # the values of an event that are no tensors (input, outermost module and watch events; others
    # may have them); text: exact, or the start of it and a digest of the whole. Slot -1 holds the
    # structure: types, keys and lengths of the containers. Slots of this table and of ``unread``
    # count its own rows
    "plain": (
        "CREATE TABLE plain (event INTEGER NOT NULL, role INTEGER NOT NULL, "
        "slot INTEGER NOT NULL, name INTEGER NOT NULL, text INTEGER NOT NULL, "
        "PRIMARY KEY (event, role, slot)) WITHOUT ROWID"
    ),
    # a value of an event that could not be read; name: its place; why: with its type
    "unread": (
        "CREATE TABLE unread (event INTEGER NOT NULL, role INTEGER NOT NULL, "
        "slot INTEGER NOT NULL, name INTEGER NOT NULL, why INTEGER NOT NULL, "
        "PRIMARY KEY (event, role, slot)) WITHOUT ROWID"
    ),
    # one content of one tensor; dtype "float32"; shape and stride "32,77"; base: for a view
    # that was not hashed, the tensor whose memory it shares; device "cpu", "cuda:0"
    "tensor": (
        "CREATE TABLE tensor (id INTEGER PRIMARY KEY, dtype INTEGER NOT NULL, "
        "shape INTEGER NOT NULL, stride INTEGER NOT NULL, device INTEGER NOT NULL, "
        "source INTEGER NOT NULL, base INTEGER, digest INTEGER)"
    ),
    # where a tensor's bytes are: file below tensors/, key in it
    "stored": (
        "CREATE TABLE stored (tensor INTEGER PRIMARY KEY, file TEXT NOT NULL, key TEXT NOT NULL)"
    ),
    # against the reference: metrics of output ``slot`` of ``event``, JSON of model.Metrics;
    # other: the event of the reference it was compared with
    "metric": (
        "CREATE TABLE metric (event INTEGER NOT NULL, slot INTEGER NOT NULL, "
        "other INTEGER NOT NULL, metrics TEXT NOT NULL, PRIMARY KEY (event, slot)) WITHOUT ROWID"
    ),
    # what ran and could not be seen: kind "compiled graph", "child process", "sparse tensor", ...
    "uncovered": (
        "CREATE TABLE uncovered (kind TEXT NOT NULL, detail TEXT NOT NULL, "
        "count INTEGER NOT NULL, PRIMARY KEY (kind, detail)) WITHOUT ROWID"
    ),
}
ADDED = frozenset(("plain", "unread"))
"""Tables that recordings of older releases lack: absent is empty."""
INDEXES = {
    "event_step": "CREATE INDEX event_step ON event (step)",
}
