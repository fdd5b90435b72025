"""What ssh, shells and other releases say, in the words of this one."""

from __future__ import annotations

import pytest

from factorizer_engine.protocol.machines import Machine
from factorizer_engine.service.remote.connection import ssh_command
from factorizer_engine.service.remote.sentences import why_it_ended

MACHINE = Machine("me@gpu", "~/my env/bin/factorizer")


@pytest.mark.parametrize(
    ("code", "log", "beginning"),
    [
        (255, "ssh: connect to host gpu port 22: Connection timed out", "me@gpu does not answer"),
        (255, "Connection timed out during banner exchange", "me@gpu does not answer"),
        (255, "ssh: connect to host gpu port 22: No route to host", "me@gpu does not answer"),
        (255, "me@gpu: Permission denied (publickey,password).", "me@gpu does not accept your key"),
        (255, "Received disconnect: Too many authentication failures", "me@gpu does not accept"),
        (255, "something new", "me@gpu cannot be reached: something new"),
        (255, "", "me@gpu cannot be reached: exit code 255"),
        (127, "bash: line 1: factorizer: command not found", "There is no Factorizer engine"),
        (126, "bash: factorizer: Permission denied", "There is no Factorizer engine"),
        (1, "factorizer: Command not found.", "There is no Factorizer engine"),
        (1, "'factorizer' is not recognized as an internal", "There is no Factorizer engine"),
        (1, "ModuleNotFoundError: No module named 'factorizer_engine'", "There is no Factorizer"),
        (2, "factorizer: No such command 'serve'.", "The engine on me@gpu is too old"),
        (1, "Traceback ...\nMemoryError", "The engine on me@gpu could not be started: MemoryError"),
    ],
)
def test_what_others_say_becomes_one_sentence(code, log, beginning):
    error = why_it_ended(MACHINE, code, log, was_ready=False)

    assert str(error).startswith(beginning)
    assert error.details == log
    assert "\n" not in str(error)


def test_what_is_said_when_the_engine_was_there_already_is_that_it_is_not_any_more():
    assert "was lost" in str(why_it_ended(MACHINE, 255, "Connection refused", was_ready=True))


def test_ssh_is_never_asked_to_ask_and_the_program_is_one_word_to_the_shell(monkeypatch):
    monkeypatch.delenv("FACTORIZER_SSH", raising=False)
    command = ssh_command(MACHINE)

    assert command[0] == "ssh" and "BatchMode=yes" in command
    assert command[-3:] == ["--", "me@gpu", "~/'my env/bin/factorizer' serve"]
    assert ssh_command(Machine("me@gpu"))[-1] == "factorizer serve"


def test_another_command_can_take_the_place_of_ssh(monkeypatch):
    monkeypatch.setenv("FACTORIZER_SSH", "ssh -F my_config")

    assert ssh_command(MACHINE)[:4] == ["ssh", "-F", "my_config", "-T"]


def test_another_ssh_may_lie_in_a_folder_with_a_blank_on_windows(monkeypatch):
    monkeypatch.setattr("sys.platform", "win32")
    program = r"C:\Program Files\OpenSSH\ssh.exe"
    monkeypatch.setenv("FACTORIZER_SSH", f'"{program}" -F my_config')
    assert ssh_command(MACHINE)[:4] == [program, "-F", "my_config", "-T"]
