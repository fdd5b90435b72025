"""What is kept of preparations, how much of it, and that it never stands in the way."""

from __future__ import annotations

import os

import numpy as np

from engine.preparation.heads import T1, head
from factorizer_engine.images.scan import Scan
from factorizer_engine.preparation.cache import StepCache, key_of
from factorizer_engine.protocol.kept import clear_kept, kept_bytes


def test_what_is_kept_is_found_again(tmp_path):
    StepCache(tmp_path / "new").keep("key", {"matrix": np.eye(4), "overlap": np.array(0.5)})
    found = StepCache(tmp_path / "new").find("key")
    np.testing.assert_array_equal(found["matrix"], np.eye(4))
    assert float(found["overlap"]) == 0.5
    assert StepCache(tmp_path / "new").find("another") is None


def test_the_key_tells_voxels_places_and_settings_but_not_names():
    scan = head(T1)
    other = scan.array.copy()
    other[0, 0, 0] += 1
    keys = {
        key_of("step", scan),
        key_of("another", scan),
        key_of("step", scan, "rigid"),
        key_of("step", scan.with_array(other)),
        key_of("step", Scan.of(scan.array, scan.affine * 1.01)),
    }
    assert len(keys) == 5
    assert key_of("step", Scan.of(scan.array, scan.affine, "Jane Doe")) == key_of("step", scan)


def test_what_was_not_used_for_longest_makes_room(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, 4000, np.uint8)
    cache = StepCache(tmp_path, largest=10_000)
    for number, name in enumerate(("first", "second")):
        cache.keep(name, {"noise": noise})
        os.utime(tmp_path / f"{name}.npz", (number, number))
    cache.find("first")  # so it is used after the second
    cache.keep("third", {"noise": noise})
    assert cache.find("first") and cache.find("third")
    assert cache.find("second") is None
    assert kept_bytes(tmp_path) <= 10_000


def test_it_can_be_cleared(tmp_path):
    cache = StepCache(tmp_path)
    cache.keep("key", {"matrix": np.eye(4)})
    other = tmp_path / "notes.txt"
    other.write_text("not ours", encoding="utf-8")
    assert kept_bytes(tmp_path) > 0
    clear_kept(tmp_path)
    assert kept_bytes(tmp_path) == 0 and cache.find("key") is None
    assert other.exists()


def test_a_damaged_file_or_folder_counts_as_not_there(tmp_path):
    cache = StepCache(tmp_path)
    cache.keep("key", {"matrix": np.eye(4)})
    content = (tmp_path / "key.npz").read_bytes()
    for damaged in (b"", b"nothing", content[: len(content) // 2]):
        (tmp_path / "key.npz").write_bytes(damaged)
        assert cache.find("key") is None
    cache.keep("noise", {"field": np.random.default_rng(0).integers(0, 5, 9999)})
    path = tmp_path / "noise.npz"
    content = path.read_bytes()
    for place in range(100, len(content), 100):
        path.write_bytes(content[:place] + bytes(40) + content[place + 40 :])
        assert cache.find("noise") is None
    blocked = tmp_path / "file"
    blocked.write_text("in the way", encoding="utf-8")
    StepCache(blocked).keep("key", {"matrix": np.eye(4)})
    assert StepCache(blocked).find("key") is None


def test_without_a_folder_nothing_is_kept():
    cache = StepCache()
    cache.keep("key", {"matrix": np.eye(4)})
    assert cache.find("key") is None
