"""Runs inside the environment under study: the standard library and torch, nothing else.

Python 3.8 or newer, torch 2.0 or newer. This text is the protocol (number 1).

Starting
    ``ENV/bin/python -I -c BOOT INJECT_DIR CONTROL_DIR``, where BOOT is `forkpoint_worker.BOOT`,
    INJECT_DIR holds this package and CONTROL_DIR holds ``job.json``.

``job.json``
    protocol     1
    kind         "record" | "fingerprint"
    script       absolute path of the script, or null with ``module``
    module       dotted name to run as ``python -m`` does, or null
    argv         the script's arguments
    sys_path     entries of the caller's PYTHONPATH, absolute
    settings     torch settings by name, as the environment spec spells them (`settings.APPLY`)
    recording    folder to create (kind record)
    name         name of the environment
    level        "bare" | "module" | "op": how finely steps are recorded
    steps        [[start, stop], ...] half-open ranges recorded at ``level``, or null for all;
                 other steps are recorded bare (their inputs and outermost outputs only)
    plan         null, or what to keep (see below)
    reference    folder of the other side's recording to compare tensors with, or null
    max_storage  bytes of tensors to keep at most
    tolerance    {"limits": {dtype: [atol, rtol]}, "outputs": {name: [atol, rtol]}}
    stop_after   null, or the number of steps after which the script is ended (exit status
                 ``stopped``; its ``finally`` blocks run)

    plan: {"default": PICK, "steps": {"17": PICK, ...}, "reserve": BYTES}; of ``max_storage``,
    BYTES are held for outputs of steps (``root``), whatever else is kept before; PICK =
    {"level": "bare"|"module"|"op",
     "store": ["root", "modules"],    which outputs are kept: of the step, of each module call
     "modules": [path, ...] or null,  restricts "modules" to these module paths
     "window": [after, until] or null}
    ``window`` names two module calls as "path:call" (null: the step's start or end); inputs
    and outputs of the ops between the end of the first and the end of the second are kept.
    Where a plan is given it decides for each step, and ``level`` and ``steps`` are not read.
    In a run with a ``reference`` nothing is kept but what a window holds; whatever the
    reference kept of the same step, module call, op call and output is compared in place.

Outputs
    CONTROL_DIR/result.json, written last, by a temporary file and `os.replace`:
        protocol   1
        status     "completed" | "exited" | "raised" | "stopped" | "interrupted" | "failed"
        exit_code  the script's status (0 for completed)
        error      null or {"type", "message", "traceback"}; ``failed`` is the worker's own error
        steps      number of steps seen
        seconds    run time of the script
        peak_rss   bytes
        storage_full   true where ``max_storage`` or the disk kept tensors from being kept
        fingerprint    {key: text} (both kinds)
    No ``result.json`` means that the process died. CONTROL_DIR/last_event (a small file that
    the worker maps into memory; UTF-8, padded with NUL) then holds "STEP\\tMODULE\\tOP" of the
    last event begun, and CONTROL_DIR/fault.log what `faulthandler` wrote.
    The recording's ``manifest.json`` says ``"complete": true`` only after a whole run.

Recording (format 1)
    manifest.json  {"format": "forkpoint.recording/1", "complete", "name", "level", "status",
                    "script", "argv", "settings", "steps", "fingerprint", "digest",
                    "error", "started", "seconds", "tolerance"}
                    tolerance: the job's where metrics were measured by it, else null or absent
    index.sqlite   the tables of `forkpoint_worker.schema`
    tensors/NNNNN.safetensors   each at most about 256 MiB; tensors are stored once per digest
"""

PROTOCOL = 1

BOOT = (
    "import sys; inject, control = sys.argv[1:3]; sys.path.insert(0, inject); "
    "import forkpoint_worker.startup; "
    "from forkpoint_worker.main import main; main(inject, control)"
)
"""What ``python -c`` is given; it takes the package's folder and the control folder."""
