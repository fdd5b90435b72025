"""An engine that ssh reaches is driven as one here, whatever becomes of the connection."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from factorizer_engine.protocol.errors import (
    BadInputError,
    CancelledError,
    InternalError,
    MachineError,
)
from factorizer_engine.protocol.machines import Machine
from factorizer_engine.protocol.runs import ModelChoice, Study
from factorizer_engine.protocol.segmentations import SegmentationFile
from factorizer_engine.protocol.tasks.load_model import LOAD_MODEL
from factorizer_engine.protocol.tasks.prepare import PREPARE, PrepareParams
from factorizer_engine.protocol.tasks.report import REPORT, ReportParams
from factorizer_engine.protocol.tasks.segment import SEGMENT, SegmentParams
from factorizer_engine.protocol.volumes import ScanFile
from factorizer_engine.service.client import EngineClient
from factorizer_engine.service.remote import connection, near
from processes import is_running, wait_until

FAKE_ENGINE = Path(__file__).resolve().parents[3] / "fake_engine.py"
AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])


def load(engine: EngineClient, model: str = "any", on_progress=lambda progress: None):
    return engine.request(LOAD_MODEL, ModelChoice(model), on_progress)


def scan_files(folder: Path, name: str = "scan", size: int = 40) -> dict[str, ScanFile]:
    """Two scans that compress badly, so that traffic shows whether they were sent."""
    folder.mkdir(exist_ok=True)
    values = np.random.default_rng(len(name)).normal(size=(2, size, size, 30)).astype(np.float32)
    return {
        channel: ScanFile.save(array, AFFINE, folder / f"{name}{channel}.npy")
        for channel, array in zip(("FLAIR", "T1"), values, strict=True)
    }


def segment_params(scans: dict[str, ScanFile], output: Path) -> SegmentParams:
    output.mkdir(exist_ok=True)
    return SegmentParams(ModelChoice("any"), Study(scans, "FLAIR"), str(output))


def test_a_run_there_leaves_its_volumes_in_the_folder_asked_for_here(engine, tmp_path):
    seen = []
    scans, here = scan_files(tmp_path / "in"), tmp_path / "here"
    result = engine.request(SEGMENT, segment_params(scans, here), seen.append)
    with EngineClient([sys.executable, str(FAKE_ENGINE)]) as local:
        expected = local.request(SEGMENT, segment_params(scans, tmp_path / "local"))
    assert Path(result.labelmap.path).parent == here
    for mine, theirs in zip(
        (result.labelmap, *result.probabilities),
        (expected.labelmap, *expected.probabilities),
        strict=True,
    ):
        np.testing.assert_array_equal(mine.load(), theirs.load())
        assert mine.affine == theirs.affine
    assert result.lesions == expected.lesions
    assert (result.device, expected.device) == ("there:cpu", "cpu")
    stages = [progress.stage for progress in seen]
    fractions = [progress.fraction for progress in seen]
    assert {"sending to there", "fetching from there"} <= {*stages}
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert sorted(path.name for path in here.iterdir()) == ["labelmap.npy", "p0.npy", "p1.npy"]


def test_scans_are_sent_once_whatever_their_files_are_called(engine, server, tmp_path):
    before, scans = server.traffic, scan_files(tmp_path / "in", "new scan")
    engine.request(SEGMENT, segment_params(scans, tmp_path / "first"))
    sent = server.traffic
    assert sent - before > 2 * 40 * 40 * 30 * 4 * 0.5
    copies = {
        channel: ScanFile.save(file.load(), file.matrix, tmp_path / f"again{channel}.npy")
        for channel, file in scans.items()
    }
    engine.request(SEGMENT, segment_params(copies, tmp_path / "second"))
    assert server.traffic - sent < 20_000


def test_what_the_other_machine_made_is_not_sent_back_to_it(engine, server, tmp_path):
    scans, output = scan_files(tmp_path / "in"), tmp_path / "out"
    output.mkdir()
    params = PrepareParams("any", Study(scans, "FLAIR"), str(output))
    prepared = engine.request(PREPARE, params)
    sent = server.traffic
    assert Path(prepared.sheet).parent == output
    assert prepared.channels["FLAIR"].path == scans["FLAIR"].path
    assert Path(prepared.channels["T1"].path).parent == output
    engine.request(SEGMENT, segment_params(prepared.channels, output))
    assert server.traffic - sent < 20_000


def test_a_page_is_written_where_it_was_wanted_with_what_belongs_to_it(engine, tmp_path):
    scans = scan_files(tmp_path / "in")
    drawn = ScanFile.save(np.zeros((4, 4, 4), np.uint8), AFFINE, tmp_path / "drawn.npy")
    segmentation = SegmentationFile(drawn, ())
    params = ReportParams(segmentation, scans, str(tmp_path / "pages" / "report.html"), "A study")
    result = engine.request(REPORT, params)
    assert result.page == params.page and Path(result.page).is_file()
    assert Path(result.table).parent == Path(params.page).parent and Path(result.table).is_file()


def test_a_scan_that_is_missing_is_told_as_here(engine, tmp_path):
    scans = scan_files(tmp_path / "in")
    Path(scans["FLAIR"].path).unlink()
    with pytest.raises(BadInputError, match="was not found"):
        engine.request(SEGMENT, segment_params(scans, tmp_path / "out"))


def test_nothing_is_left_there_when_the_session_ends(there, tmp_path):
    with there.engine() as engine:
        engine.request(SEGMENT, segment_params(scan_files(tmp_path / "in"), tmp_path / "out"))
        assert there.left
    assert wait_until(lambda: not there.left)


def test_a_cancelled_run_stops_and_the_connection_stays(there):
    with there.engine() as engine:
        load(engine)
        proxy = there.server.proxy
        with pytest.raises(CancelledError):
            load(engine, "obey", lambda progress: engine.cancel())
        assert load(engine).model.name == "any"
        assert there.server.proxy == proxy


def test_a_run_that_ignores_cancel_is_given_up_in_time_and_the_connection_stays(there):
    with there.engine() as engine:
        load(engine)
        pid, proxy = engine.pid, there.server.proxy
        canceller = threading.Thread(target=engine.cancel)
        with pytest.raises(CancelledError):
            load(engine, "hang", lambda progress: canceller.start())
        canceller.join()
        assert load(engine).model.name == "any"
        assert (engine.pid, there.server.proxy) == (pid, proxy)


def test_a_run_can_be_cancelled_while_the_network_stands_still(there, tmp_path):
    stalled = []

    def stall(progress) -> None:
        if progress.stage.startswith("sending") and not stalled:
            stalled.append(there.server.proxy)
            os.kill(there.server.proxy, signal.SIGSTOP)
            threading.Timer(1.0, engine.cancel).start()

    with there.engine() as engine:
        load(engine)
        pid = engine.pid
        scans = scan_files(tmp_path / "in", "much", size=200)  # more than buffers on the way hold
        with pytest.raises(CancelledError):
            engine.request(SEGMENT, segment_params(scans, tmp_path / "out"), stall)
        assert load(engine).model.name == "any"
        assert engine.pid == pid
        assert stalled != [there.server.proxy]
    os.kill(stalled[0], signal.SIGKILL)
    assert wait_until(lambda: not there.left)


def test_the_other_machine_is_tidied_up_when_nothing_is_heard_any_more(there, install):
    code = (
        "import sys\n"
        "from factorizer_engine.service.remote import far\n"
        f"far.SILENCE_SECONDS = 2.0\nfar.serve([sys.executable, {str(FAKE_ENGINE)!r}])"
    )
    with there.engine(program=install(code=code)) as engine:
        load(engine)
        os.kill(there.server.proxy, signal.SIGSTOP)
        try:
            assert wait_until(lambda: not there.left)
        finally:
            there.server.cut()


def test_the_other_machine_hears_that_this_one_is_still_there(tmp_path, monkeypatch):
    script = (
        "import sys\n"
        "from factorizer_engine.protocol.wire import PROTOCOL_VERSION\n"
        "from factorizer_engine.service.remote.frames import Frame, FrameWriter, Kind\n"
        "who = {'protocol': PROTOCOL_VERSION, 'engine': '1', 'folder': '/there'}\n"
        "FrameWriter(sys.stdout.buffer).write(Frame.of(Kind.ready, who))\n"
        "for line in sys.stdin:\n    print(line, file=open(sys.argv[1], 'a'), flush=True)\n"
    )
    heard = tmp_path / "heard"
    heard.touch()
    monkeypatch.setenv("FACTORIZER_SSH", shlex.join([sys.executable, "-c", script, str(heard)]))
    monkeypatch.setattr(connection, "HEARTBEAT_SECONDS", 0.05)
    beating = connection.Connection(Machine("me@gpu"), *[lambda what: None] * 3)
    try:
        assert wait_until(lambda: heard.read_text().count('"alive"') > 2)
    finally:
        beating.close()


def test_an_engine_that_crashes_there_is_told_of_and_started_anew(there):
    with there.engine() as engine:
        with pytest.raises(InternalError, match=r"^On there: The engine stopped .*signal 9"):
            load(engine, "crash")
        proxy = there.server.proxy
        assert load(engine).model.name == "any"
        assert there.server.proxy == proxy


def test_a_connection_that_is_cut_is_one_sentence_and_the_next_run_connects_anew(there, tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    (output / "mine.txt").write_text("kept")
    with there.engine() as engine:
        load(engine)
        first = there.server.proxy
        with pytest.raises(MachineError, match="The connection to there was lost; nothing here"):
            load(engine, "hang", lambda progress: there.server.cut())
        result = engine.request(SEGMENT, segment_params(scan_files(tmp_path / "in"), output))
        assert there.server.proxy != first
        assert Path(result.labelmap.path).is_file()
        assert (output / "mine.txt").read_text() == "kept"
    assert wait_until(lambda: not there.left)


def test_a_connection_that_is_cut_while_scans_are_sent_changes_nothing_here(there, tmp_path):
    def cut(progress):
        if progress.stage.startswith("sending"):
            there.server.cut()

    output = tmp_path / "out"
    scans = scan_files(tmp_path / "in", size=160)  # so that a busy computer is not done before
    with there.engine() as engine:
        load(engine)
        with pytest.raises(MachineError, match="was lost"):
            params = segment_params(scans, output)
            engine.request(SEGMENT, params, cut)
        assert not list(output.iterdir())
        assert load(engine).model.name == "any"


def test_the_other_machine_is_tidied_up_when_this_end_is_killed(there):
    engine = there.engine()
    load(engine)
    (session,) = there.left
    os.kill(engine.pid, signal.SIGKILL)
    assert wait_until(lambda: not there.left)
    engine.close()
    assert wait_until(lambda: not is_running(there.server.proxy))


@pytest.mark.parametrize(
    ("host", "sentence"),
    [
        ("stranger", "stranger is not known yet: connect once with 'ssh stranger' in a terminal"),
        ("impostor", "impostor shows another host key than before"),
        ("keyless", "keyless does not accept your key: set one up with 'ssh-copy-id keyless'"),
        ("closed", "closed accepts no ssh connections"),
        ("nowhere", "No machine of the name in nowhere was found"),
    ],
)
def test_a_machine_that_lets_nobody_in_is_told_of_with_what_to_do(there, host, sentence):
    with there.engine(host) as engine, pytest.raises(MachineError) as caught:
        load(engine)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("program", ["factorizer-is-not-there", "/no/such/factorizer"])
def test_a_machine_without_the_engine_is_told_of_with_how_to_install_it(there, program):
    with there.engine(program=program) as engine, pytest.raises(MachineError) as caught:
        load(engine)
    assert str(caught.value).startswith("There is no Factorizer engine on there: install it there")


def test_a_command_there_that_lacks_the_package_is_no_engine(there, install):
    program = install(code="import factorizer_engine.nothing_of_the_kind_was_ever_there")
    program.write_text(program.read_text().replace("PYTHONPATH=", "NO_PATH="))
    with there.engine(program=program) as engine, pytest.raises(MachineError) as caught:
        load(engine)
    assert "factorizer_engine" in caught.value.details
    assert "engine" in str(caught.value) and "Traceback" not in str(caught.value)


def test_an_engine_of_another_version_there_is_refused_by_name(there, install):
    code = (
        "from factorizer_engine.service.remote import far\n"
        "far.PROTOCOL_VERSION += 1\nfar.__version__ = '9.9'\nfar.serve()"
    )
    with there.engine(program=install(code=code)) as engine, pytest.raises(MachineError) as caught:
        load(engine)
    assert "The engine on there is of another version (9.9)" in str(caught.value)


def test_garbage_from_the_other_machine_ends_the_connection_and_nothing_else(there, install):
    code = (
        "import sys\n"
        "from factorizer_engine.protocol.wire import PROTOCOL_VERSION\n"
        "from factorizer_engine.service.remote.frames import Frame, FrameWriter, Kind\n"
        "who = {'protocol': PROTOCOL_VERSION, 'engine': '1', 'folder': '/there'}\n"
        "FrameWriter(sys.stdout.buffer).write(Frame.of(Kind.ready, who))\n"
        "sys.stdout.buffer.write(b'\\x00garbage\\n' * 1000)\n"
        "sys.stdout.flush()\nsys.stdin.read()\n"
    )
    with there.engine(program=install(code=code)) as engine:
        with pytest.raises(MachineError, match="was lost"):
            load(engine)
        pid = engine.pid
        with pytest.raises(MachineError, match="was lost"):
            load(engine)
        assert engine.pid == pid


def test_what_login_scripts_write_does_not_disturb(there, install):
    program = install(before="echo Welcome\necho '{\"news\": 1}'\n")
    with there.engine(program=program) as engine:
        assert load(engine).model.name == "any"


def test_a_missing_ssh_is_told_of(there, monkeypatch):
    monkeypatch.setenv("FACTORIZER_SSH", "/no/such/ssh")
    with there.engine() as engine, pytest.raises(MachineError, match="install OpenSSH's client"):
        load(engine)


def test_a_model_that_the_other_machine_lacks_is_sent_once(there, tmp_path, monkeypatch):
    model = tmp_path / "models" / "mine"
    (model / "configs").mkdir(parents=True)
    (model / "configs" / "metadata.json").write_text("{}")
    (model / "weights.bin").write_bytes(os.urandom(200_000))
    with there.engine() as engine:
        first = load(engine, str(model))
        sent = there.server.traffic
        assert sent > 200_000
        assert first.model.name.endswith("/mine")
        load(engine, str(model))
        assert there.server.traffic - sent < 20_000


def test_a_model_that_both_machines_have_is_not_sent(there, install, tmp_path):
    model = tmp_path / "models" / "mine"
    (model / "configs").mkdir(parents=True)
    (model / "configs" / "metadata.json").write_text("{}")
    (model / "weights.bin").write_bytes(os.urandom(200_000))
    shutil.copytree(model, tmp_path / "models there" / "installed before")
    program = install(FACTORIZER_MODELS=str(tmp_path / "models there"))
    with there.engine(program=program) as engine:
        load(engine, str(model))
        assert there.server.traffic < 50_000


def test_an_engine_here_is_asked_about_this_computers_models(there, tmp_path, monkeypatch):
    from factorizer_engine.protocol.tasks.models import MODELS, ModelsParams

    monkeypatch.setenv("FACTORIZER_MODELS", str(tmp_path / "none"))
    with there.engine() as engine:
        names = [model.name for model in engine.request(MODELS, ModelsParams()).models]
    assert "glioma-fast" in names


def test_what_killed_sessions_have_left_is_deleted_by_the_next_one(there):
    left, fresh = (there.folder / f"factorizer-served-{name}" for name in ("left", "fresh"))
    for folder in (left, fresh):
        folder.mkdir()
        (folder / "alive").touch()
    long_ago = time.time() - 7200
    os.utime(left / "alive", (long_ago, long_ago))
    with there.engine() as engine:
        load(engine)
        assert fresh.exists() and not left.exists()


def test_a_cancelled_run_is_answered_before_its_driver_kills_the_process():
    assert near.PATIENCE_SECONDS < near.CANCEL_SECONDS
