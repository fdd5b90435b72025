"""A real ssh server on this computer's loopback, for tests, with keys of its own.

It runs as the current user on a high port, and nothing of it is known outside of its folder.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SERVER = shutil.which("sshd", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
_PATIENCE = 30

_SERVER_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintMotd no
"""

_CLIENT_CONFIG = """\
Host there
    ProxyCommand {python} {proxy} {port} {folder}/traffic
Host stranger
    UserKnownHostsFile /dev/null
Host impostor
    UserKnownHostsFile {folder}/other_hosts
Host keyless
    IdentityFile {folder}/other
Host closed
    Port {closed}
Host nowhere
    HostName name.invalid
Host * !keyless
    IdentityFile {folder}/user
Host *
    HostName 127.0.0.1
    HostKeyAlias there
    Port {port}
    User {user}
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile {folder}/known_hosts
    GlobalKnownHostsFile /dev/null
"""
"""The first value of an option counts, so what holds for all comes last."""

_PROXY = '''\
"""Carries bytes between ssh and a port, and notes how many of them ssh has sent."""

import os
import socket
import sys
import threading

port, traffic = int(sys.argv[1]), sys.argv[2]
with open(traffic + ".pid", "w") as file:
    file.write(str(os.getpid()))
server = socket.create_connection(("127.0.0.1", port))


def answers():
    while part := server.recv(65536):
        os.write(1, part)
    os._exit(0)


threading.Thread(target=answers, daemon=True).start()
sent = 0
with open(f"{traffic}.{os.getpid()}", "w") as file:  # an earlier one may not have ended yet
    while part := os.read(0, 65536):
        server.sendall(part)
        sent += len(part)
        file.seek(0)
        file.write(f"{sent:12}")
        file.flush()
'''


class SshServer:
    """A server that runs.

    Args:
        folder: For its keys and files.
        port: Where it listens.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port
        self.command = f"ssh -F {folder / 'client'}"

    @property
    def traffic(self) -> int:
        """Bytes that went to it over the connection that was made last."""
        return int((self._folder / f"traffic.{self.proxy}").read_text() or 0)

    @property
    def proxy(self) -> int:
        """Process id of what carries the connection that was made last."""
        return int((self._folder / "traffic.pid").read_text())

    def cut(self) -> None:
        """Cut that connection, if it was not cut before."""
        try:
            os.kill(self.proxy, signal.SIGKILL)
        except ProcessLookupError:
            pass


@contextmanager
def running_server(folder: Path) -> Iterator[SshServer]:
    """Start a server, and end it.

    Raises:
        RuntimeError: If there can be none here, with the reason.
    """
    if _SERVER is None or shutil.which("ssh") is None:
        raise RuntimeError("there is no OpenSSH server on this computer (openssh-server)")
    port, closed = _free_port(), _free_port()
    for name in ("host", "user", "other"):
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
    for file, key in (("known_hosts", "host"), ("other_hosts", "other")):
        line = (folder / f"{key}.pub").read_text()
        (folder / file).write_text(f"there {line}")
    values = {"folder": folder, "port": port, "closed": closed, "user": getpass.getuser()}
    (folder / "server").write_text(_SERVER_CONFIG.format(**values))
    (folder / "proxy.py").write_text(_PROXY)
    client = _CLIENT_CONFIG.format(python=sys.executable, proxy=folder / "proxy.py", **values)
    (folder / "client").write_text(client)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [_SERVER, "-D", "-e", "-f", str(folder / "server")],
            stdin=subprocess.DEVNULL,
            stderr=log,
        )
    try:
        server = SshServer(folder, port)
        _wait(process, port, folder)
        _run(*server.command.split(), "-o", "BatchMode=yes", "there", "true")
        yield server
    finally:
        process.terminate()
        process.wait(_PATIENCE)


def _wait(process: subprocess.Popen, port: int, folder: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"sshd did not start: {(folder / 'server.log').read_text()}")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
