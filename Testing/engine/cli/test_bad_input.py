"""Bad input: one plain sentence, exit code 2, and nothing of the user's is lost."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch

from factorizer_engine.protocol import files

SHAPE = (20, 18, 16)


@dataclass
class Case:
    """A run that would succeed, for a function to spoil."""

    scans: dict[str, Path]
    model: Path
    output: Path
    folder: Path
    options: list[str] = field(default_factory=list)

    @property
    def first(self) -> Path:
        return next(iter(self.scans.values()))

    def replace_first(self, array: np.ndarray, affine: np.ndarray | None = None) -> None:
        image = nib.load(self.first)
        affine = image.affine if affine is None else affine
        nib.save(nib.Nifti1Image(array, affine), self.first)

    def voxels(self) -> np.ndarray:
        return np.asarray(nib.load(self.first).dataobj).astype(np.float32)


def leave_out_a_channel(case: Case) -> None:
    del case.scans["T1"]


def give_a_channel_the_model_does_not_have(case: Case) -> None:
    case.scans["T2"] = case.scans["T1"]


def move_a_channel_away(case: Case) -> None:
    image = nib.load(case.scans["T1"])
    affine = image.affine.copy()
    affine[:3, 3] += 500
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine), case.scans["T1"])


def stack_volumes(case: Case) -> None:
    case.replace_first(np.stack([case.voxels()] * 3, axis=-1))


def colour_nifti(case: Case) -> None:
    rgb = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    case.replace_first(rgb)


def colour_nrrd(case: Case) -> None:
    path = case.folder / "flair.nrrd"
    image = sitk.GetImageFromArray(np.zeros((*SHAPE, 3), np.uint8), isVector=True)
    sitk.WriteImage(image, str(path))
    case.scans["FLAIR"] = path


def put_a_nan(case: Case) -> None:
    voxels = case.voxels()
    voxels[5, 5, 5] = np.nan
    case.replace_first(voxels)


def put_an_infinity(case: Case) -> None:
    voxels = case.voxels()
    voxels[5, 5, 5] = -np.inf
    case.replace_first(voxels)


def make_constant(case: Case) -> None:
    case.replace_first(np.full(SHAPE, 7, np.int16))


def make_empty(case: Case) -> None:
    case.first.write_bytes(b"")


def truncate(case: Case) -> None:
    content = case.first.read_bytes()
    case.first.write_bytes(content[: len(content) // 2])


def put_text(case: Case) -> None:
    case.first.write_text("This is not a scan.")


def put_a_picture(case: Case) -> None:
    case.first.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))


def give_a_picture(case: Case) -> None:
    case.scans["FLAIR"] = case.folder / "flair.png"
    case.scans["FLAIR"].write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))


def give_a_missing_file(case: Case) -> None:
    case.scans["FLAIR"] = case.folder / "nowhere.nii.gz"


def keep_one_slice(case: Case) -> None:
    case.replace_first(case.voxels()[:, :, :1])


def flatten_voxels(case: Case) -> None:
    header = bytearray(gzip.decompress(case.first.read_bytes()))
    header[80:92] = np.zeros(3, "<f4").tobytes()  # pixdim[1:4]
    header[252:256] = np.array([1, 0], "<i2").tobytes()  # qform on, sform off
    case.first.write_bytes(gzip.compress(bytes(header)))


def claim_a_huge_volume(case: Case) -> None:
    header = nib.Nifti1Header()
    header.set_data_dtype(np.float32)
    header.set_data_shape((1024, 1024, 1024))
    header.set_sform(np.eye(4), code=1)
    case.first.write_bytes(gzip.compress(header.binaryblock + bytes(4)))


def remove_weights(case: Case) -> None:
    shutil.rmtree(case.model / "models")
    (case.model / "SHA256SUMS").unlink()


def edit_network(case: Case, **arguments: object) -> None:
    path = case.model / "configs" / "inference.json"
    config = json.loads(path.read_text())
    config["network_def"].update(arguments)
    path.write_text(json.dumps(config))
    (case.model / "SHA256SUMS").unlink()


def widen_network(case: Case) -> None:
    edit_network(case, encoder_width=[8, 16, 24])


def ask_for_another_network(case: Case) -> None:
    edit_network(case, _target_="somewhere.else.Network")


def add_a_network_channel(case: Case) -> None:
    edit_network(case, in_channels=3)


def write_an_expression(case: Case) -> None:
    marker = case.folder / "executed"
    edit_network(case, act=f"$__import__('pathlib').Path({str(marker)!r}).touch()")


class Poison:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def poison_weights(case: Case) -> None:
    (case.model / "SHA256SUMS").unlink()
    (case.model / "models" / "model.safetensors").unlink()
    weights = {"stem.weight": torch.zeros(1), "extra": Poison(case.folder / "executed")}
    torch.save(weights, case.model / "models" / "model.pt")


def poison_a_plain_pickle(case: Case) -> None:
    (case.model / "SHA256SUMS").unlink()
    (case.model / "models" / "model.safetensors").unlink()
    content = pickle.dumps(Poison(case.folder / "executed"))
    (case.model / "models" / "model.pt").write_bytes(content)


def damage_weights(case: Case) -> None:
    weights = case.model / "models" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 255
    weights.write_bytes(content)


def name_a_missing_model(case: Case) -> None:
    case.model = case.folder / "no-such-model"


def put_output_below_a_file(case: Case) -> None:
    obstacle = case.folder / "a-file"
    obstacle.write_text("precious")
    case.output = obstacle / "out"


def ask_for_an_unknown_device(case: Case) -> None:
    case.options += ["--device", "quantum"]


def ask_for_a_missing_device(case: Case) -> None:
    case.options += ["--device", "cuda:63"]


def ask_for_an_unknown_precision(case: Case) -> None:
    case.options += ["--precision", "float8"]


def ask_for_too_much_overlap(case: Case) -> None:
    case.options += ["--overlap", "1.5"]


def name_an_unknown_reference(case: Case) -> None:
    case.options += ["--reference", "DWI"]


def give_one_scan_twice(case: Case) -> None:
    case.scans["T1"] = case.scans["FLAIR"]


SPOILED = {
    leave_out_a_channel: "T1",
    give_a_channel_the_model_does_not_have: "T2",
    move_a_channel_away: "overlap",
    stack_volumes: "several volumes",
    colour_nifti: "colours",
    colour_nrrd: "colours",
    put_a_nan: "finite",
    put_an_infinity: "finite",
    make_constant: "same value",
    make_empty: "empty",
    truncate: "damaged",
    put_text: "text",
    put_a_picture: "picture",
    give_a_picture: "picture",
    give_a_missing_file: "nowhere.nii.gz",
    keep_one_slice: "single slice",
    flatten_voxels: "voxel size of zero",
    claim_a_huge_volume: "too large",
    remove_weights: "weights",
    widen_network: "tiny|network|weights",
    ask_for_another_network: "network",
    add_a_network_channel: "3",
    write_an_expression: "expression|not allowed|allow",
    poison_weights: "model.pt",
    poison_a_plain_pickle: "model.pt",
    damage_weights: "damaged",
    name_a_missing_model: "no-such-model",
    put_output_below_a_file: "output folder",
    ask_for_an_unknown_device: "quantum",
    ask_for_a_missing_device: "cuda:63",
    ask_for_an_unknown_precision: "float8",
    ask_for_too_much_overlap: "overlap",
    name_an_unknown_reference: "DWI",
    give_one_scan_twice: "same",
}


@pytest.fixture
def case(tmp_path, scans, tiny_bundle) -> Case:
    model = tmp_path / "tiny"
    shutil.copytree(tiny_bundle, model)
    output = tmp_path / "out"
    output.mkdir()
    (output / "segmentation.nii.gz").write_text("an earlier result")
    return Case(scans, model, output, tmp_path)


def checksums(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def command(case: Case, name: str = "segment") -> list[object]:
    inputs = [part for n, p in case.scans.items() for part in ("--input", f"{n}={p}")]
    return [
        name,
        "--model",
        case.model,
        *inputs,
        "--output",
        case.output,
        "--overwrite",
        *case.options,
    ]


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__)
def test_the_command_line_says_what_is_wrong_in_one_sentence(
    case: Case, cli: Callable, spoil: Callable[[Case], None]
):
    spoil(case)
    before = checksums(case.folder)
    outcome = cli(*command(case))
    assert outcome.code == 2
    assert_plain(outcome.sentence)
    assert any(word in outcome.sentence for word in SPOILED[spoil].split("|")), outcome.sentence
    assert checksums(case.folder) == before


@pytest.mark.parametrize("spoil", [leave_out_a_channel, put_output_below_a_file])
def test_components_refuses_the_same_things(case: Case, cli: Callable, spoil: Callable):
    spoil(case)
    outcome = cli(*command(case, "components"))
    assert outcome.code == 2
    assert_plain(outcome.sentence)


def test_a_full_disk_is_noticed_before_the_computation(case: Case, cli: Callable, monkeypatch):
    usage = shutil.disk_usage(case.output)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _path: usage._replace(free=100))
    outcome = cli(*command(case))
    assert outcome.code == 2
    assert_plain(outcome.sentence)
    assert "free space" in outcome.sentence


@pytest.mark.skipif(sys.platform == "win32", reason="needs ulimit")
def test_a_disk_that_fills_up_while_writing_loses_nothing(case: Case, environment):
    before = checksums(case.folder)
    limited = ["bash", "-c", 'ulimit -f 4; exec "$@"', "limited", sys.executable, "-m"]
    done = subprocess.run(
        [*limited, "factorizer_engine.cli", *map(str, command(case))],
        env={**os.environ, **environment, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "no space left" in done.stderr
    sentence = done.stderr.strip().removeprefix("factorizer: ")
    assert_plain(re.sub(r"/factorizer-\w+/", "/", sentence))  # a random name, "0x" at times
    assert checksums(case.folder) == before


def assert_plain(sentence: str) -> None:
    """One line, one sentence, nothing of a program in it."""
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert ". " not in sentence.replace("e.g. ", "")
    for word in ("Traceback", "Error", "Exception", "errno", "0x", "None", "np.", "torch."):
        assert word not in sentence, sentence
