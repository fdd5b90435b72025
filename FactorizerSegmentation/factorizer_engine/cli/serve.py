"""`factorizer serve`: the engine of this machine, for somebody who came by ssh."""

from __future__ import annotations


def serve() -> None:
    """Compute for another computer, which starts this command by ssh.

    It talks over its standard streams, opens no port, and ends with the connection. There, name
    this machine with --on USER@HOST, or in the panel's list of devices.
    """
    from factorizer_engine.service.remote.far import serve

    serve()
