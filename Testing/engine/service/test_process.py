"""The engine process: it answers everything, stops when asked, and never outlives its parent."""

from __future__ import annotations

import io
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from factorizer_engine.protocol.errors import (
    BadInputError,
    CancelledError,
    EngineMemoryError,
    InternalError,
)
from factorizer_engine.protocol.runs import ModelChoice
from factorizer_engine.protocol.tasks.hello import HELLO
from factorizer_engine.protocol.tasks.load_model import LOAD_MODEL
from factorizer_engine.protocol.tasks.task import Nothing
from factorizer_engine.service import client, worker
from factorizer_engine.service.client import EngineClient
from processes import PATIENCE, is_running, wait_until

FAKE_ENGINE = Path(__file__).resolve().parents[2] / "fake_engine.py"
PACKAGE_PARENT = Path(__file__).resolve().parents[3] / "FactorizerSegmentation"
COMMAND = [sys.executable, str(FAKE_ENGINE)]


@pytest.fixture
def engine():
    with EngineClient(COMMAND) as engine:
        yield engine


@pytest.fixture
def conversation():
    """Starts the engine and talks to it line by line."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE_PARENT)}
    process = subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment,
    )  # fmt: skip

    def say(line: bytes) -> None:
        process.stdin.write(line + b"\n")
        process.stdin.flush()

    def hear() -> dict:
        return json.loads(process.stdout.readline())

    assert hear()["event"] == "ready"
    yield process, say, hear
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()


def load(engine: EngineClient, model: str, on_progress=None):
    return engine.request(LOAD_MODEL, ModelChoice(model), on_progress or (lambda progress: None))


def hello(engine: EngineClient) -> int:
    """Have a request answered; returns the process id of what answered."""
    engine.request(HELLO, Nothing())
    return engine.greeting.pid


def test_hello_is_answered_by_the_process_that_was_started(engine):
    assert hello(engine) == engine.pid


def test_the_process_serves_one_request_after_another(engine):
    first = hello(engine)
    assert load(engine, "anything").model.name == "anything"
    assert hello(engine) == first


def test_what_a_job_prints_does_not_disturb_the_conversation(engine):
    assert load(engine, "chatter").model.name == "chatter"
    engine.close()
    for line in ("printed by Python", "written by native code", "printed by a child"):
        assert line in engine.log


def test_what_is_printed_before_the_engine_starts_does_not_disturb_either(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("print('a greeting of the environment')\n")
    with EngineClient(COMMAND, {"PYTHONPATH": str(tmp_path)}) as engine:
        assert engine.request(HELLO, Nothing()).engine == "fake"
        assert "a greeting of the environment" in engine.log


def test_progress_never_goes_back_and_ends_at_one(engine):
    seen = []
    load(engine, "rewind", seen.append)
    fractions = [progress.fraction for progress in seen]
    assert [progress.stage for progress in seen] == ["one", "two", "three", "four", "done"]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_a_refusal_arrives_with_its_type_and_details(engine):
    with pytest.raises(BadInputError, match="FLAIR and T1 do not overlap.") as caught:
        load(engine, "refuse")
    assert caught.value.details == "some background"


def test_a_defect_arrives_as_one_sentence_with_the_traceback_in_the_details(engine):
    with pytest.raises(InternalError) as caught:
        load(engine, "fail")
    assert "Traceback" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "no such key" in caught.value.details
    assert load(engine, "next").model.name == "next"


def test_running_out_of_memory_has_its_own_type_and_the_process_lives_on(engine):
    with pytest.raises(EngineMemoryError):
        load(engine, "exhaust")
    assert load(engine, "next").model.name == "next"


def test_a_job_that_tries_to_leave_is_an_error(engine):
    with pytest.raises(InternalError):
        load(engine, "exit")
    assert load(engine, "next").model.name == "next"


def test_a_running_job_can_be_cancelled_and_the_engine_stays_warm(engine, monkeypatch):
    monkeypatch.setattr(client, "CANCEL_SECONDS", PATIENCE)
    pid = hello(engine)
    with pytest.raises(CancelledError):
        load(engine, "obey", on_progress=lambda progress: engine.cancel())
    assert hello(engine) == pid


def test_a_job_that_ignores_cancel_is_killed_and_the_next_one_starts_anew(engine):
    first = hello(engine)
    canceller = threading.Thread(target=engine.cancel)
    with pytest.raises(CancelledError):
        load(engine, "hang", on_progress=lambda progress: canceller.start())
    canceller.join()
    assert not is_running(first)
    assert hello(engine) != first


def test_ctrl_c_while_waiting_cancels_the_job(engine):
    with pytest.raises(CancelledError):
        load(engine, "obey", on_progress=_interrupt)
    assert load(engine, "next").model.name == "next"


def _interrupt(_progress):
    raise KeyboardInterrupt


@pytest.mark.parametrize("behaviour", ["fumble", "ignore"])
def test_after_cancel_a_run_counts_as_cancelled_whatever_the_engine_answers(engine, behaviour):
    with pytest.raises(CancelledError):
        load(engine, behaviour, on_progress=_interrupt)
    assert load(engine, "next").model.name == "next"


def test_ctrl_c_while_the_engine_starts_leaves_no_error_of_its_own(monkeypatch):
    class Interrupted(threading.Thread):
        def start(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), EngineClient(COMMAND) as engine:
        with monkeypatch.context() as patched:
            patched.setattr(client, "threading", SimpleNamespace(Thread=Interrupted))
            engine.request(HELLO, Nothing())
    assert engine.pid is None


def test_cancelling_nothing_is_harmless(engine):
    engine.cancel()
    load(engine, "anything")
    engine.cancel()
    assert load(engine, "next").model.name == "next"


def test_a_killed_engine_is_noticed_and_replaced(engine):
    with pytest.raises(InternalError, match="stopped unexpectedly") as caught:
        load(engine, "crash")
    assert "signal 9" in str(caught.value)
    assert load(engine, "next").model.name == "next"


def test_an_engine_killed_between_two_requests_is_replaced(engine):
    pid = hello(engine)
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: engine.pid is None)
    assert hello(engine) != pid


def test_an_engine_that_cannot_start_says_so():
    with EngineClient(["/nonexistent/python"]) as engine:
        with pytest.raises(InternalError, match="could not be started"):
            engine.request(HELLO, Nothing())


def test_an_engine_that_fails_at_once_says_so_and_keeps_its_last_words():
    command = [sys.executable, "-c", "raise SystemExit('a library is missing')"]
    with EngineClient(command) as engine:
        with pytest.raises(InternalError, match="exit code 1") as caught:
            engine.request(HELLO, Nothing())
    assert "a library is missing" in caught.value.details


def test_every_garbage_line_is_answered_and_the_engine_goes_on(conversation):
    _process, say, hear = conversation
    garbage = [
        (b"nonsense", None),
        (b"\xff\xfe\x00", None),
        (b"[1, 2]", None),
        (b"{}", None),
        (b'{"id": true, "method": "hello"}', None),
        (b'{"id": 1}', 1),
        (b'{"id": 2, "method": "hello", "params": []}', 2),
        (b'{"id": 3, "method": "fly"}', 3),
        (b'{"id": 4, "method": "load_model", "params": {}}', 4),
        (b'{"id": 5, "method": "load_model", "params": {"model": 7}}', 5),
        (b'{"id": 6, "method": "__class__", "params": {}}', 6),
    ]
    for line, request_id in garbage:
        say(line)
        answer = hear()
        assert answer["id"] == request_id
        assert answer["error"]["kind"] == "internal"
        assert "\n" not in answer["error"]["message"]
    say(b"")
    say(b'{"id": 9, "method": "hello"}')
    assert hear()["result"]["engine"] == "fake"


def test_an_id_that_is_in_use_is_refused(conversation):
    _process, say, hear = conversation
    say(b'{"id": 1, "method": "load_model", "params": {"model": "obey"}}')
    assert hear()["event"] == "progress"
    say(b'{"id": 1, "method": "hello"}')
    say(b'{"id": 2, "method": "cancel", "params": {"id": 1}}')
    answers = [hear() for _ in range(3)]
    while not any(answer["id"] == 2 for answer in answers):
        answers.append(hear())
    assert any("already works" in answer.get("error", {}).get("message", "") for answer in answers)


def test_a_job_in_the_queue_can_be_cancelled_before_it_starts(conversation):
    _process, say, hear = conversation
    say(b'{"id": 1, "method": "load_model", "params": {"model": "obey"}}')
    say(b'{"id": 2, "method": "load_model", "params": {"model": "anything"}}')
    say(b'{"id": 3, "method": "cancel", "params": {"id": 2}}')
    say(b'{"id": 4, "method": "cancel", "params": {"id": 1}}')
    replies = {}
    while len(replies) < 4:
        answer = hear()
        if "event" not in answer:
            replies[answer["id"]] = answer
    assert replies[1]["error"]["kind"] == "cancelled"
    assert replies[2]["error"]["kind"] == "cancelled"
    assert replies[3]["result"] == replies[4]["result"] == {"cancelled": True}


def test_shutdown_is_answered_and_ends_the_process_during_a_job(conversation):
    process, say, hear = conversation
    say(b'{"id": 1, "method": "load_model", "params": {"model": "hang"}}')
    say(b'{"id": 2, "method": "shutdown"}')
    answers = [hear()]
    while "event" in answers[-1]:  # progress of the job, which may have begun before
        answers.append(hear())
    assert answers[-1] == {"id": 2, "result": {}}
    process.wait(PATIENCE)


def test_the_process_ends_with_its_input(conversation):
    process, say, hear = conversation
    say(b'{"id": 1, "method": "hello"}')
    hear()
    process.stdin.close()
    assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("job", ["obey", "hang"])
def test_the_process_ends_with_its_input_in_the_middle_of_a_job(conversation, job):
    process, say, _hear = conversation
    request = {"id": 1, "method": "load_model", "params": {"model": job}}
    say(json.dumps(request).encode())
    process.stdin.close()
    process.stdout.close()
    process.wait(PATIENCE)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("job", ["obey", "hang"])
def test_the_process_ends_when_its_parent_is_killed(job):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(command=COMMAND, job=job)],
        env={**os.environ, "PYTHONPATH": str(PACKAGE_PARENT)},
        stdout=subprocess.PIPE,
    )
    worker = int(parent.stdout.readline())
    assert is_running(worker)
    parent.kill()
    parent.communicate()
    assert wait_until(lambda: not is_running(worker))


PARENT = """
from factorizer_engine.protocol.runs import ModelChoice
from factorizer_engine.protocol.tasks.hello import HELLO
from factorizer_engine.protocol.tasks.load_model import LOAD_MODEL
from factorizer_engine.protocol.tasks.task import Nothing
from factorizer_engine.service.client import EngineClient
engine = EngineClient({command!r})
engine.request(HELLO, Nothing())
print(engine.greeting.pid, flush=True)
engine.request(LOAD_MODEL, ModelChoice({job!r}))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("end", [None, signal.SIGTERM, signal.SIGKILL])
def test_an_unpacked_model_is_deleted_with_its_engine(tmp_path, tiny_bundle, monkeypatch, end):
    packed = shutil.make_archive(str(tmp_path / "tiny"), "zip", tiny_bundle)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with EngineClient() as engine:
        engine.request(LOAD_MODEL, ModelChoice(packed))
        assert any(temporary.rglob("inference.json"))
        if end is not None:
            os.kill(engine.pid, end)
            assert wait_until(lambda: engine.pid is None)
    assert not any(temporary.iterdir())


