"""What the models had seen that a run goes on from, or refines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from factorizer_engine.bundles.reading.loading import load_bundle
from factorizer_engine.bundles.seen import seen_cases
from factorizer_engine.training.config import load_config
from factorizer_engine.training.evaluation.evaluation import evaluate
from factorizer_engine.training.export.export import export
from factorizer_engine.training.run.run import train

RESOURCES = Path(__file__).resolve().parents[4] / "FactorizerSegmentation" / "Resources"


@pytest.fixture
def model(run, tmp_path):
    """A model that was trained on blob_0 to blob_3, and chosen by blob_4."""
    return export(run, tmp_path / "models" / "first").description.path


@pytest.fixture
def settings(run, tmp_path):
    """Those of another run of the same data, which holds out what the model was trained on."""
    config = load_config(run / "config.json", output=tmp_path / "next")
    settings = config.model_dump(mode="json")
    settings["split"] = {
        "held_out": ["blob_1"],
        "validation": ["blob_2"],
        "file": str(tmp_path / "next.json"),
    }
    settings["optimization"]["steps"] = 1
    return settings


def forget_cases(model: Path) -> None:
    """Make the model one that does not tell what it has seen, as published ones are."""
    path = model / "configs" / "metadata.json"
    content = json.loads(path.read_text())
    content.pop("seen_cases", None)
    path.write_text(json.dumps(content))
    (model / "SHA256SUMS").unlink()


def exported_with_scores(run, path, **options):
    """The model of a run with what was measured of it."""
    export(run, path, overwrite=True, **options)
    for subsets in (False, True):
        evaluate(run, run / "evaluation", model=str(path), subsets=subsets)
    return export(run, path, overwrite=True, **options).description


def test_a_run_knows_what_its_model_was_trained_on(model, settings, write_config, tmp_path, capsys):
    settings["network"] = {"model": str(model)}
    following = train(load_config(write_config(settings)))
    said = " ".join(capsys.readouterr().out.split())
    assert "validates on blob_2, but the weights that it begins with were trained on that" in said
    made = exported_with_scores(following, tmp_path / "models" / "second")
    assert (
        "1 case (blob_1), **of which training or the choice of weights used blob_1**" in made.card
    )
    assert "neither trained on" not in made.card and not made.subsets[0].unseen
    content = json.loads((made.path / "configs" / "metadata.json").read_text())
    assert content["seen_cases"]["train"] == [f"blob_{n}" for n in range(6)]


def test_a_first_stage_counts_too(model, settings, write_config, tmp_path):
    other = train(load_config(write_config(settings)))
    made = exported_with_scores(other, tmp_path / "models" / "fine", coarse=model)
    assert (
        "1 case (blob_1), **of which training or the choice of weights used blob_1**" in made.card
    )
    assert not made.subsets[0].unseen


@pytest.mark.parametrize("stage", ["model", "coarse"])
def test_where_a_model_does_not_tell_the_card_does_not_claim(
    model, settings, write_config, tmp_path, stage
):
    forget_cases(model)
    if stage == "model":
        settings["network"] = {"model": str(model)}
    run = train(load_config(write_config(settings)))
    options = {"coarse": model} if stage == "coarse" else {}
    made = exported_with_scores(run, tmp_path / "models" / "made", **options)
    assert (
        "1 case (blob_1) that was neither trained on nor selected on here; whether first 1.2.0 "
        "had seen it, its own card tells" in made.card
    )
    assert not made.subsets[0].unseen


def test_what_is_not_told_is_not_forgotten_by_the_model_after(
    model, settings, write_config, tmp_path
):
    forget_cases(model)
    settings["network"] = {"model": str(model)}
    second = train(load_config(write_config(settings)))
    settings["network"] = {"model": str(export(second, tmp_path / "second").description.path)}
    settings["run"]["output"] = str(tmp_path / "third")
    settings["split"]["held_out"], settings["split"]["file"] = ["blob_1"], str(tmp_path / "3.json")
    third = train(load_config(write_config(settings)))
    made = exported_with_scores(third, tmp_path / "made")
    assert "selected on here; whether first 1.2.0 had seen it, its own card tells" in made.card


@pytest.mark.parametrize(
    ("model", "split"),
    [
        ("any-lesion", "any-lesion"),
        ("glioma-fast", "glioma-fast"),
        ("glioma-fine", "glioma-fast"),
        ("glioma-fine/coarse", "glioma-fast"),
    ],
)
def test_bundled_models_tell_what_they_have_seen(model, split):
    seen = seen_cases(load_bundle(RESOURCES / "models" / model))
    assert seen.train and seen.validation and not seen.untold_by
    held_out = json.loads((RESOURCES / "training" / f"{split}-split.json").read_text())["held_out"]
    assert not {*held_out} & {*seen.train, *seen.validation}
