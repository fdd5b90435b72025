"""An engine that answers as a test tells it to; speaks the protocol with the standard library.

Run as the Python of `EngineProcess`; the environment variable FAKE_ENGINE says what to do with the
requests that are not `hello`:

    answer     progress, then the result in FAKE_RESULT (JSON)
    babble     the same, among lines that are no protocol, with every byte sent alone
    refuse     a typed error
    crash      end at once
    obey       work until told to cancel
    hang       work on and ignore everything
    incomplete end as a Python without a package does
"""

import json
import os
import sys
import time

BEHAVIOUR = os.environ.get("FAKE_ENGINE", "answer")
RESULT = json.loads(os.environ.get("FAKE_RESULT", '{"models": []}'))
HELLO = {"protocol": 1, "engine": "0", "versions": {}, "devices": [], "pid": os.getpid()}


def send(**message) -> None:
    line = json.dumps(message).encode() + b"\n"
    if BEHAVIOUR == "babble":
        line = "Überraschung: no JSON\n{}\n".encode() + line
        for byte in line:
            os.write(1, bytes([byte]))
    else:
        os.write(1, line)


def work(request: dict) -> None:
    number = request["id"]
    if BEHAVIOUR in ("answer", "babble"):
        send(id=number, event="progress", stage="half", fraction=0.5, remaining=3.0)
        send(id=number, result=RESULT)
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
    for line in sys.stdin:
        request = json.loads(line)
        if request["method"] == "hello":
            send(id=request["id"], result=HELLO)
        else:
            work(request)


if __name__ == "__main__":
    main()