def test_memory_is_given_back_when_nothing_follows_a_job(monkeypatch):
    monkeypatch.setattr(worker, "IDLE_SECONDS", 0.05)
    happened: queue.Queue[str] = queue.Queue()
    reader, writer = os.pipe()

    def say_hello(params, monitor):
        happened.put("job")
        return Nothing()

    served = worker.Worker(
        {"hello": say_hello},
        os.fdopen(reader, "rb"),
        io.BytesIO(),
        after_job=lambda: happened.put("after"),
        when_idle=lambda: happened.put("idle"),
        exit_process=lambda code: None,
    )
    serving = threading.Thread(target=served.serve)
    serving.start()
    with os.fdopen(writer, "wb", buffering=0) as requests:
        for number in (1, 2):
            requests.write(b'{"id": %d, "method": "hello"}\n' % number)
            answers = [happened.get(timeout=PATIENCE) for _ in range(3)]
            assert answers == ["job", "after", "idle"]
    serving.join(PATIENCE)
    assert not serving.is_alive()
    assert happened.empty()


def test_an_engine_that_has_lost_its_graphics_card_ends_and_the_next_request_starts_another():
    program = (
        "from factorizer_engine.inference import device; device.has_lost_one = lambda: True; "
        "from factorizer_engine.service import worker; worker.main()"
    )
    environment = {"PYTHONPATH": str(PACKAGE_PARENT)}
    with EngineClient([sys.executable, "-c", program], environment) as engine:
        engine.request(HELLO, Nothing())
        first = engine.greeting.pid
        wait_until(lambda: engine.pid is None)
        engine.request(HELLO, Nothing())
        assert engine.greeting.pid != first
