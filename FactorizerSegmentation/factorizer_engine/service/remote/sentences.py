"""What to tell the user about ssh, which says much but nothing of Factorizer."""

from __future__ import annotations

import re

from factorizer_engine.protocol.errors import MachineError
from factorizer_engine.protocol.machines import Machine

OTHER_VERSION = (
    "The engine on {machine} is of another version ({theirs}) than this program; install both from "
    "the same release."
)
TOO_SLOW = (
    "{machine} was reached, but no engine answered within {seconds} s; see whether "
    "'ssh {machine} factorizer --version' works in a terminal."
)
_LOST = (
    "The connection to {machine} was lost; nothing here has changed. Run again, which connects "
    "anew."
)
_NO_ENGINE = (
    "There is no Factorizer engine on {machine}: install it there with 'pip install .' from the "
    "repository's folder, or say where it is with {machine}:/PATH/TO/factorizer."
)
_OLD_ENGINE = (
    "The engine on {machine} is too old to be used from here; install the release there that is "
    "installed here."
)
_FAILED = "The engine on {machine} could not be started: {reason}"

_SSH_FAILED = 255
_BY_SSH = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED|host key .* has changed",
        "{machine} shows another host key than before, so it may be another machine; ask who runs "
        "it, and if all is well remove the old key with 'ssh-keygen -R HOST'.",
    ),
    (
        "Host key verification failed|host key is known",
        "{machine} is not known yet: connect once with 'ssh {machine}' in a terminal and confirm "
        "its host key.",
    ),
    (
        "Permission denied|Too many authentication failures",
        "{machine} does not accept your key: set one up with 'ssh-copy-id {machine}' until "
        "'ssh {machine}' works in a terminal without a password.",
    ),
    (
        "Could not resolve hostname",
        "No machine of the name in {machine} was found; look for a mistyped name, and at the "
        "network.",
    ),
    (
        "Connection refused",
        "{machine} accepts no ssh connections; see whether its ssh server runs, and on which port.",
    ),
    (
        "timed out|No route to host|Network is unreachable",
        "{machine} does not answer; see whether it is on and the network leads there.",
    ),
)
_BY_SHELL = (
    ("No such command", _OLD_ENGINE),
    (
        "not found|No such file or directory|not recognized|No module named '?factorizer_engine",
        _NO_ENGINE,
    ),
)
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126


def why_it_ended(machine: Machine, code: int, log: str, was_ready: bool) -> MachineError:
    """What to tell the user about an ssh process that has ended.

    Args:
        machine: Where it led.
        code: Its exit code.
        log: What it, the shell and the far half wrote.
        was_ready: Whether the far half was there.
    """
    return MachineError(
        _sentence(code, log, was_ready).format(
            machine=machine.address, reason=_last_line(log) or f"exit code {code}"
        ),
        log,
    )


def _sentence(code: int, log: str, was_ready: bool) -> str:
    if was_ready:
        return _LOST
    if code == _SSH_FAILED:
        fallback = "{machine} cannot be reached: {reason}"
        return next((s for pattern, s in _BY_SSH if re.search(pattern, log)), fallback)
    if code in (_NOT_FOUND, _NOT_EXECUTABLE):
        return _NO_ENGINE
    return next((s for pattern, s in _BY_SHELL if re.search(pattern, log)), _FAILED)


def _last_line(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return lines[-1] if lines else ""
