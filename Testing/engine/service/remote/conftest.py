"""A real ssh server, and engines whose work is made up that are reached through it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
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


@pytest.fixture
def install(tmp_path) -> Callable[..., Path]:
    """Makes a `factorizer` command for the other machine: variables, and lines of shell before."""

    def make(before: str = "", code: str = "", **variables: str) -> Path:
        folder = tmp_path / "installed there"
        folder.mkdir(exist_ok=True)
        (folder / "far.py").write_text(code or _FAR.format(fake=str(TESTING / "fake_engine.py")))
        (tmp_path / "tmp").mkdir(exist_ok=True)
        variables = {
            "PYTHONPATH": f"{PACKAGE_PARENT}:{TESTING}",
            "TMPDIR": str(tmp_path / "tmp"),
            **variables,
        }
        exports = "".join(f"export {key}='{value}'\n" for key, value in variables.items())
        run = f'exec "{sys.executable}" "{folder / "far.py"}" "$@"\n'
        program = folder / "factorizer"
        program.write_text(f"#!/bin/sh\n{before}{exports}{run}")
        program.chmod(0o755)
        return program

    return make


@pytest.fixture
def there(server, install, tmp_path, monkeypatch) -> There:
    monkeypatch.setenv(SSH_VARIABLE, server.command)
    return There(server, tmp_path / "tmp", install())
