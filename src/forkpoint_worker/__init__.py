"""Runs inside the environment under study: the standard library and torch, nothing else.

Python 3.8 or newer, torch 2.0 or newer. This text is the protocol (number 1).

Starting
    ``ENV/bin/python -I -c BOOT INJECT_DIR CONTROL_DIR``, where BOOT is `forkpoint_worker.BOOT`,
    INJECT_DIR holds this package and CONTROL_DIR holds ``job.json``.

``job.json``
    protocol     1
    host         the process number of the host: a worker does not outlive it (Linux)
    kind         "record" | "alone" | "fingerprint" | "replay" | "unpack" (see below); alone runs
                 the script as it is, without a recorder
    script       absolute path of the script, or null with ``module``
    module       dotted name to run as ``python -m`` does, or null
    argv         the script's arguments
    sys_path     entries of the caller's PYTHONPATH, absolute
    settings     torch settings by name, as the environment spec spells them (`settings.APPLY`)
    recording    folder to create (kind record)
    name         name of the environment
    level        "bare" | "module" | "op": how finely steps are recorded
    variables    names of environment variables that belong to the fingerprint, whatever they are
    steps        [[start, stop], ...] half-open ranges recorded at ``level``, or null for all;
                 other steps are recorded bare (their inputs and outermost outputs only)
    plan         null, or what to keep (see below)
    reference    folder of the other side's recording to compare tensors with, or null
    gate         null, or the path of a file: the script runs up to its first step, waits there
                 until the file is there, and only then is ``reference`` read; where the file
                 says anything but "go", the run ends there (status ``stopped``)
    max_storage  bytes of tensors to keep at most
    tolerance    {"limits": {dtype: [atol, rtol]}, "outputs": {name: [atol, rtol]}}
    watch        names of functions whose calls are recorded, "package.module:Class.method"
    store        which outputs are kept where there is no plan; ["root"] where absent
    stop_after   null, or the number of steps after which the recording has seen enough: it is
                 closed, ``result.json`` is written (status ``stopped``), and the process ends by
                 ``os._exit`` from whatever thread made the last step. Nothing of the script sees
                 it: no handler, no ``finally``, no ``atexit``. The host ends what is left of the
                 process group, and deletes the run's folder of temporary files

    plan: {"default": PICK, "steps": {"17": PICK, ...}, "reserve": BYTES}; of ``max_storage``,
    BYTES are held for outputs of steps (``root``), whatever else is kept before; PICK =
    {"level": "bare"|"module"|"op",
     "store": ["root", "modules"],    which outputs are kept: of the step, of each module call
     "modules": [path, ...] or null,  restricts "modules" to these module paths
     "window": [after, until] or null,
     "capsules": true | [op or [module, op, call], ...],
                                      keeps calls as capsules: the first one of each signature
                                      (of all ops, or of those named), or this very one
     "ops": [op, ...]}                keeps the outputs of each call of these ops (ATen names)
    ``window`` names two module calls as "path:call" (null: the step's start or end); inputs
    and outputs of the ops between the end of the first and the end of the second are kept.
    Where a plan is given it decides for each step, and ``level`` and ``steps`` are not read.
    In a run with a ``reference`` nothing is kept but what a window holds; whatever the
    reference kept of the same step, module call, op call and output is compared in place.

    variants     null, or calls to make again with other inputs (see below)

    substitute   null or {"ops": [op, ...], "watched": [name, ...]}: in the steps recorded by op,
                 the outputs of these ops are replaced by those that ``reference`` kept of the
                 same module, op, call and slot. The recorded output is the op's own, before it is
                 replaced; what later reads the tensor has the reference's content. A call that
                 the reference did not keep is not replaced and counted as uncovered ("not
                 substituted").
                 ``watched`` are of ``watch``: the caller of such a function is given the result
                 that ``reference`` recorded of the same call (by number) in place of its own,
                 which is what is recorded. It must have the same containers and dtypes; a result
                 that cannot be rebuilt to the reference's digest is left as it is and counted
                 as uncovered ("not swapped", "NAME: WHY"). What the function put elsewhere, in
                 attributes or arguments, stays its own.

Variants (key ``variants`` of a record job)
    {"out": path of a file of JSON lines to append to, "steps": [[start, stop], ...] or null for
     the first step of each module and input shapes, "limit": at most this many steps,
     "batch": null | [] | [n, ...]     the first n rows ([]: sizes of the worker's choice)
     "position": bool                  the same rows at other places
     "padding": null | [] | [P, ...]   dimension 1 made P long; "fill": {input name: value}
     "crop": null | [[dim, start, stop], ...]
     "digests": bool                   no comparison with the unchanged call: digests of all that
                                       modules returned and ops computed}
    After the script's own call of a chosen step its module is called again, in the same mode,
    with copies of the inputs: once unchanged, and where that gives the same bits, once for each
    variant (and each ``max_storage`` bytes of tensors of the unchanged call). Random generators,
    buffers and attributes are put back. Lines begin with {"step", "module", "inputs": [{"name",
    "shape", "dtype"}]} and go on with one of
        {}                                           the step was chosen
        {"refused": why}                             nothing can be said of the step
        {"property": p, "not_tried": why}            no variant can be made
        {"property": p, "variant": label, "not_tried": why}
        {"property": p, "variant": label, "equal": whether the module's outputs are, where inputs
         are equal, or null, "metrics": METRICS or null (the largest), "calls": {how: number},
         "breaks": [{"module", "op", "call", "calls", "signature", "whole": [shape, ...],
                     "varied": [shape, ...], "metrics"}, ...] in the order in which they ran,
         "size": of the dimension, in the variant; null where only the order changed,
         "shared": digest of the part of the outputs that all sizes hold (the first row, the
         places of the script's own call), or null}
    or, where digests are asked for,
        {"property": p, "variant": label, "digests": [[path, op or "" for the module's result,
         [digest, ...]], ...] in the order in which they ended}
        {"variant": "unchanged", "digests": [...]}   the same of the unchanged call
    with how = "equal" | "breaks" (equal inputs, other outputs) | "carries" (other inputs) | why
    the call was not compared.

Replay (kind "replay")
    calls        path of a file of JSON lines, each one CALL; done in this order, one process
    live         true where more lines may be added to ``calls`` while the worker runs: at the end
                 of the file it waits for them, until an empty line comes, or the host is gone
    CALL: {"id": text,
           "capsule": folder, "call": DOCUMENT     what to run: one of the two, or another call
                                                   over the capsule's bytes and state (a document
                                                   may name "fill" in place of stored bytes)
           "repeat": 1,        times to run it; outputs must be the same each time
           "state": true | false | folder    restore the numerics state that the capsule, or
                                             the one in that folder, carries; the job's
                                             ``settings`` go before it
           "as": null | "float64"     compute in float64 (tensors and dtype arguments raised)
           "device": null | "cpu" | "cuda:0"    run it elsewhere than the capsule says
           "keep": null | folder       write the outputs as FOLDER/outputs.safetensors
           "against": null | [folder, ...]   measure against outputs kept there ("capsule": the
                                             capsule's own)
           "rows": false,      digests of the rows of each output, too (first dimension)
           "profile": false}   name the kernels that ran (CUDA); without CUDA, mark the call on
                               standard output, where MKL and oneDNN write if told to
    CONTROL_DIR/replayed.jsonl gets one line for each call, flushed before the next begins:
        {"id", "status": "ran" | "random" | "no_such_op" | "no_such_device" | "unsupported"
                         | "raised",
         "reason": text or null, "repeatable": bool, "seconds": float, "kernels": [name, ...],
         "outputs": [{"slot", "dtype", "shape", "digest", "metrics": [METRICS or null, ...],
                      "rows": [digest, ...] where asked for}]}
        with "metrics" in the order of "against"; for ``as`` float64 they are {"max_ulp",
        "mean_ulp", "row_ulp", "nonfinite"}: distances of what was kept from the float64 value,
        in ULP of the kept dtype.

Unpack (kind "unpack")
    calls        path of a file of JSON lines, each one FILE; done in this order, one process
    FILE: {"id": text, "path": absolute path of a file of torch.save, "out": folder to create}
    CONTROL_DIR/unpacked.jsonl gets one line for each file, flushed before the next is opened:
        {"id", "status": "read" | "refused" | "no_reader", "reason": text or null}
        no_reader: the environment has no torch, or one whose weights-only reader has holes
    OUT/tensors.safetensors   the tensors by their place in the object: "layer.weight",
                              "blocks[2]", "" for the object itself
    OUT/content.json   {"tensors": {name: {"dtype", "shape"}}, "value": VALUES,
                        "skipped": {name: why}}
        VALUES is null, a bool, a number, text, a list (tuples, too), {"dict": {key: VALUES}} with
        "[1]" for the key 1, {"tensor": name}, {"set": [text, ...]}, {"bytes": hexadecimal},
        {"dtype" | "device" | "complex": text}, or {"skipped": type}; NaN and infinities are
        written as Python does. Dtypes and shapes of ``tensors`` hold where the header of the
        tensors has bytes (U8).

Capsule (format 1)
    A folder with ``capsule.json``, ``tensors.safetensors`` (the inputs' bytes) and
    ``outputs.safetensors`` (contiguous tensors by slot). Without ``capsule.json`` it is not
    whole. Digests are 16 hexadecimal digits. ``outputs`` leaves out views and noise.
    capsule.json   {"format": "forkpoint.capsule/1", "call": DOCUMENT,
                    "outputs": [{"slot", "dtype", "shape", "digest"}, ...],
                    "state": STATE, "fingerprint": {key: text},
                    "source": {"step", "inside", "module", "call", "event", "signature"},
                    "random": bool, "reason": why it cannot be replayed, or null}
    DOCUMENT       {"op": "aten.native_layer_norm.default", "schema": text,
                    "args": [VALUE, ...], "kwargs": {name: VALUE},
                    "tensors": [TENSOR, ...], "storages": [STORAGE, ...]}
    VALUE          {"tensor": index} | {"none": true} | {"bool": b} | {"int": n} |
                   {"float": text of float.hex(), "nan", "inf", "-inf"} | {"str": s} |
                   {"complex": [float, float]} | {"list": [VALUE, ...]} | {"dtype": "float32"} |
                   {"device": "cuda:0"} | {"layout": "strided"} |
                   {"memory_format": "contiguous_format"} | {"unsupported": type name}
    TENSOR         {"dtype", "shape", "stride", "offset" (elements, within its storage),
                    "storage": index, "conj": bool, "neg": bool,
                    "alignment": address of the first element modulo 64, "device": text,
                    "requires_grad": bool}
    STORAGE        {"key": name in tensors.safetensors (uint8), "bytes"} or
                   {"fill": FILL, "bytes"}; only the bytes that its tensors span are stored
    FILL           {"kind": "normal" | "uniform", "seed": n, "scale": power of two,
                    "shift": float text} | {"kind": "integers", "seed", "low", "high"} |
                   {"kind": "constant", "value": VALUE} | {"kind": "steps", "step": n} |
                   {"kind": "definite", "seed", "size": rows of each positive definite matrix};
                   made of integer arithmetic, so that it gives the same bits in every torch
                   release and on every device. A storage that is filled has one dtype, that
                   of the tensors over it.
    STATE          {"threads", "interop_threads", "default_dtype", "matmul_precision",
                    "flags": {name: bool | int | str}, "inference": bool, "grad": bool}; flags
                    are the settings of torch.backends that change numbers, as they were

Outputs
    CONTROL_DIR/result.json, written last, by a temporary file and `os.replace`:
        protocol   1
        status     "completed" | "exited" | "raised" | "stopped" | "interrupted" | "failed"
        exit_code  the script's status (0 for completed)
        error      null or {"type", "message", "traceback"}; ``failed`` is the worker's own error,
                   over which the recorder was switched off while the script ran on to its end
        steps      number of steps seen
        seconds    run time of the script
        peak_rss   bytes
        storage_full   true where ``max_storage`` or the disk kept tensors from being kept
        refused    how many tensors the disk did not take
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

GO = "go"
"""What a gate's file says where the reference may be read."""

BOOT = (
    "import sys; inject, control = sys.argv[1:3]; sys.path.insert(0, inject); "
    "import forkpoint_worker.startup; "
    "from forkpoint_worker.main import main; main(inject, control)"
)
"""What ``python -c`` is given; it takes the package's folder and the control folder."""
