from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from factorizer_engine.protocol.tasks.models import MODELS, ModelsParams, ModelsResult
from processes import is_running


class Answers:
    """What a request brought."""

    def __init__(self, host) -> None:
        self._host = host
        self.results: list[object] = []
        self.failures: list[tuple[str, str]] = []
        self.progress: list[object] = []

    @property
    def callbacks(self):
        from factorizer_engine.protocol.conversation import Callbacks

        failed = lambda error: self.failures.append((error.kind, str(error)))  # noqa: E731
        return Callbacks(self.results.append, failed, self.progress.append)

    def wait(self) -> None:
        """Let the window work until the request has ended."""
        assert self._host.wait_until(lambda: bool(self.results or self.failures))

    def wait_for_progress(self) -> None:
        assert self._host.wait_until(lambda: bool(self.progress))


@pytest.fixture
def start(host, fake_python, monkeypatch):
    """Makes an EngineProcess whose engine behaves as told."""
    from FactorizerSegmentationLib.engine import process

    engines = []

    def start(behaviour: str, patience: int | None = 300, launcher: bool = False):
        if patience is not None:
            monkeypatch.setattr(process, "KILL_AFTER_MS", patience)
        python = fake_python(behaviour, launcher=launcher)
        engines.append(process.EngineProcess(python=python))
        return engines[-1]

    yield start
    for engine in engines:
        engine.close()
    host.process_events()


def ask(host, engine) -> tuple[Answers, int]:
    answers = Answers(host)
    return answers, engine.request(MODELS, ModelsParams(), answers.callbacks)


def test_progress_and_result_reach_the_caller(host, start):
    answers, _ = ask(host, start("answer"))

    answers.wait()

    half, done = answers.progress
    assert (half.stage, half.fraction) == ("half", 0.5)
    assert (done.stage, done.fraction, done.remaining) == ("done", 1.0, 0.0)
    assert answers.results == [ModelsResult(())]
    assert answers.failures == []


def test_the_engine_stays_warm(host, start):
    engine = start("answer")
    first, _ = ask(host, engine)
    first.wait()
    pid = engine.processId

    second, _ = ask(host, engine)
    second.wait()

    assert pid is not None
    assert engine.processId == pid


@pytest.mark.skipif(sys.platform == "win32", reason="Windows stops no processes")
def test_an_engine_that_was_stopped_while_idle_goes_on(host, start):
    engine = start("answer")
    first, _ = ask(host, engine)
    first.wait()
    os.kill(engine.processId, signal.SIGSTOP)

    second, _ = ask(host, engine)
    second.wait()

    assert second.results and not second.failures


def test_lines_in_pieces_and_foreign_lines_do_no_harm(host, start):
    answers, _ = ask(host, start("babble"))

    answers.wait()

    assert answers.results == [ModelsResult(())]


def test_an_error_arrives_with_its_kind_and_sentence(host, start):
    answers, _ = ask(host, start("refuse"))

    answers.wait()

    assert answers.failures == [("bad_input", "FLAIR and T1 do not overlap.")]


@pytest.mark.parametrize("behaviour", ["crash", "end"])
def test_a_crash_is_noticed_and_the_next_request_starts_afresh(host, start, behaviour):
    engine = start(behaviour)
    for _attempt in range(2):
        answers, _ = ask(host, engine)
        answers.wait()

        assert [kind for kind, _sentence in answers.failures] == ["crashed"]
        assert not engine.running


def test_a_missing_package_is_named(host, start):
    answers, _ = ask(host, start("incomplete"))

    answers.wait()

    assert "'safetensors' is missing" in answers.failures[0][1]


def test_an_engine_of_another_version_gets_one_sentence_and_is_ended(host, start):
    engine = start("newer")
    answers, _ = ask(host, engine)

    answers.wait()

    ((kind, sentence),) = answers.failures
    assert kind == "other_version"
    assert "another version (9.9)" in sentence
    assert not engine.running


def test_a_python_that_is_not_there_is_told(host, start, tmp_path):
    engine = start("answer")
    engine.python = str(tmp_path / "no-python")

    answers, _ = ask(host, engine)
    answers.wait()

    assert [kind for kind, _sentence in answers.failures] == ["not_started"]
    assert "no-python" in answers.failures[0][1]
    assert engine._retired == []  # as nobody tells of its end


def test_cancelling_spares_an_engine_that_obeys(host, start):
    engine = start("obey", patience=1500)
    answers, request = ask(host, engine)
    answers.wait_for_progress()
    pid = engine.processId

    engine.cancel(request)
    answers.wait()

    assert [kind for kind, _sentence in answers.failures] == ["cancelled"]
    host.process_events(2.0)
    assert engine.processId == pid
    assert is_running(pid)


def test_an_engine_that_does_not_obey_is_killed(host, start):
    engine = start("hang")
    answers, request = ask(host, engine)
    answers.wait_for_progress()
    pid = engine.processId

    engine.cancel(request)
    answers.wait()

    assert [kind for kind, _sentence in answers.failures] == ["cancelled"]
    assert not engine.running
    assert host.wait_until(lambda: not is_running(pid))


def test_the_user_waits_two_seconds_at_most_for_an_engine_that_does_not_obey(host, start):
    from FactorizerSegmentationLib.engine import process

    assert process.KILL_AFTER_MS == 2000
    engine = start("hang", patience=None)
    answers, request = ask(host, engine)
    answers.wait_for_progress()
    pid = engine.processId
    cancelled = time.monotonic()

    engine.cancel(request)
    host.process_events(1.0)
    if time.monotonic() - cancelled < 2.0:  # on a slow machine it may be over already
        assert engine.running, "it may still obey"
    answers.wait()

    assert time.monotonic() - cancelled >= 1.8  # coarse timers may be 5 % early
    assert not engine.running
    assert host.wait_until(lambda: not is_running(pid))


def test_an_engine_behind_a_launcher_is_killed_too(host, start):
    engine = start("hang", launcher=True)
    answers, request = ask(host, engine)
    answers.wait_for_progress()
    pid = engine.processId
    assert is_running(pid)

    engine.cancel(request)
    answers.wait()

    assert host.wait_until(lambda: not is_running(pid))


def test_stopping_ends_the_process_and_fails_what_is_open(host, start):
    engine = start("hang")
    answers, _ = ask(host, engine)
    answers.wait_for_progress()
    pid = engine.processId

    engine.close()

    assert [kind for kind, _sentence in answers.failures] == ["cancelled"]
    assert host.wait_until(lambda: not is_running(pid))


def test_the_end_of_the_application_ends_the_engine(host, start):
    engine = start("hang")
    answers, _ = ask(host, engine)
    answers.wait_for_progress()
    pid = engine.processId

    host.app.aboutToQuit.emit()

    assert not engine.running
    assert host.wait_until(lambda: not is_running(pid))
