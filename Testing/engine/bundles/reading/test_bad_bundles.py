"""Bundles that cannot be used are refused with one plain sentence."""

from __future__ import annotations

import json
import os
import shutil
import stat
import zipfile

import pytest
import torch
from safetensors.torch import load_file, save_file

from factorizer_engine.bundles.architecture import build_networks
from factorizer_engine.bundles.reading import archive as archives
from factorizer_engine.bundles.reading.archive import extract_bundle
from factorizer_engine.bundles.reading.loading import load_bundle
from factorizer_engine.protocol.description import CHECKSUM_FILE
from factorizer_engine.protocol.errors import BadModelError


def refusal(path, build=False):
    with pytest.raises(BadModelError) as refused:
        loaded = load_bundle(path)
        if build:
            build_networks(loaded)
    sentence = str(refused.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert "Traceback" not in sentence
    return sentence


@pytest.fixture
def open_bundle(bundle):
    """A bundle without checksums, as other software leaves it."""
    (bundle.description.path / CHECKSUM_FILE).unlink()
    return bundle


def edit_json(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_a_bundle_without_weights(open_bundle):
    open_bundle.weights[0].unlink()
    assert "has no weights" in refusal(open_bundle.description.path)


def test_a_bundle_of_another_architecture(open_bundle):
    weights = open_bundle.weights[0]
    state = load_file(weights)
    state["stem.weight"] = torch.zeros(8, 2, 3, 3, 3)
    state["surprise"] = torch.zeros(1)
    del state["head.bias"]
    save_file(state, weights)
    sentence = refusal(open_bundle.description.path, build=True)
    assert "head.bias is missing" in sentence
    assert "surprise is not part of the network" in sentence
    assert "stem.weight is 8x2x3x3x3 instead of 8x4x3x3x3" in sentence


@pytest.mark.parametrize(
    "changes",
    [
        {"reshape": ["$SWMatricize", None]},
        {"reshape": ["$SWMatricize", ["head_dim"]]},
        {"encoder_depth": []},
        {"encoder_width": [8]},
        {"strides": [[[]]]},
    ],
)
def test_networks_that_cannot_be_built(open_bundle, changes):
    path = open_bundle.description.path / "configs" / "inference.json"
    edit_json(path, lambda content: content["network_def"].update(changes))
    assert refusal(open_bundle.description.path, build=True)


def test_many_differences_are_counted_not_listed(open_bundle):
    def deepen(content):
        content["network_def"].update(encoder_depth=[2, 2])

    edit_json(open_bundle.description.path / "configs" / "inference.json", deepen)
    sentence = refusal(open_bundle.description.path, build=True)
    assert sentence.count("is missing") == 3
    assert "more differences" in sentence


def test_an_absurdly_large_network_is_refused_before_memory_is_used(open_bundle):
    def widen(content):
        content["network_def"].update(encoder_width=[8, 8_000_000])

    edit_json(open_bundle.description.path / "configs" / "inference.json", widen)
    assert "do not fit" in refusal(open_bundle.description.path, build=True)


def test_a_bundle_with_a_poisoned_pickle(open_bundle, tmp_path):
    class Poison:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'trace'}",)

    open_bundle.weights[0].unlink()
    torch.save({"model": Poison()}, open_bundle.description.path / "models" / "model.pt")
    assert "refused" in refusal(open_bundle.description.path, build=True)
    assert not (tmp_path / "trace").exists()


def test_a_bundle_with_an_expression_outside_the_allow_list(open_bundle):
    expression = "$__import__('os').getcwd()"
    edit_json(
        open_bundle.description.path / "configs" / "inference.json",
        lambda content: content["network_def"].update(rank=expression),
    )
    assert expression in refusal(open_bundle.description.path)


def test_truncated_weights(open_bundle):
    weights = open_bundle.weights[0]
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "model.safetensors are damaged" in refusal(open_bundle.description.path, build=True)


@pytest.mark.parametrize("name", ["metadata.json", "inference.json"])
@pytest.mark.parametrize("content", ["{", "[]", "", "\0\xff"])
def test_broken_configurations(open_bundle, name, content):
    (open_bundle.description.path / "configs" / name).write_bytes(content.encode("latin-1"))
    assert name in refusal(open_bundle.description.path)


@pytest.mark.parametrize(
    "content", ["a: [", "!!python/object/apply:os.getcwd []", "- 1", "a: &a [*a]\nnetwork_def: *a"]
)
def test_broken_or_hostile_yaml(open_bundle, content):
    (open_bundle.description.path / "configs" / "inference.json").unlink()
    (open_bundle.description.path / "configs" / "inference.yaml").write_text(content)
    refusal(open_bundle.description.path)


@pytest.mark.parametrize("name", ["metadata.json", "inference.json"])
def test_a_configuration_that_names_something_twice(open_bundle, name):
    """Of which JSON readers take the last without a word."""
    path = open_bundle.description.path / "configs" / name
    path.write_text('{"version": "0", ' + path.read_text().lstrip("{ \n") + "\n")
    text = path.read_text().rstrip().removesuffix("}") + ', "version": "1"}'
    path.write_text(text)
    assert "ambiguous: 'version' stands there twice" in refusal(open_bundle.description.path)


def test_two_configurations_of_which_one_would_be_passed_over(open_bundle):
    folder = open_bundle.description.path / "configs"
    shutil.copy(folder / "inference.json", folder / "inference.yaml")
    assert "both inference.json and inference.yaml" in refusal(open_bundle.description.path)


def test_yaml_that_names_something_twice(open_bundle):
    folder = open_bundle.description.path / "configs"
    (folder / "inference.json").rename(folder / "inference.yaml")  # JSON is YAML, too
    load_bundle(open_bundle.description.path)
    text = (folder / "inference.yaml").read_text().rstrip().removesuffix("}")
    (folder / "inference.yaml").write_text(text + ', "network_def": 1}')
    assert "'network_def' stands there twice, also in line" in refusal(open_bundle.description.path)


@pytest.mark.parametrize("name", ["metadata.json", "inference.json"])
def test_missing_configurations(open_bundle, name):
    (open_bundle.description.path / "configs" / name).unlink()
    assert name.removesuffix(".json") in refusal(open_bundle.description.path)


def test_settings_of_the_wrong_type(open_bundle):
    def spoil(content):
        content["factorizer"]["preprocessing"]["spacing"] = "fine"

    edit_json(open_bundle.description.path / "configs" / "metadata.json", spoil)
    assert "preprocessing.spacing" in refusal(open_bundle.description.path)


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("preprocessing", "spacing", [1, 0, 1], "voxels"),
        ("preprocessing", "spacing", [1, 1], "spacing"),
        ("preprocessing", "spacing", [1e-9, 1, 1], "voxels"),
        ("preprocessing", "orientation", "RRS", "orientation"),
        ("preprocessing", "normalization", "histogram", "normalization"),
        ("inference", "overlap", 1.0, "overlap"),
        ("inference", "threshold", 1.5, "probability of 1.5"),
        ("inference", "threshold", 0.0, "probability of 0.0"),
        ("inference", "roi_size", [8, 8, 8], "windows"),
        ("inference", "mirror_axes", [3], "mirrors"),
        ("labels", 0, {"value": 2, "name": "Twice", "color": [0, 0, 0]}, "label values"),
        ("regions", 0, {"name": "ET", "label": 9, "title": "Nine"}, "no label"),
        ("channels", 0, {"name": "t1"}, "channels of the same name"),
        ("channels", 0, {"name": " "}, "cannot be shown"),
        ("channels", 0, {"name": "a\x1b[31m"}, "cannot be shown"),
    ],
)
def test_settings_that_make_no_sense(open_bundle, section, key, value, words):
    def spoil(content):
        content["factorizer"][section][key] = value

    edit_json(open_bundle.description.path / "configs" / "metadata.json", spoil)
    assert words in refusal(open_bundle.description.path)


