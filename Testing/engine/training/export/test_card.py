"""The card: true, and of this very model."""

from __future__ import annotations

import json

import pytest
import torch
import yaml

from engine.training.blobs import changed_copy
from factorizer_engine.cli import main
from factorizer_engine.training.bundle_section import FewerSection
from factorizer_engine.training.config import load_config
from factorizer_engine.training.evaluation.evaluation import evaluate
from factorizer_engine.training.export.card import fewer_networks
from factorizer_engine.training.export.export import export
from factorizer_engine.training.records.records import open_run
from factorizer_engine.training.run.run import train
from factorizer_engine.training.run.state import load_checkpoint


def test_the_card_tells_the_split_the_time_and_the_scores(run, tmp_path):
    card = export(run, tmp_path / "models" / "blobs").description.card
    for text in ("blob_5", "Not evaluated", "30 of 2 windows", "CC0", "AdamW", "mean Dice 0."):
        assert text in card, text
    assert "Intermediate" not in card


def test_an_exported_model_is_evaluated_and_its_card_then_says_so(run, tmp_path):
    export(run, tmp_path / "models" / "blobs")
    result = evaluate(run, run / "evaluation", model=str(tmp_path / "models" / "blobs"), keep=True)
    assert list(result["cases"]) == ["blob_5"]
    assert (run / "evaluation" / "segmentations" / "blob_5.nii.gz").is_file()
    bundle = export(run, tmp_path / "models" / "blobs", overwrite=True)
    mean = result["summary"]["whole"]["dice"]["mean"]
    assert (
        f"{mean:.3f}" in bundle.description.card and "Not evaluated" not in bundle.description.card
    )
    seconds = result["seconds"]["blob_5"]
    assert bundle.description.expected_seconds == {"cpu": pytest.approx(seconds, abs=0.06)}
    assert (
        "| Time for a case |" in bundle.description.card and "| Memory |" in bundle.description.card
    )
    metadata = json.loads((bundle.description.path / "configs" / "metadata.json").read_text())
    assert metadata["eval_metrics"]["whole_dice"] == pytest.approx(mean)


def test_robustness_of_an_exported_model_goes_into_its_card(run, tmp_path):
    export(run, tmp_path / "models" / "blobs")
    result = evaluate(
        run, run / "evaluation", model=str(tmp_path / "models" / "blobs"), robustness=True
    )
    assert result["cases"] == ["blob_5"]
    card = export(run, tmp_path / "models" / "blobs", overwrite=True).description.card
    for entry in result["perturbations"].values():
        row = next(line for line in card.splitlines() if line.startswith(f"| {entry['title']} |"))
        assert f"{entry['mean']['whole']:.3f}" in row
    assert "1 case (blob_5) that was neither trained on nor selected on, their scans" in card


def test_what_was_measured_of_another_model_is_not_in_the_card(
    run, tmp_path, settings, write_config
):
    model = str(export(run, tmp_path / "models" / "blobs").description.path)
    for robustness in (False, True):
        evaluate(run, run / "evaluation", model=model, robustness=robustness)
    assert "Not evaluated" not in export(run, model, overwrite=True).description.card
    final = load_checkpoint(run / "final.pt")
    final["network"]["stem.weight"] *= 1.1
    torch.save(final, run / "final.pt")
    settings["bundle"] = {"inference": {"threshold": 0.4}}
    other_threshold = write_config(settings, "new.yaml")
    for changes in ({"weights": "final"}, {"dtype": "float32"}, {"config": other_threshold}):
        bundle = export(run, model, overwrite=True, **changes)
        assert (
            "Not evaluated" in bundle.description.card
            and "On scans that differ" not in bundle.description.card
        )
        assert not bundle.description.expected_seconds
        metadata = json.loads((bundle.description.path / "configs" / "metadata.json").read_text())
        assert "eval_metrics" not in metadata


@pytest.mark.parametrize(("evaluated", "is_said"), [("float16", False), ("float32", True)])
def test_the_command_line_says_when_results_are_left_out(run, tmp_path, capsys, evaluated, is_said):
    model = tmp_path / "models" / "blobs"
    export(run, model, dtype=evaluated)
    evaluate(run, run / "evaluation", model=str(model))
    with pytest.raises(SystemExit):
        main(["export", str(run), "-o", str(model), "--replace"])
    assert ("are of another model" in " ".join(capsys.readouterr().out.split())) == is_said


