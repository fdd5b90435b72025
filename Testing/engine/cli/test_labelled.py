"""`components --describe` and `--prove` on a small data set."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from engine import tiny
from factorizer_engine.bundles.reading.loading import load_bundle
from factorizer_engine.bundles.settings import FewerSettings
from factorizer_engine.components.goals import GOALS
from factorizer_engine.images.files import write_nifti
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.models import Subset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    """Two cases in the layout of nnU-Net, with labels for all regions of the tiny model."""
    root = tmp_path_factory.mktemp("dataset")
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir()
    for seed, name in enumerate(("first", "second")):
        scans = tiny.scans((16, 16, 16), seed=seed)
        for number, scan in enumerate(scans.values()):
            write_nifti(scan, root / "imagesTr" / f"{name}_{number:04d}.nii.gz")
        label = np.zeros((16, 16, 16), np.uint8)
        label[4:12, 4:12, 4:12], label[6:11, 6:11, 6:11], label[7:9, 7:9, 7:9] = 2, 1, 4
        write_nifti(Scan(label, scans["T1"].grid), root / "labelsTr" / f"{name}.nii.gz")
    description = {
        "channel_names": {"0": "FLAIR", "1": "T1"},
        "labels": {"background": 0, "ET": [4], "TC": [1, 4], "WT": [1, 2, 4]},
        "file_ending": ".nii.gz",
        "numTraining": 2,
    }
    (root / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
    return root


@pytest.fixture
def model(tmp_path) -> Path:
    return tiny.bundle(tmp_path).description.path


def test_components_are_described_and_kept_in_the_model(dataset, model, tmp_path, cli):
    images = dataset / "imagesTr"
    example = [
        f"--input={name}={images}/first_{n:04d}.nii.gz" for n, name in enumerate(("FLAIR", "T1"))
    ]
    out = tmp_path / "out"
    outcome = cli("components", "--describe", dataset, "-m", model, "-o", out, "--keep", *example)
    assert outcome.code == 0, outcome.errors
    assert "over 2 cases" in outcome.output
    profiles = load_bundle(model).profiles
    assert profiles is not None and profiles.cases == ("first", "second")
    assert len(profiles.components) == 16
    assert "Decoder 2, component 1" in load_bundle(model).description.card
    with (out / "components.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["meaning"] for row in rows] == [p.meaning for p in profiles.components]
    assert {"contribution to ET", "correlation with intensity T1"} <= set(rows[0])
    pictures = sorted(path.name for path in out.glob("*.svg"))
    assert len(pictures) == 5 and pictures[0] == "atlas-decoder-0-0.svg"
    assert (out / pictures[0]).read_text(encoding="utf-8").count("<image") == 4
    for name in pictures:
        kept = model / "docs" / "atlas" / name
        assert kept.read_bytes() == (out / name).read_bytes()
        assert f"(atlas/{name})" in load_bundle(model).description.card

    segmented = tmp_path / "segmented"
    outcome = cli("segment", "-m", model, "-o", segmented, *example, "--false-alarms")
    assert outcome.code == 0, outcome.errors
    with (segmented / "lesions.csv").open(encoding="utf-8-sig", newline="") as file:
        lesions = list(csv.DictReader(file))
    marks = [lesion["false_alarm"] for lesion in lesions if lesion["likeness"]]
    assert marks and all(mark in ("no", "perhaps") for mark in marks)
    assert outcome.output.count("false alarm?") == marks.count("perhaps")
    assert "cannot be told" not in outcome.output

    undescribed = tiny.bundle(tmp_path / "undescribed").description.path
    plain = tmp_path / "plain"
    outcome = cli("segment", "-m", undescribed, "-o", plain, *example, "--false-alarms")
    assert "Whether lesions may be false alarms cannot be told" in " ".join(outcome.output.split())


def test_networks_for_fewer_scans_are_described_with_studies_that_lack_some(dataset, tmp_path, cli):
    every = ("ET", "TC", "WT")
    parts = (("FLAIR", "T1"), ("FLAIR",), ("T1",))
    networks = [tiny.network()], (tiny.network(seed=1),)
    subsets = tuple(Subset(part, every) for part in parts)
    bundle = tiny.bundle(tmp_path, *networks, fewer=FewerSettings(), subsets=subsets)
    model = bundle.description.path
    out = tmp_path / "out"
    outcome = cli("components", "--describe", dataset, "-m", model, "-o", out, "--keep")
    assert outcome.code == 0, outcome.errors
    described = load_bundle(model)
    assert "configs/components-fewer.json" in described.description.card
    usual, others = described.profiles, described.fewer_profiles
    assert usual.cases == others.cases == ("first", "second")
    assert usual.components != others.components
    assert set(others.components[0].intensities) == {"FLAIR", "T1"}  # one of each case
    assert (out / "components-fewer.csv").is_file()


def test_descriptions_do_not_replace_an_explained_result(dataset, model, tmp_path, cli):
    explained = tmp_path / "out" / "components.json"
    explained.parent.mkdir()
    explained.write_text("{}")
    command = ("components", "--describe", dataset, "-m", model, "-o", explained.parent)
    outcome = cli(*command)
    assert outcome.code == 2 and "replace them with --overwrite" in outcome.errors
    assert explained.read_text() == "{}"
    assert cli(*command, "--overwrite").code == 0
    assert json.loads(explained.read_text())["cases"] == ["first", "second"]


def test_evidence_is_put_to_the_proof(dataset, model, tmp_path, cli):
    out = tmp_path / "out"
    outcome = cli(
        "components",
        "--prove",
        dataset,
        "-m",
        model,
        "-o",
        out,
        "--case",
        "first",
        "--region",
        "WT",
    )
    missed = sum("MISSED" in line for line in outcome.output.splitlines())
    assert outcome.code == (1 if missed else 0), outcome.errors
    assert (f"{missed} of {len(GOALS)} goals are missed" in outcome.output) == (missed > 0)
    (case,) = json.loads((out / "proof.json").read_text(encoding="utf-8"))["cases"]
    assert (case["case"], case["region"]) == ("first", "WT")


@pytest.mark.parametrize("kind", ["--describe", "--prove"])
def test_a_data_set_without_the_models_regions_is_refused(dataset, model, tmp_path, cli, kind):
    description = json.loads((dataset / "dataset.json").read_text(encoding="utf-8"))
    description["labels"] = {"background": 0, "lesion": [1, 2, 4]}
    other = tmp_path / "other"
    for folder in ("imagesTr", "labelsTr"):
        shutil.copytree(dataset / folder, other / folder)
    (other / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
    outcome = cli("components", kind, other, "-m", model, "-o", tmp_path / "out")
    assert outcome.code == 2
    assert outcome.sentence == "The dataset has no region ET; its regions are lesion."


@pytest.mark.parametrize(
    ("kind", "unused"),
    [
        ("--describe", ["--sweeps", "1"]),
        ("--describe", ["--lesion", "1"]),
        ("--prove", ["--quality", "fast"]),
        ("--prove", ["--input", "FLAIR=flair.nii.gz"]),
        ("--prove", ["--on", "user@host"]),
    ],
)
def test_what_would_do_nothing_with_labelled_cases_is_refused(
    dataset, model, tmp_path, cli, kind, unused
):
    outcome = cli("components", kind, dataset, "-m", model, "-o", tmp_path / "out", *unused)
    assert outcome.sentence == f"{unused[0]} does nothing with {kind}; leave it out."
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("mode", "unused"),
    [
        (("--compare", "a", "b"), "--model=tiny"),
        (("data", "--predictions", "maps"), "--device=cpu"),
        (("data", "--predictions", "maps"), "--keep"),
        (("data", "--model", "tiny", "--subsets"), "--keep"),
    ],
)
def test_what_would_do_nothing_with_an_evaluation_is_refused(cli, mode, unused):
    sentence = cli("evaluate", *mode, unused).sentence
    assert sentence.startswith(f"{unused.partition('=')[0]} does nothing with --")
