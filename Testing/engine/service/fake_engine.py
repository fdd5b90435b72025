"""An engine process whose jobs are made up, to test the process and not the work.

The name of the model in `load_model` says what happens. Run as a program by the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from factorizer_engine.protocol.errors import BadInputError, CancelledError
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.tasks.hello import HelloResult
from factorizer_engine.protocol.tasks.load_model import LoadModelResult
from factorizer_engine.service.worker import Worker, claim_standard_streams


def hello(params, monitor):
    return HelloResult(1, "fake", {}, (), os.getpid())


def load_model(params, monitor):
    behaviours = {
        "noisy": make_noise,
        "stubborn": lambda monitor: time.sleep(60),
        "patient": wait_for_cancel,
        "clumsy": fail_at_cancel,
        "deaf": finish_at_cancel,
        "crash": lambda monitor: os.kill(os.getpid(), 9),
        "broken": lambda monitor: {}["no such key"],
        "refused": refuse,
        "memory": lambda monitor: exhaust_memory(),
        "backwards": go_backwards,
        "exit": lambda monitor: sys.exit(3),
    }
    behaviours.get(params.model, lambda monitor: None)(monitor)
    model = ModelDescription(params.model, "1", "", "", "", "", (), (), ())
    return LoadModelResult(model, "cpu")


def make_noise(monitor):
    print("printed by Python")
    os.write(1, b"written by native code\n")
    subprocess.run([sys.executable, "-c", "print('printed by a child')"], check=True)
    assert sys.stdin.read() == ""


def wait_for_cancel(monitor):
    while True:
        monitor.report("waiting", 0.5)
        time.sleep(0.01)


def fail_at_cancel(monitor):
    try:
        wait_for_cancel(monitor)
    except CancelledError:
        raise OSError("closed") from None


def finish_at_cancel(monitor):
    try:
        wait_for_cancel(monitor)
    except CancelledError:
        pass


def refuse(monitor):
    raise BadInputError("This scan is not usable.", "some background")


def exhaust_memory():
    raise MemoryError


def go_backwards(monitor):
    for stage, fraction in (("one", 0.2), ("two", 0.7), ("three", 0.5), ("four", 0.9)):
        monitor.report(stage, fraction)


if __name__ == "__main__":
    Worker({"hello": hello, "load_model": load_model}, *claim_standard_streams()).serve()
    os._exit(0)