def test_a_bundle_of_a_later_format(open_bundle):
    def age(content):
        content["factorizer"]["format"] = 99

    edit_json(open_bundle.description.path / "configs" / "metadata.json", age)
    assert "newer version" in refusal(open_bundle.description.path)


def test_a_bundle_that_does_not_name_its_channels(authors_bundle):
    root = authors_bundle({"0": "DWI"}, {"0": "lesion"})
    edit_json(
        root / "configs" / "metadata.json", lambda content: content.pop("network_data_format")
    )
    assert "does not name its inputs" in refusal(root)


def test_things_that_are_not_bundles(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "weights.pt").write_bytes(b"x")
    (tmp_path / "broken.zip").write_bytes(b"PK not really")
    assert "no configs folder" in refusal(tmp_path / "folder")
    assert "factorizer models import" in refusal(tmp_path / "weights.pt")
    assert "damaged" in refusal(tmp_path / "broken.zip")
    assert "no model at" in refusal(tmp_path / "nowhere")


def archive_of(tmp_path, *entries):
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in entries:
            archive.writestr(entry, content)
    return path


def test_an_archive_of_several_models(tmp_path):
    archive = archive_of(tmp_path, *((f"{n}/configs/metadata.json", "{}") for n in ("one", "two")))
    assert "several models, one and two" in refusal(archive)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_with_one_name_twice(tmp_path):
    archive = archive_of(tmp_path, *(("configs/metadata.json", content) for content in ("{}", "")))
    assert "holds configs/metadata.json twice" in refusal(archive)


