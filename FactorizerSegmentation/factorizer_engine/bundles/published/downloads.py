"""Files from the internet: resumed where they broke off, and checked before they are used."""

from __future__ import annotations

import hashlib
import ipaddress
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import requests

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.files import MEGABYTE, file_digest, prepare_output_folder
from factorizer_engine.protocol.locations import user_cache_dir
from factorizer_engine.protocol.locks import held
from factorizer_engine.protocol.names import is_portable
from factorizer_engine.protocol.progress import Monitor

ATTEMPTS = 4
"""How often a connection that breaks off is taken up again before the user has to."""

_CHUNK = 1 << 16
_TIMEOUT = (10, 30)  # seconds to connect, and between two parts
_PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class RemoteFile:
    """A file to download, and what is known of it.

    Attributes:
        url: Its address.
        name: What to call it.
        size: Its bytes; 0 if that is not known.
        sums: Algorithm of hashlib to what its content adds up to, in hexadecimal digits.
    """

    url: str
    name: str
    size: int
    sums: dict[str, str]


def find_file(location: str, file: str = "") -> RemoteFile:
    """The file at an address, or the one called `file` in a record of Zenodo.

    Raises:
        BadInputError: If the address cannot be used, does not answer, or has no such file.
    """
    _check_address(location)
    if not file:
        name = PurePosixPath(unquote(urlsplit(location).path)).name
        return RemoteFile(location, name if is_portable(name) else "model.zip", 0, {})
    with _plain_errors(location):
        response = requests.get(location, timeout=_TIMEOUT)
        response.raise_for_status()
        record = response.json()
    for entry in record.get("files", ()) if isinstance(record, dict) else ():
        if entry.get("key") == file:
            algorithm, _, expected = str(entry.get("checksum", "")).partition(":")
            known = algorithm in hashlib.algorithms_guaranteed
            url = str(entry["links"]["self"])
            _check_address(url)
            return RemoteFile(url, file, int(entry["size"]), {algorithm: expected} if known else {})
    raise BadInputError(f"The record at {location} has no file {file}; it may have moved.")


def download(wanted: RemoteFile, folder: Path, monitor: Monitor) -> Path:
    """Download a file into `folder`; what broke off earlier is gone on with.

    Raises:
        BadInputError: If it cannot be had, does not fit on the disk, or adds up to something else
            than expected, or if another program is downloading it.
        CancelledError: If the run was cancelled; what there is of the file is kept.
    """
    partial = _partial_file(wanted.url)
    busy = f"Another program is downloading {wanted.name} just now; try again when it is done."
    with held(partial.with_suffix(".lock"), busy):
        _receive_patiently(wanted, partial, monitor)
        _validator_file(partial).unlink(missing_ok=True)
        _check_sums(wanted, partial)
        return Path(shutil.move(partial, folder / wanted.name))


class _BrokenOffError(Exception):
    """The connection ended before the file did."""


def _receive_patiently(wanted: RemoteFile, partial: Path, monitor: Monitor) -> None:
    """Add to the partial file what it lacks, and take up again a connection that breaks off."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with _plain_errors(wanted.url):
                _receive(wanted, partial, monitor)
            return
        except _BrokenOffError as error:
            if attempt == ATTEMPTS:
                raise BadInputError(
                    f"The download of {wanted.name} broke off after "
                    f"{_size(partial) / MEGABYTE:.0f} MB; try again to go on from there.",
                    repr(error),
                ) from error
            monitor.check()
            time.sleep(_PAUSE_SECONDS)


def _receive(wanted: RemoteFile, partial: Path, monitor: Monitor) -> None:
    """Add to the partial file what it lacks."""
    present, validator = _size(partial), _validator(partial)
    headers = {"Accept-Encoding": "identity"}
    if present and validator:  # the server sends all of it where it has changed since
        headers |= {"Range": f"bytes={present}-", "If-Range": validator}
    with requests.get(wanted.url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
        for step in (*response.history, response):
            _check_address(step.url)
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            partial.unlink()
            raise _BrokenOffError("the file is shorter than what there is of it")
        response.raise_for_status()
        if response.status_code != requests.codes.partial_content:
            present = 0
            _remember_validator(partial, response)
        length = int(response.headers.get("Content-Length") or 0)
        total = present + length if length else wanted.size
        prepare_output_folder(partial.parent, max(total - present, MEGABYTE))
        with partial.open("r+b" if present else "wb") as file:
            file.seek(present)
            file.truncate()
            for chunk in response.iter_content(_CHUNK):
                file.write(chunk)
                present += len(chunk)
                monitor.report("downloading", present / total if total else 0.0)
        if present < total:
            raise _BrokenOffError(f"{present} of {total} bytes")


def _check_sums(wanted: RemoteFile, path: Path) -> None:
    for algorithm, expected in wanted.sums.items():
        if file_digest(path, algorithm).hex() != expected.lower():
            path.unlink()
            raise BadInputError(
                f"{wanted.name} is not the file that was expected (its {algorithm} differs) "
                "and was deleted; try again, or ask whoever offers it."
            )


def _check_address(url: str) -> None:
    """Make sure that nobody on the way can change what comes; this computer may serve as it is."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and _is_this_computer(parts.hostname or ""):
        return
    raise BadInputError(f"'{url}' cannot be used; give an address that begins with https://.")


def _is_this_computer(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def _plain_errors(url: str) -> Iterator[None]:
    """What requests raises, as a sentence, or as a connection that broke off."""
    host = urlsplit(url).hostname
    try:
        yield
    except requests.HTTPError as error:
        code = error.response.status_code if error.response is not None else 0
        what = "has no such file" if code in (404, 410) else f"refuses (status {code})"
        raise BadInputError(f"{host} {what}: {url}", repr(error)) from error
    except requests.exceptions.JSONDecodeError as error:
        raise BadInputError(f"{url} is no record of files.", repr(error)) from error
    except (requests.exceptions.ChunkedEncodingError, requests.ReadTimeout) as error:
        raise _BrokenOffError(repr(error)) from error
    except requests.RequestException as error:
        raise BadInputError(
            f"{host} cannot be reached; check the connection and its proxy, or download the file "
            "elsewhere and install it from this computer.",
            repr(error),
        ) from error


def _partial_file(url: str) -> Path:
    folder = prepare_output_folder(user_cache_dir() / "factorizer" / "downloads")
    return folder / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.part"


def _validator_file(partial: Path) -> Path:
    return partial.with_suffix(".validator")


def _validator(partial: Path) -> str:
    file = _validator_file(partial)
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def _remember_validator(partial: Path, response: requests.Response) -> None:
    """What tells one version of a file from the next; weak tags do not (RFC 9110, 13.1.5)."""
    tag = response.headers.get("ETag", "")
    validator = "" if tag.startswith("W/") else tag
    validator = validator or response.headers.get("Last-Modified", "")
    _validator_file(partial).write_text(validator, encoding="utf-8")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
