"""A real ssh server, and engines whose work is made up that are reached through it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from factorizer_engine.protocol.machines import Machine
from factorizer_engine.service.client import EngineClient
from factorizer_engine.service.remote.connection import SSH_VARIABLE
from ssh_server import SshServer, running_server

TESTING = Path(__file__).resolve().parents[3]
PACKAGE_PARENT = TESTING.parent / "FactorizerSegmentation"

_FAR = """\
import sys
from factorizer_engine.service.remote.far import serve

serve([sys.executable, {fake!r}])
"""


@dataclass
class There:
    """The other machine, as far as a test sees it.

    Attributes:
        server: Its ssh server.
        folder: For temporary files there.
        program: The command `factorizer` there.
    """

    server: SshServer
    folder: Path
    program: Path

    @property
    def left(self) -> list[Path]:
        """What sessions have left behind."""
        return sorted(self.folder.iterdir())

    def engine(
        self, host: str = "there", program: Path | str | None = None, **more
    ) -> EngineClient:
        """A client whose engine runs there."""
        return EngineClient(machine=Machine(host, str(program or self.program)), **more)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    try:
        with running_server(tmp_path_factory.mktemp("sshd")) as server:
            yield server
    except RuntimeError as error:
        pytest.skip(f"No ssh server to test with: {error}")


def installed_in(base: Path, before: str = "", code: str = "", **variables: str) -> Path:
    """A `factorizer` command for the other machine.

    Args:
        base: An existing folder; the temporary files there are in "tmp" inside it.
        before: Lines of shell that run first.
        code: What Python does; unset, it serves with the made-up engine.
        variables: Of its environment.
    """
    folder = base / "installed there"
    for made in (folder, base / "tmp"):
        made.mkdir(exist_ok=True)
    (folder / "far.py").write_text(code or _FAR.format(fake=str(TESTING / "fake_engine.py")))
    variables = {
        "PYTHONPATH": f"{PACKAGE_PARENT}:{TESTING}",
        "TMPDIR": str(base / "tmp"),
        **variables,
    }
    exports = "".join(f"export {key}='{value}'\n" for key, value in variables.items())
    run = f'exec "{sys.executable}" "{folder / "far.py"}" "$@"\n'
    program = folder / "factorizer"
    program.write_text(f"#!/bin/sh\n{before}{exports}{run}")
    program.chmod(0o755)
    return program


@pytest.fixture
def install(tmp_path) -> Callable[..., Path]:
    """Makes a `factorizer` command for the other machine, see `installed_in`."""
    return partial(installed_in, tmp_path)


@pytest.fixture
def there(server, install, tmp_path, monkeypatch) -> There:
    monkeypatch.setenv(SSH_VARIABLE, server.command)
    return There(server, tmp_path / "tmp", install())


@pytest.fixture(scope="module")
def engine(server, tmp_path_factory):
    """An engine there for tests that do not harm it, which is quicker."""
    base = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SSH_VARIABLE, server.command)
        with There(server, base / "tmp", installed_in(base)).engine() as engine:
            yield engine
