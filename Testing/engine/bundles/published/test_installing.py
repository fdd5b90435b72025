"""Models from files, addresses and the catalogue, against a server on this computer."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
import threading
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import py7zr
import pytest
import torch

from engine.bundles.checkpoints import write_deepisles_checkpoint
from engine.bundles.published.test_importing import CHALLENGE
from factorizer_engine.bundles.architecture import build_network
from factorizer_engine.bundles.published import downloads, installing
from factorizer_engine.bundles.published.archives import unpack_matching
from factorizer_engine.bundles.published.installing import install_model
from factorizer_engine.protocol.catalogue import PublishedModel, published_models
from factorizer_engine.protocol.errors import BadInputError, BadModelError, CancelledError
from factorizer_engine.protocol.locations import user_cache_dir
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.tasks.install_model import InstallModelParams


@dataclass
class Server:
    """Files on a server that can misbehave.

    Attributes:
        address: Where it is.
        files: Content by path.
        requests: Path and Range header of what was asked for.
        break_after: Bytes after which the connection ends, once for each entry.
        tag: ETag of all files.
    """

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    break_after: list[int] = field(default_factory=list)
    tag: str = '"one"'

    def offer(self, name: str, content: bytes) -> str:
        self.files[f"/{name}"] = content
        return f"{self.address}/{name}"


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A server, and folders for models and downloads of its own."""
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.requests.append((self.path, wanted))
            content = state.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            start = 0
            if wanted and self.headers.get("If-Range") == state.tag:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.send_header("ETag", state.tag)
            self.end_headers()
            end = start + state.break_after.pop(0) if state.break_after else None
            self.wfile.write(content[start:end])

        def log_message(self, *arguments: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.address = f"http://127.0.0.1:{http.server_port}"
        threading.Thread(target=http.serve_forever, daemon=True).start()
        monkeypatch.setenv("FACTORIZER_MODELS", str(tmp_path / "models"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setattr(downloads, "_PAUSE_SECONDS", 0.0)
        monkeypatch.setattr(downloads, "_CHUNK", 100)
        yield state
        http.shutdown()


@pytest.fixture(scope="session")
def zipped(tiny_bundle, tmp_path_factory) -> bytes:
    """The tiny model as a .zip file."""
    name = tmp_path_factory.mktemp("zip") / "tiny"
    return Path(shutil.make_archive(str(name), "zip", tiny_bundle)).read_bytes()


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory) -> Path:
    """A folder like that of the challenge's networks, among other things."""
    folder = tmp_path_factory.mktemp("published") / "content"
    for fold in range(2):
        torch.manual_seed(fold)
        own = folder / f"weights/FACTORIZER/logs/fold{fold}/version_0/checkpoints"
        own.mkdir(parents=True)
        write_deepisles_checkpoint(own / "epoch=1999-step=99999.ckpt", build_network(CHALLENGE))
    (folder / "weights/SEALS").mkdir()
    (folder / "weights/SEALS/model.ckpt").write_bytes(b"of another network")
    return folder


def pack(folder: Path, archive: Path) -> Path:
    if archive.suffix == ".7z":
        with py7zr.SevenZipFile(archive, "w") as target:
            target.writeall(folder / "weights", "weights")
    elif archive.suffix == ".zip":
        shutil.make_archive(str(archive.with_suffix("")), "zip", folder)
    else:
        with tarfile.open(archive, "w:gz") as target:
            target.add(folder / "weights", "weights")
    return archive


def cached() -> list[Path]:
    """What is kept of downloads; their locks are empty files, which stay."""
    folder = user_cache_dir() / "factorizer" / "downloads"
    return [file for file in sorted(folder.glob("*")) if file.suffix != ".lock"]


def test_a_model_is_installed_from_its_address(server, zipped):
    url, sha256 = server.offer("tiny.zip", zipped), hashlib.sha256(zipped).hexdigest()
    seen: list[float] = []
    monitor = Monitor(lambda progress: seen.append(progress.fraction))

    bundle, found = install_model(url, sha256.upper(), monitor=monitor)

    assert bundle.description.name == "tiny"
    assert found == sha256
    assert seen == sorted(seen) and seen[-1] >= 0.9
    assert not cached()


@pytest.mark.parametrize("last", ["%2e%2e", "C%3Aevil.zip", "a%5C..%5Cb.zip", "NUL", ""])
def test_the_name_of_a_download_is_one_that_every_system_can_keep(last):
    assert downloads.find_file(f"https://example.org/models/{last}").name in ("model.zip", "models")


def test_a_download_that_breaks_off_goes_on_where_it_was(server, zipped):
    url = server.offer("tiny.zip", zipped)
    server.break_after = [1000, 500]

    _, found = install_model(url)

    assert [wanted for _, wanted in server.requests] == [None, "bytes=1000-", "bytes=1500-"]
    assert found == hashlib.sha256(zipped).hexdigest()


def test_a_cancelled_download_goes_on_the_next_time(server, zipped):
    url = server.offer("tiny.zip", zipped)
    reports: list[float] = []

    with pytest.raises(CancelledError):
        monitor = Monitor(lambda p: reports.append(p.fraction), lambda: len(reports) > 2)
        install_model(url, monitor=monitor)
    assert cached()
    install_model(url)

    start = int((server.requests[-1][1] or "").removeprefix("bytes=").removesuffix("-"))
    assert 0 < start < len(zipped)


def test_a_file_that_changed_meanwhile_is_taken_from_its_beginning(server, zipped):
    url = server.offer("tiny.zip", b"x" * 50_000)
    server.break_after = [3000] * downloads.ATTEMPTS
    server.tag = '"old"'
    with pytest.raises(BadInputError, match="broke off"):
        install_model(url)
    server.files["/tiny.zip"], server.tag = zipped, '"new"'

    _, found = install_model(url)

    assert found == hashlib.sha256(zipped).hexdigest()


def test_another_content_than_expected_is_refused_and_not_kept(server, zipped, tmp_path):
    url = server.offer("tiny.zip", zipped)

    with pytest.raises(BadInputError, match="not the file that was expected"):
        install_model(url, "0" * 64)

    assert not cached()
    assert not (tmp_path / "models").exists()


def test_a_connection_that_always_breaks_off_is_given_up_and_kept(server, zipped):
    url = server.offer("tiny.zip", zipped)
    server.break_after = [100] * downloads.ATTEMPTS

    with pytest.raises(BadInputError, match="try again to go on"):
        install_model(url)

    assert any(path.stat().st_size == 100 * downloads.ATTEMPTS for path in cached())


@pytest.mark.parametrize("kind", [".7z", ".zip", ".tgz"])
def test_an_ensemble_of_the_catalogue_is_imported_in_one_step(
    server, checkpoints, tmp_path, monkeypatch, kind
):
    content = pack(checkpoints, tmp_path / f"weights{kind}").read_bytes()
    md5 = hashlib.md5(content).hexdigest()
    url = server.offer("content", content)
    entry = {"key": "w.7z", "size": len(content), "checksum": f"md5:{md5}", "links": {"self": url}}
    record = server.offer("api/records/1", json.dumps({"files": [entry]}).encode())
    (shipped,) = published_models()
    model = PublishedModel.from_dict({**shipped.to_dict(), "location": record, "file": "w.7z"})
    monkeypatch.setattr(installing, "published_models", lambda: [model])

    bundle, found = install_model(shipped.name)

    assert found == hashlib.sha256(content).hexdigest()
    assert bundle.description.name == shipped.name
    assert bundle.description.family == "stroke"
    assert len(bundle.weights) == 2
    with pytest.raises(BadInputError, match="installed already"):
        install_model(shipped.name)
    assert len(server.requests) == 3  # it was not downloaded again to find out


def test_a_record_without_the_file_is_said(server, monkeypatch):
    record = server.offer("api/records/1", json.dumps({"files": []}).encode())
    model = PublishedModel("m", "M", "glioma", "", record, "weights.7z")
    monkeypatch.setattr(installing, "published_models", lambda: [model])

    with pytest.raises(BadInputError, match="has no file weights.7z"):
        install_model("m")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("http://models.example/m.zip", "begins with https://"),
        ("ftp://models.example/m.zip", "begins with https://"),
        ("file:///etc/passwd", "begins with https://"),
        ("https://", "begins with https://"),
        ("SERVER/missing.zip", "has no such file"),
        ("http://127.0.0.1:9/m.zip", "cannot be reached"),
        ("no-such-model", "neither a file or folder nor a model of the catalogue"),
    ],
)
def test_what_cannot_be_had_is_said_in_one_sentence(server, source, sentence):
    with pytest.raises(BadInputError, match=sentence):
        install_model(source.replace("SERVER", server.address))


