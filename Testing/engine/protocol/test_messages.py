"""Messages: what travels comes back equal, what is wrong is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from factorizer_engine.protocol.components import Component
from factorizer_engine.protocol.errors import BadInputError, BadModelError
from factorizer_engine.protocol.lesions import Lesion, Ruler
from factorizer_engine.protocol.messages import ProtocolError
from factorizer_engine.protocol.models import ModelDescription
from factorizer_engine.protocol.progress import Progress
from factorizer_engine.protocol.runs import ModelChoice, RunOptions, Study
from factorizer_engine.protocol.tasks.components import ComponentsParams
from factorizer_engine.protocol.tasks.segment import SegmentParams
from factorizer_engine.protocol.volumes import ScanFile
from factorizer_engine.protocol.wire import Greeting, ProgressEvent, Reply, Request, decode_answer

AFFINE = ((-1.5, 0.0, 0.0, 90.0), (0.0, -1.0, 0.25, 126.0), (0.0, 0.25, 1.0, -72.0), (0, 0, 0, 1))


@pytest.fixture
def params() -> dict:
    scan = ScanFile("/scans/t1.npy", AFFINE, "T1")
    options = RunOptions(overlap=0.25)
    study = Study({"T1": scan})
    return ComponentsParams(ModelChoice("glioma"), study, "/out", options, count=3).to_dict()


def test_parameters_survive_the_journey(params):
    line = Request(7, "components", params).encode()
    request = Request.decode(line)
    assert line.count(b"\n") == 1
    assert (request.id, request.method) == (7, "components")
    assert ComponentsParams.from_dict(request.params).to_dict() == params


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_volume_comes_back_with_its_place(tmp_path, order):
    array = np.asarray(np.arange(24, dtype=np.int16).reshape(2, 3, 4), order=order)
    sent = ScanFile.save(array, np.array(AFFINE), tmp_path / "scan.npy", "scan")
    received = ScanFile.from_dict(json.loads(json.dumps(sent.to_dict())))
    np.testing.assert_array_equal(received.load(), array)
    np.testing.assert_array_equal(received.matrix, AFFINE)
    assert received.load().dtype == np.int16


def test_numpy_numbers_can_be_sent():
    ruler = Ruler((0.0, 0.0, 0.0), (3.0, 0.0, 0.0))
    lesion = Lesion(
        id=np.int64(1),
        volume_ml=np.float32(2.5),
        max_diameter_mm=3.0,
        long_axis=ruler,
        short_axis=ruler,
        mean_probability=0.5,
        centroid_ras=(1.0, 2.0, 3.0),
    )
    reply = decode_answer(Reply(1, {"lesion": lesion.to_dict()}).encode())
    assert Lesion.from_dict(reply.result["lesion"]).volume_ml == 2.5


def test_text_in_any_language_can_be_sent():
    reply = decode_answer(Reply(1, {"name": "Ödem – 浮腫\n"}).encode())
    assert reply.result["name"] == "Ödem – 浮腫\n"


def test_progress_survives_the_journey():
    sent = ProgressEvent(3, Progress("segmenting", 0.25, None))
    assert decode_answer(sent.encode()) == sent


def test_an_error_keeps_its_type_its_sentence_and_its_details():
    sent = Reply(3, error=BadModelError("No weights.", "looked in models/"))
    error = decode_answer(sent.encode()).error
    assert (type(error), str(error), error.details) == (
        BadModelError,
        "No weights.",
        "looked in models/",
    )


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("choice", {"model": None}),
        ("choice", {"model": 3}),
        ("study", {"channels": []}),
        ("study", {"channels": {"T1": "t1.npy"}}),
        ("options", {"overlap": "half"}),
        ("options", {"mirroring": 1}),
        (None, {"count": 2.5}),
        (None, {"count": True}),
        (None, {"blocks": "decoder.0.0"}),
        (None, {"colour": "red"}),
        ("options", {"colour": "red"}),
    ],
)
def test_a_field_of_the_wrong_type_is_refused(params, part, change):
    with pytest.raises(ProtocolError):
        ComponentsParams.from_dict(changed(params, part, change))


def changed(params: dict, part: str | None, change: dict) -> dict:
    """The parameters with a change in one of their parts, or of their own."""
    return {**params, **change} if part is None else {**params, part: {**params[part], **change}}


def test_a_missing_field_is_refused(params):
    del params["output_dir"]
    with pytest.raises(ProtocolError, match="output_dir"):
        ComponentsParams.from_dict(params)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("options", {"overlap": 1.0}),
        ("options", {"overlap": -0.1}),
        ("choice", {"precision": "float8"}),
        (None, {"count": 0}),
    ],
)
def test_a_value_out_of_range_is_the_users_to_correct(params, part, change):
    with pytest.raises(BadInputError):
        ComponentsParams.from_dict(changed(params, part, change))


@pytest.mark.parametrize("affine", [(), ((1.0, 0.0), (0.0, 1.0)), (AFFINE[0],) * 3])
def test_an_affine_that_is_no_4x4_matrix_is_refused(affine):
    with pytest.raises(ProtocolError):
        ScanFile("a.npy", affine)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x93NUMPY\x01\x00"])
def test_a_damaged_volume_file_is_bad_input(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(BadInputError, match="T1"):
        ScanFile(str(tmp_path / "a.npy"), AFFINE, "T1").load()


@pytest.mark.parametrize("lost", [1, 64, 3000])
def test_bytes_that_numpy_could_not_write_without_a_word_are_missed(tmp_path, monkeypatch, lost):
    """On a full disk it loses what is left in its buffer when it closes the file."""
    array, save = np.zeros((4, 50, 60), np.float32), np.save

    def save_in_part(path, array, **options):
        save(path, array, **options)
        os.truncate(path, os.path.getsize(path) - lost)

    monkeypatch.setattr(np, "save", save_in_part)
    with pytest.raises(OSError, match="the last bytes"):
        ScanFile.save(array, np.eye(4), tmp_path / "a.npy")


def test_a_volume_file_that_needs_pickle_is_refused_unread(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(BadInputError):
        ScanFile(str(tmp_path / "a.npy"), AFFINE).load()


def test_a_missing_volume_file_is_bad_input(tmp_path):
    with pytest.raises(BadInputError):
        ScanFile(str(tmp_path / "a.npy"), AFFINE).load()


def test_nested_messages_are_checked_too():
    term = {"network": 0, "block": "b", "head": 0, "rank": 0}
    data = {"term": term, "name": "n", "contributions": {"WT": 1}, "window": [0, 1]}
    assert Component.from_dict(data).contributions == {"WT": 1.0}
    with pytest.raises(ProtocolError, match="WT"):
        Component.from_dict({**data, "contributions": {"WT": "much"}})


@pytest.mark.parametrize(
    "line", [b"[1]", b"{", b"\xff\xfe", b'{"id": 1}', b'{"id": "1", "result": {}}', b"[" * 10**5]
)
def test_a_line_that_is_no_answer_is_refused(line):
    with pytest.raises(ProtocolError):
        decode_answer(line)


def test_an_error_of_an_unknown_kind_is_still_an_error():
    answer = decode_answer(b'{"id": 1, "error": {"kind": "new", "message": "Something."}}')
    assert answer.error.kind == "internal"
    assert str(answer.error) == "Something."


@pytest.mark.parametrize("message", ["", 5, None, ["a", "b"], {"a": 1}])
def test_an_error_without_a_sentence_gets_one(message):
    line = json.dumps({"id": 1, "error": {"message": message, "details": message}})
    answer = decode_answer(line)
    assert str(answer.error) == "The engine failed without saying why."
    assert answer.error.details == ""


def test_optional_parameters_may_be_left_out():
    minimal = {"choice": {"model": "glioma"}, "study": {"channels": {}}, "output_dir": "/out"}
    segment = SegmentParams.from_dict(minimal)
    assert (segment.study.reference, segment.choice.device) == (None, "auto")
    assert segment.options.mirroring is None


def test_a_greeting_survives_the_journey():
    assert decode_answer(Greeting(7, "1.0", 42).encode()) == Greeting(7, "1.0", 42)


def test_a_path_survives_the_journey():
    model = ModelDescription("n", "1", "f", "T", "", (), (), (), Path("models") / "n")
    assert ModelDescription.from_dict(json.loads(json.dumps(model.to_dict()))) == model