def test_the_card_of_an_ensemble_is_about_the_ensemble(run, tmp_path):
    swapped = {"validation": ["blob_5"], "held_out": ["blob_4"]}
    other = changed_copy(run, tmp_path / "o", "split.json", lambda split: split.update(swapped))
    alone = str(export(run, tmp_path / "models" / "blobs").description.path)
    evaluate(run, run / "evaluation", model=alone, cases=["blob_4"])
    both = export([run, other], tmp_path / "models" / "both")
    assert "Not evaluated" in both.description.card, "one network was"
    assert "### Network 1" in both.description.card and "### Network 2" in both.description.card
    assert "| choice of weights and settings | blob_4, blob_5 |" in both.description.card
    assert "| held out | none |" in both.description.card
    evaluate(other, other / "evaluation", model=str(both.description.path), cases=["blob_4"])
    both = export([run, other], both.description.path, overwrite=True)
    assert "training or the choice of weights used blob_4**" in both.description.card


def test_the_card_knows_what_the_runs_before_were_trained_on(run, tmp_path, capsys):
    config = load_config(run / "config.json", output=tmp_path / "next")
    settings = config.model_dump(mode="json")
    settings["split"] = {"held_out": ["blob_1"], "validation": ["blob_2"], "file": "next.json"}
    settings["network"]["pretrained"] = str(run / "final.pt")
    settings["optimization"]["steps"] = 2
    settings["data"]["exclude"] = ["blob_3"]
    path = tmp_path / "next.yaml"
    path.write_text(yaml.safe_dump(settings))
    following = train(load_config(path))
    said = " ".join(capsys.readouterr().out.split())
    assert "validates on blob_2, but the weights that it begins with were trained on that" in said
    model = str(export(following, tmp_path / "models" / "blobs").description.path)
    evaluate(following, following / "evaluation", model=model, use="held_out")
    card = export(following, model, overwrite=True).description.card
    assert "| training | blob_0, blob_1, blob_2, blob_4, blob_5 |" in card
    assert "| held out | none |" in card
    assert "| of other data, seen by the weights that it began with | blob_3 |" in card
    assert "1 case (blob_1), **of which training or the choice of weights used blob_1**" in card
    third = load_checkpoint(following / "final.pt")["cases"]
    assert third == {"train": [f"blob_{n}" for n in range(6)], "validation": []}


def test_runs_of_earlier_versions_do_not_tell_what_was_seen_before(run, tmp_path):
    before = export(run, tmp_path / "models" / "blobs").description.card
    older = changed_copy(run, tmp_path / "o", "run.json", lambda record: record.pop("seen_before"))
    assert export(older, tmp_path / "models" / "blobs", overwrite=True).description.card == before


def test_the_card_admits_that_evaluated_cases_were_trained_on(run, tmp_path):
    model = str(export(run, tmp_path / "models" / "blobs").description.path)
    evaluate(run, run / "evaluation", model=model, cases=["blob_1", "blob_4", "blob_5"])
    card = export(run, tmp_path / "models" / "blobs", overwrite=True).description.card
    assert "of which training or the choice of weights used blob_1, blob_4**" in card
    assert "neither trained on" not in card


def test_unfinished_runs_say_so(run, tmp_path):
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "finished": False}))
    assert "Intermediate weights" in export(run, tmp_path / "models" / "blobs").description.card


def test_the_card_tells_how_probabilities_become_a_segmentation(
    run, tmp_path, settings, write_config
):
    settings["bundle"] = {
        "inference": {"threshold": 0.4, "mirror_axes": [0]},
        "postprocessing": {
            "min_volume_ml": {"core": 0.05},
            "replace_small": {"core": 0.5},
            "min_fragment_ml": 0.02,
        },
        "labels": {1: {"color": [1, 2, 3]}},
    }
    bundle = export(run, tmp_path / "models" / "blobs", config=write_config(settings, "new.yaml"))
    assert (bundle.inference.threshold, bundle.inference.mirror_axes) == (0.4, (0,))
    assert next(label for label in bundle.description.labels if label.value == 1).color == (1, 2, 3)
    for row in (
        "| from a probability of 0.4 |",
        "| averaged over copies mirrored along axes 0 |",
        "| Removed | pieces of core below 0.05 mL |",
        "| Not painted | core below 0.5 mL in all |",
        "| Joined with a neighbour | pieces of a label below 0.02 mL |",
    ):
        assert row in bundle.description.card


def test_the_card_tells_who_answers_where_sequences_are_missing(run):
    second_look = {"given": ["FLAIR", "T1ce", "T2"], "seen": ["FLAIR", "T1ce"]}
    section = FewerSection.model_validate({"own": [["FLAIR"], ["T2"]], "again": [second_look]})
    text = fewer_networks(section, [open_run(run)], "best")
    assert "The network for all sequences answers alone with FLAIR or T2." in text
    assert "With FLAIR + T1ce + T2 they look twice, then at FLAIR + T1ce alone" in text
    assert "averaged with" not in text
