"""An engine that answers at once, or misbehaves, as a test tells it to; needs no torch.

Run as the Python of `EngineProcess`; the environment variable FAKE_ENGINE says what to do with the
requests that are not `hello`:

    answer      progress, then a result
    spill       the same, with results for the whole scan though only a box was asked for
    babble      the same, among lines that are no protocol, with every byte sent alone
    refuse      a typed error
    crash       end at once
    obey        work until told to cancel
    hang        work on and ignore everything
    incomplete  end as a Python without a package does
    gate        wait until the file named by FAKE_GATE exists, then answer
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from factorizer_engine import protocol

BEHAVIOUR = os.environ.get("FAKE_ENGINE", "answer")
MODEL = protocol.ModelInfo("fake", "1", "glioma", "Fake", "", "", (), (), ())
LABELS = (
    protocol.Label(1, "Core", (200, 60, 50)),
    protocol.Label(4, "Enhancing", (240, 200, 60)),
)
CORE, ENHANCING = (slice(1, 4), slice(2, 4), slice(1, 3)), (slice(4, 6), slice(2, 4), slice(1, 3))


def send(**message) -> None:
    line = json.dumps(message).encode() + b"\n"
    if BEHAVIOUR == "babble":
        line = "Überraschung: no JSON\n{}\n".encode() + line
        for byte in line:
            os.write(1, bytes([byte]))
    else:
        os.write(1, line)


def result_of(request: dict) -> protocol.Message:
    method, params = request["method"], request["params"]
    if method == "segment":
        return segment(protocol.SegmentParams.from_dict(params))
    if method == "components":
        return components(protocol.ComponentsParams.from_dict(params))
    return protocol.ModelsResult(())


def segment(params: protocol.SegmentParams) -> protocol.SegmentResult:
    """A core and an enhancing block, and one lesion for each; in a box only what lies there."""
    reference = params.channels[params.reference]
    labelmap = np.zeros(reference.load().shape, np.uint8)
    labelmap[CORE], labelmap[ENHANCING] = 1, 4
    if params.box is not None and BEHAVIOUR != "spill":
        part = params.box.part_of(labelmap.shape, reference.matrix)
        inside = np.zeros(labelmap.shape, bool)
        inside[part] = params.box.mask(part, reference.matrix)
        labelmap[~inside] = 0
    path = Path(params.output_dir) / "labelmap.npy"
    scan = protocol.ScanFile.save(labelmap, reference.matrix, path)
    lesions = tuple(
        protocol.Lesion(number, label.value, label.name, volume, 9.0, centroid(reference, box), 0.8)
        for number, (label, box, volume) in enumerate(
            zip(LABELS, (CORE, ENHANCING), (1.5, 4.0), strict=True), start=1
        )
    )
    return protocol.SegmentResult(scan, (), LABELS, (), lesions, {"segmenting": 2.0}, "cpu", MODEL)


def centroid(reference: protocol.ScanFile, box) -> tuple[float, float, float]:
    middle = [(part.start + part.stop - 1) / 2 for part in box]
    return tuple((reference.matrix @ [*middle, 1.0])[:3].tolist())


def components(params: protocol.ComponentsParams) -> protocol.ComponentsResult:
    """As many components as asked for, each weaker than the one before."""
    reference = params.channels[params.reference]
    found = []
    for number in range(params.count):
        heatmap = np.zeros(reference.load().shape, np.float32)
        heatmap[CORE] = np.linspace(0.5, 1.0, heatmap[CORE].size).reshape(heatmap[CORE].shape)
        heatmap *= 4.0 / (number + 1)
        path = Path(params.output_dir) / f"heatmap{number}.npy"
        scan = protocol.ScanFile.save(heatmap, reference.matrix, path)
        contributions = {"ET": 2.0 / (number + 1), "WT": 0.5}
        name = f"Component {number + 1}"
        place = (0, "decoder.3.0", number, 0)
        found.append(protocol.ComponentInfo(*place, name, contributions, (0.0, 4.0), scan))
    note = f"Ranked for {params.region}." if params.region else ""
    return protocol.ComponentsResult(tuple(found), MODEL, note)


def work(request: dict) -> None:
    number = request["id"]
    if BEHAVIOUR in ("answer", "spill", "babble", "gate"):
        send(id=number, event="progress", stage="half", fraction=0.5, remaining=3.0)
        while BEHAVIOUR == "gate" and not Path(os.environ["FAKE_GATE"]).exists():
            time.sleep(0.02)
        send(id=number, result=result_of(request).to_dict())
    elif BEHAVIOUR == "refuse":
        error = {"kind": "bad_input", "message": "FLAIR and T1 do not overlap.", "details": ""}
        send(id=number, error=error)
    elif BEHAVIOUR == "crash":
        os._exit(3)
    elif BEHAVIOUR == "obey":
        send(id=number, event="progress", stage="working", fraction=0.1, remaining=None)
        cancel = json.loads(sys.stdin.readline())
        assert cancel["method"] == "cancel" and cancel["params"]["id"] == number
        error = {"kind": "cancelled", "message": "The run was cancelled.", "details": ""}
        send(id=number, error=error)
        send(id=cancel["id"], result={"cancelled": True})
    elif BEHAVIOUR == "hang":
        send(id=number, event="progress", stage="working", fraction=0.1, remaining=None)
        time.sleep(600)


def main() -> None:
    if BEHAVIOUR == "incomplete":
        sys.exit("ModuleNotFoundError: No module named 'safetensors'")
    device = protocol.DeviceInfo("cpu", "Processor (fake)")
    hello = protocol.HelloResult(protocol.PROTOCOL_VERSION, "0", {}, (device,), os.getpid())
    for line in sys.stdin:
        request = json.loads(line)
        if request["method"] == "hello":
            send(id=request["id"], result=hello.to_dict())
        else:
            work(request)


if __name__ == "__main__":
    main()
