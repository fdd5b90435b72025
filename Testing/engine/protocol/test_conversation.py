"""The conversation with an engine, without any engine: lines in, lines out."""

from __future__ import annotations

import json

import pytest

from factorizer_engine.protocol.conversation import Callbacks, Conversation
from factorizer_engine.protocol.errors import (
    BadInputError,
    CancelledError,
    EngineCrashError,
    InternalError,
    OtherVersionError,
)
from factorizer_engine.protocol.progress import Progress
from factorizer_engine.protocol.tasks.models import MODELS, ModelsParams, ModelsResult
from factorizer_engine.protocol.wire import PROTOCOL_VERSION, Greeting, ProgressEvent, Reply

GREETING = Greeting(PROTOCOL_VERSION, "1.0", 42).encode()
ANSWER = ModelsResult(()).to_dict()


class Dialogue:
    """A conversation, what it sent, and what became of its requests."""

    def __init__(self) -> None:
        self.sent: list[dict] = []
        self.hung_up = 0
        self.results: list[object] = []
        self.failures: list[Exception] = []
        self.progress: list[Progress] = []
        self.conversation = Conversation(
            lambda line: self.sent.append(json.loads(line)), self._hang_up
        )
        self.conversation.begin()

    def ask(self) -> int:
        callbacks = Callbacks(self.results.append, self.failures.append, self.progress.append)
        return self.conversation.ask(MODELS, ModelsParams(), callbacks)

    def hear(self, *lines: bytes) -> None:
        for line in lines:
            self.conversation.hear(line)

    def _hang_up(self) -> None:
        self.hung_up += 1


@pytest.fixture
def dialogue() -> Dialogue:
    return Dialogue()


def test_a_request_is_sent_and_its_answer_reaches_who_asked(dialogue):
    number = dialogue.ask()
    assert dialogue.sent == [{"id": number, "method": "models", "params": {"folders": []}}]
    assert dialogue.conversation.is_open(number)

    dialogue.hear(GREETING, ProgressEvent(number, Progress("half", 0.5, 3.0)).encode())
    dialogue.hear(Reply(number, ANSWER).encode())

    assert dialogue.progress == [Progress("half", 0.5, 3.0)]
    assert dialogue.results == [ModelsResult(())]
    assert not dialogue.conversation.waits
    assert dialogue.conversation.greeting.pid == 42


def test_each_answer_goes_to_its_own_request(dialogue):
    first, second = dialogue.ask(), dialogue.ask()
    error = BadInputError("Not this one.", "details")
    dialogue.hear(GREETING, Reply(second, error=error).encode())
    assert [str(failure) for failure in dialogue.failures] == ["Not this one."]
    assert dialogue.conversation.is_open(first)


def test_an_answer_that_breaks_the_protocol_is_an_error_and_not_silence(dialogue):
    dialogue.hear(GREETING, Reply(dialogue.ask(), {"models": 3}).encode())
    assert isinstance(dialogue.failures[0], InternalError)


def test_what_is_called_off_fails_as_cancelled_whatever_is_answered(dialogue):
    number = dialogue.ask()
    assert dialogue.conversation.cancel(number)
    assert not dialogue.conversation.cancel(number)
    assert dialogue.sent[-1]["method"] == "cancel"
    assert dialogue.sent[-1]["params"] == {"id": number}

    dialogue.hear(GREETING, ProgressEvent(number, Progress("late", 0.9, None)).encode())
    dialogue.hear(Reply(number, ANSWER).encode(), Reply(number, ANSWER).encode())

    assert dialogue.progress == dialogue.results == []
    assert [type(failure) for failure in dialogue.failures] == [CancelledError]


def test_lines_that_are_no_answers_go_to_the_log(dialogue):
    number = dialogue.ask()
    dialogue.hear(GREETING, b"a library speaks\n", b"\n", b'{"id": 99, "result": {}}', b"[" * 50)
    assert dialogue.conversation.log.splitlines() == ["a library speaks", "[" * 50]
    assert dialogue.conversation.is_open(number)


@pytest.mark.parametrize(
    ("line", "version"),
    [
        (Greeting(PROTOCOL_VERSION + 1, "9.9", 1).encode(), "(9.9)"),
        (Greeting(PROTOCOL_VERSION - 1, "0.0.1", 1).encode(), "(0.0.1)"),
        (Reply(1, ANSWER).encode(), "(an older one)"),
    ],
)
def test_an_engine_of_another_version_gets_one_sentence(dialogue, line, version):
    dialogue.ask()
    dialogue.hear(line)
    (failure,) = dialogue.failures
    assert isinstance(failure, OtherVersionError)
    assert version in str(failure) and str(failure).endswith(".") and "\n" not in str(failure)
    assert dialogue.hung_up == 1
    assert not dialogue.conversation.waits


def test_a_new_engine_has_to_greet_again(dialogue):
    dialogue.hear(GREETING)
    dialogue.conversation.begin()
    assert dialogue.conversation.greeting is None
    assert dialogue.conversation.log == ""


def test_when_the_engine_ends_every_request_has_its_answer(dialogue):
    dialogue.ask()
    dialogue.conversation.cancel(dialogue.ask())
    dialogue.conversation.end(EngineCrashError("It has ended."))
    assert [type(failure) for failure in dialogue.failures] == [EngineCrashError, CancelledError]
    assert not dialogue.conversation.waits


@pytest.mark.parametrize(
    ("log", "code", "words"),
    [
        ("", 3, "exit code 3"),
        ("", -9, "signal 9"),
        ("", None, "perhaps for lack of memory"),
        (
            "ModuleNotFoundError: No module named 'cc3d.core'",
            1,
            "package 'cc3d' is missing from py",
        ),
    ],
)
def test_a_crash_is_put_into_words(dialogue, log, code, words):
    dialogue.conversation.hear_log(log.encode())
    error = dialogue.conversation.crash("py", code)
    assert words in str(error) and str(error).endswith(".")
    assert error.kind == "crashed"
    assert error.details == log