def test_an_archive_with_a_password(tmp_path):
    archive = archive_of(tmp_path, ("configs/metadata.json", "{}"))
    content = bytearray(archive.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    archive.write_bytes(content)
    assert "a password" in refusal(archive)


@pytest.mark.parametrize(
    "name", ["../escaped", "configs/../../escaped", "/escaped", "..\\escaped", "C:/escaped"]
)
def test_an_archive_that_reaches_outside_its_folder(tmp_path, name):
    archive = archive_of(tmp_path, ("configs/metadata.json", "{}"), (name, "x"))
    target = tmp_path / "inner" / "target"
    target.mkdir(parents=True)
    with pytest.raises(BadModelError, match="outside its own folder"):
        extract_bundle(archive, target)
    assert not list(tmp_path.rglob("escaped*"))


@pytest.mark.parametrize(
    "name",
    ["CON", "docs/NUL.txt", "docs/com1.json", "docs/ending.", "docs/blank ", "a\tb", 300 * "x"],
)
def test_an_archive_with_names_that_some_systems_cannot_keep(tmp_path, name):
    archive = archive_of(tmp_path, ("configs/metadata.json", "{}"), (name, "x"))
    assert "some systems cannot keep" in refusal(archive)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "/x", "a/b", "a\\b", "con", "NUL.txt", "x.", "x ", 300 * "x"],
)
def test_names_that_no_folder_should_have(open_bundle, name):
    metadata = open_bundle.description.path / "configs" / "metadata.json"
    edit_json(metadata, lambda content: content["factorizer"].update(name=name))
    sentence = refusal(open_bundle.description.path)
    assert "The model's name" in sentence
    assert len(sentence) < 250


def test_a_bundle_of_deeply_nested_settings(open_bundle):
    deep = 100_000 * "[" + 100_000 * "]"
    path = open_bundle.description.path / "configs" / "inference.json"
    path.write_text(f'{{"network_def": {deep}}}')
    assert "cannot be read" in refusal(open_bundle.description.path)


def test_weights_whose_header_claims_to_be_huge(open_bundle):
    open_bundle.weights[0].write_bytes((2**60).to_bytes(8, "little") + b"{}")
    assert "damaged" in refusal(open_bundle.description.path, build=True)


def test_an_archive_with_a_link(tmp_path):
    link = zipfile.ZipInfo("configs")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert "outside its own folder" in refusal(archive_of(tmp_path, (link, "/etc")))


def test_an_archive_that_unpacks_to_far_more_than_its_size(tmp_path):
    archive = archive_of(tmp_path, ("configs/metadata.json", b"\0" * 5_000_000))
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(BadModelError, match="more than a model needs"):
        extract_bundle(archive, target, max_bytes=1_000_000)
    assert sum(path.stat().st_size for path in target.rglob("*") if path.is_file()) <= 1_100_000


def test_what_was_unpacked_beyond_the_limit_is_closed_before_it_is_removed(
    tmp_path, files_in_use_stay
):
    path = archive_of(tmp_path, ("configs/metadata.json", b"\0" * 5_000_000))
    target = tmp_path / "target" / "metadata.json"
    target.parent.mkdir()
    with zipfile.ZipFile(path) as source, pytest.raises(BadModelError, match="more than a model"):
        archives._extract_file(source, source.infolist()[0], target, 1_000_000, "a.zip")
    assert files_in_use_stay == [] and not target.parent.exists()


def test_an_archive_with_a_damaged_entry(bundle, tmp_path):
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", bundle.description.path)
    with open(packed, "r+b") as file:
        file.seek(2000)
        file.write(b"\xaa" * 400)
    assert "damaged" in refusal(packed)


def test_aliases_that_would_be_billions_of_values(open_bundle):
    configs = open_bundle.description.path / "configs"
    (configs / "inference.json").unlink()
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    (configs / "inference.yaml").write_text("\n".join(lines), encoding="utf-8")
    assert "inference.yaml" in refusal(open_bundle.description.path)


def test_an_archive_with_damaged_compression(bundle, tmp_path):
    packed = tmp_path / "tiny.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny/configs/metadata.json", "hello " * 1000)
    content = bytearray(packed.read_bytes())
    start = 30 + len("tiny/configs/metadata.json")
    content[start : start + 8] = b"\xff" * 8
    packed.write_bytes(content)
    assert "damaged" in refusal(packed)


@pytest.mark.parametrize("place", [20, 60, 200])
def test_weights_whose_container_is_damaged(open_bundle, tmp_path, place):
    file = open_bundle.weights[0].with_suffix(".pt")
    torch.save(load_file(open_bundle.weights[0]), file)
    open_bundle.weights[0].unlink()
    content = bytearray(file.read_bytes())
    end = content.rfind(b"PK\x01\x02")
    content[end : end + 4] = b"\xff" * 4
    content[place : place + 4] = b"\xff" * 4
    file.write_bytes(content)
    assert "damaged" in refusal(open_bundle.description.path, build=True)
