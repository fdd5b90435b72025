"""What the engine process does for Windows, as far as that shows elsewhere."""

from __future__ import annotations

import io
import os
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from factorizer_engine.protocol.errors import BadInputError, EngineCrashError, EngineStartError
from factorizer_engine.protocol.tasks.hello import HELLO
from factorizer_engine.protocol.tasks.task import Nothing
from factorizer_engine.service import client, worker
from factorizer_engine.service.client import EngineClient
from processes import PATIENCE, wait_until

COMMAND = [sys.executable, str(Path(__file__).resolve().parents[2] / "fake_engine.py")]
UMLAUT = "import sys; print('J\\xfcrgen', file=sys.stderr)"


def test_the_process_is_the_engine_itself_where_a_launcher_is_between(tmp_path):
    """As python.exe of a virtual environment is on Windows: its memory says nothing."""
    code = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"
    with EngineClient([sys.executable, "-c", code, *COMMAND]) as engine:
        engine.request(HELLO, Nothing())
        assert engine.pid == engine.greeting.pid


def test_ctrl_c_in_a_console_of_windows_does_not_reach_the_engine(monkeypatch):
    """Some native libraries end the process there, whatever Python does about the signal."""
    started = []
    monkeypatch.setattr(client.subprocess, "CREATE_NEW_PROCESS_GROUP", 0x200, raising=False)

    def popen(command, **options):
        started.append(options)
        raise OSError("not started")

    monkeypatch.setattr(client.subprocess, "Popen", popen)
    with EngineClient(COMMAND) as engine, pytest.raises(EngineStartError):
        engine.request(HELLO, Nothing())
    assert started[0]["creationflags"] == 0x200


def test_the_log_of_the_engine_keeps_its_letters_in_a_locale_without_them():
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
    with EngineClient([sys.executable, "-c", UMLAUT], environment=plain) as engine:
        with pytest.raises(EngineCrashError):
            engine.request(HELLO, Nothing())
        assert "Jürgen" in engine.log


@pytest.mark.parametrize("hidden", [False, True])
def test_files_that_a_failed_job_had_mapped_are_let_go_before_it_answers(tmp_path, hidden):
    """Whoever asked removes them then, which Windows refuses while they are mapped."""
    np.save(tmp_path / "scan.npy", np.zeros((2, 3, 4)))
    mapped, still_open = [], []

    def read():
        voxels = np.load(tmp_path / "scan.npy", mmap_mode="r")
        mapped.append(weakref.ref(voxels))
        raise BadInputError(f"The scan of {voxels.shape} cannot be used.")

    def fail(params, monitor):
        try:
            read()
        except BadInputError as error:
            raise BadInputError("It failed.") from error if hidden else error

    class Sink(io.BytesIO):
        def write(self, line):
            if mapped:
                still_open.append(mapped[0]() is not None)
            return super().write(line)

    reader, writer = os.pipe()
    source = os.fdopen(reader, "rb")
    served = worker.Worker({"hello": fail}, source, Sink(), exit_process=lambda code: None)
    serving = threading.Thread(target=served.serve)
    serving.start()
    with os.fdopen(writer, "wb", buffering=0) as requests:
        requests.write(b'{"id": 1, "method": "hello"}\n')
        assert wait_until(lambda: bool(still_open))
    serving.join(PATIENCE)
    assert still_open == [False]