def test_a_server_may_not_lead_to_an_unsafe_address(server, monkeypatch):
    seen = []
    monkeypatch.setattr(
        downloads, "_is_this_computer", lambda host: not seen and not seen.append(1)
    )
    with pytest.raises(BadInputError, match="begins with https://"):
        install_model(server.offer("tiny.zip", b"content"))


def test_checkpoints_and_folders_of_them_are_imported(server, checkpoints):
    bundle, found = install_model(str(checkpoints / "weights" / "FACTORIZER"))
    assert (len(bundle.weights), found) == (2, "")


@pytest.mark.parametrize(
    "values", [("",), ("x", "12"), ("x", "g" * 64)], ids=["no source", "short", "no digits"]
)
def test_requests_that_make_no_sense_are_refused(values):
    with pytest.raises(BadInputError):
        InstallModelParams(*values)


@pytest.mark.parametrize(
    "name", ["../evil.ckpt", "/evil.ckpt", "C:/evil.ckpt", "a\\..\\..\\e.ckpt"]
)
def test_members_that_point_out_of_an_archive_are_left_out(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, b"evil")
        archive.writestr("good.ckpt", b"good")
    folder = tmp_path / "folder"
    folder.mkdir()

    assert unpack_matching(tmp_path / "a.zip", "*.ckpt", folder, Monitor()) == [
        folder / "good.ckpt"
    ]
    assert sorted(path.name for path in tmp_path.rglob("*.ckpt")) == ["good.ckpt"]


@pytest.mark.parametrize("content", [b"", b"7z\xbc\xaf\x27\x1c" + b"\0" * 40, b"PK\x05\x06 no zip"])
def test_damaged_archives_are_said(tmp_path, content):
    (tmp_path / "a.7z").write_bytes(content)
    with pytest.raises(BadModelError, match="damaged or of an unknown kind|holds nothing"):
        unpack_matching(tmp_path / "a.7z", "*", tmp_path / "folder", Monitor())


def test_the_catalogue_describes_models_that_can_be_recognised():
    from factorizer_engine.bundles.published.presets import PRESETS

    for model in published_models():
        assert model.location.startswith("https://")
        assert model.licence and model.summary
        assert model.preset in ("", *PRESETS)


def test_a_file_that_another_program_downloads_is_left_to_it(server, zipped):
    url, refused = server.offer("tiny.zip", zipped), []

    def meanwhile(_progress: object) -> None:
        if not refused:
            with pytest.raises(BadInputError, match="Another program is downloading tiny.zip"):
                install_model(url)
            refused.append(url)

    bundle, _ = install_model(url, monitor=Monitor(meanwhile))
    assert refused and bundle.description.name == "tiny"
    assert [path for path, _ in server.requests] == ["/tiny.zip"]
