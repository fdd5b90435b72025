"""What the far half keeps: files by their content, within bounds, nothing outside its folder."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factorizer_engine.protocol.messages import ProtocolError
from factorizer_engine.service.remote.frames import (
    PART,
    Frame,
    FrameWriter,
    Kind,
    frames_of,
    read_frame,
)
from factorizer_engine.service.remote.store import FileStore, inside, name_of


def name(content: bytes, ending: str = ".npy") -> str:
    return hashlib.sha256(content).hexdigest() + ending


def put(store: FileStore, content: bytes) -> str:
    store.add(name(content), content)
    store.finish(name(content))
    return name(content)


def test_what_was_sent_is_not_missing_any_more(tmp_path):
    store = FileStore(tmp_path)
    assert store.missing({name(b"one"): 3}) == [name(b"one")]
    put(store, b"one")
    assert store.missing({name(b"one"): 3, name(b"two"): 3}) == [name(b"two")]
    assert (tmp_path / "files" / name(b"one")).read_bytes() == b"one"


def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path):
    store = FileStore(tmp_path)
    store.add(name(b"one"), b"other")
    with pytest.raises(ProtocolError, match="damaged"):
        store.finish(name(b"one"))
    assert store.missing({name(b"one"): 3}) == [name(b"one")]


def test_a_file_that_was_broken_off_is_begun_anew(tmp_path):
    store = FileStore(tmp_path)
    store.add(name(b"onetwo"), b"one")
    assert store.missing({name(b"onetwo"): 6}) == [name(b"onetwo")]
    assert put(store, b"onetwo") not in store.missing({name(b"onetwo"): 6})


def test_of_too_many_files_those_go_that_were_not_asked_for_longest(tmp_path):
    store = FileStore(tmp_path, kept=250)
    first, second, third = (put(store, bytes([number]) * 100) for number in range(3))
    store.missing({first: 100})
    store.forget_oldest()
    assert store.missing(dict.fromkeys([first, second, third], 100)) == [second]


def test_a_folder_is_made_of_files_that_are_there(tmp_path):
    store = FileStore(tmp_path)
    file = put(store, b"weights")
    store.make_folder("key/mine", {"models/model.pt": file})
    assert (tmp_path / "folders/key/mine/models/model.pt").read_bytes() == b"weights"


def test_a_folder_that_could_not_be_completed_is_not_there(tmp_path):
    store, file = FileStore(tmp_path), name(b"weights")
    with pytest.raises(FileNotFoundError):
        store.make_folder("key/mine", {"a": file})
    put(store, b"weights")
    store.make_folder("key/mine", {"a": file})
    assert (tmp_path / "folders/key/mine/a").read_bytes() == b"weights"


@pytest.mark.parametrize(
    "path", ["../x", "a/../../x", "/x", "C:/x", "a\\..\\x", "", "a/b:stream", "nul\0"]
)
def test_no_path_leads_out_of_its_folder(path):
    with pytest.raises(ProtocolError, match="leads out"):
        inside(path)


@pytest.mark.parametrize("wrong", ["../../etc/passwd", "x.npy", "a" * 63, "a" * 64 + "/b"])
def test_only_sums_name_files(tmp_path, wrong):
    with pytest.raises(ProtocolError, match="no name"):
        FileStore(tmp_path).add(wrong, b"")


def test_a_name_keeps_the_endings_that_readers_need():
    digest = hashlib.sha256().digest()
    assert name_of(Path("a.nii.gz"), digest).endswith(".nii.gz")
    assert name_of(Path("v1.2 of me.npy"), digest) == f"{digest.hex()}.npy"
    assert name_of(Path("a.strange ending"), digest) == digest.hex()


def test_a_file_travels_in_parts_and_arrives_as_it_was(tmp_path):
    content = bytes(range(256)) * (PART // 256) + b"the rest"
    (tmp_path / "file").write_bytes(content)
    *parts, end = frames_of(tmp_path / "file", "it")
    assert [frame.kind for frame in parts] == [Kind.part, Kind.part] and end.kind is Kind.whole
    assert b"".join(frame.bytes_of_file for frame in parts) == content
    assert sum(len(frame.content) for frame in parts) < len(content) / 10


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 120))
def test_whatever_comes_is_a_frame_or_the_end_or_refused(noise, cut):
    sink = io.BytesIO()
    FrameWriter(sink).write(Frame(Kind.part, "0", b"content"))
    stream = io.BytesIO(sink.getvalue()[:cut] + noise)
    try:
        while read_frame(stream) is not None:
            pass
    except ProtocolError:
        pass


def test_a_part_that_would_unfold_without_end_is_refused():
    import zlib

    with pytest.raises(ProtocolError, match="longer"):
        _ = Frame(Kind.part, "x", zlib.compress(bytes(8 * PART))).bytes_of_file
