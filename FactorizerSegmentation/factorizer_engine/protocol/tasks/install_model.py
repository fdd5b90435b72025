"""Put a model into the user's models folder."""

from __future__ import annotations

from dataclasses import dataclass

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.messages import Message
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.tasks.task import Task


@dataclass(frozen=True)
class InstallModelParams(Message):
    """A model to install.

    Attributes:
        source: A .zip file, a folder, a checkpoint, an https address of one of these, or the name
            of a model in the catalogue.
        sha256: What a download must add up to; "" if that is not known.
        replace: Whether an installed model of the same name may be replaced.
    """

    source: str
    sha256: str = ""
    replace: bool = False

    def __post_init__(self) -> None:
        if not self.source.strip():
            raise BadInputError("Say which model to install: a file, a folder or an address.")
        wrong = set(self.sha256.lower()) - set("0123456789abcdef")
        if self.sha256 and (wrong or len(self.sha256) != 64):
            raise BadInputError("A SHA-256 has 64 hexadecimal digits; copy all of it.")


@dataclass(frozen=True)
class InstallModelResult(Message):
    """What was installed.

    Attributes:
        model: The model.
        sha256: What the downloaded file adds up to; "" if nothing was downloaded.
    """

    model: ModelDescription
    sha256: str


INSTALL_MODEL = Task("install_model", InstallModelParams, InstallModelResult)
