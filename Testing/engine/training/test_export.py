"""From a run to a bundle that segments, with a true card."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from monai.bundle import ConfigWorkflow

from engine.training.blobs import make_dataset, quick_settings
from factorizer_engine.bundles.architecture import build_networks
from factorizer_engine.bundles.reading.loading import load_bundle
from factorizer_engine.cli import main
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.config import load_config
from factorizer_engine.training.description import regions_and_labels
from factorizer_engine.training.evaluation.evaluation import evaluate
from factorizer_engine.training.export.export import export
from factorizer_engine.training.records.records import open_run
from factorizer_engine.training.run.run import train
from factorizer_engine.training.run.state import load_checkpoint


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "blobs"
    make_dataset(root)
    settings = quick_settings(root)
    settings["optimization"] |= {"steps": 30, "batch_size": 2}
    settings["bundle"] = {"title": "Blobs", "version": "1.2.0", "licence": "CC0"}
    path = root.parent / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    return train(load_config(path))


@pytest.fixture
def run(finished_run, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(finished_run, tmp_path / "run")


def changed_copy(run, folder, file, change):
    """A copy of a run in which one of its JSON files was changed."""
    shutil.copytree(run, folder)
    content = json.loads((folder / file).read_text())
    change(content)
    (folder / file).write_text(json.dumps(content))
    return folder


def test_a_run_becomes_a_bundle_that_predicts_the_same(run, tmp_path):
    bundle = load_bundle(export(run, tmp_path / "models" / "blobs").description.path)
    assert (bundle.description.name, bundle.description.version, bundle.description.title) == (
        "blobs",
        "1.2.0",
        "Blobs",
    )
    assert [c.name for c in bundle.description.channels] == ["A", "B"]
    network = build_networks(bundle)[0]
    weights = load_checkpoint(run / "best.pt")["network"]
    for key, value in network.state_dict().items():
        assert torch.allclose(value, weights[key], atol=1e-3, rtol=1e-3), key


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


def test_texts_may_come_from_another_configuration(run, tmp_path, settings, write_config):
    changes = {"1.0.0": "first version", "2.0.0": "a better title"}
    settings["bundle"] = {"title": "Better title", "version": "2.0.0", "changelog": changes}
    settings["data"]["root"] = "${NOT_SET_HERE}"
    bundle = export(run, tmp_path / "models" / "blobs", config=write_config(settings, "new.yaml"))
    assert (bundle.description.title, bundle.description.version) == ("Better title", "2.0.0")
    assert bundle.description.card.startswith("# Better title")
    metadata = json.loads((bundle.description.path / "configs" / "metadata.json").read_text())
    assert metadata["changelog"] == changes


def test_texts_of_another_model_are_refused(run, tmp_path, settings, write_config):
    settings["bundle"] = {"postprocessing": {"min_volume_ml": {"WT": 1}}}
    path = write_config(settings, "new.yaml")
    with pytest.raises(
        BadInputError, match="min_volume_ml names WT, but the data have core, whole"
    ):
        export(run, tmp_path / "models" / "blobs", config=path)
    assert not (tmp_path / "models").exists()


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


def test_the_command_line_takes_the_wanted_weights_and_texts(
    run, tmp_path, settings, write_config, capsys
):
    settings["bundle"] = {"title": "Better title"}
    path = tmp_path / "models" / "blobs"
    command = ["export", str(run), "-o", str(path), "--weights", "final"]
    with pytest.raises(SystemExit) as end:
        main([*command, "--config", str(write_config(settings, "new.yaml"))])
    assert not end.value.code
    bundle = load_bundle(path)
    assert bundle.description.title == "Better title" and "last step" in bundle.description.card
    weights = load_checkpoint(run / "final.pt")["network"]
    stored = build_networks(bundle)[0].state_dict()
    assert torch.allclose(stored["stem.weight"], weights["stem.weight"], atol=1e-3)


def test_monai_opens_the_exported_model_and_predicts_the_same(run, tmp_path):
    bundle = export(run, tmp_path / "models" / "blobs")
    workflow = ConfigWorkflow(
        config_file=str(bundle.description.path / "configs" / "inference.json"),
        meta_file=str(bundle.description.path / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="infer",
        bundle_root=str(bundle.description.path),
        device="cpu",
    )
    workflow.initialize()
    network = workflow.network_def.eval()
    network.load_state_dict(workflow.parser.get_parsed_content("state_dicts")[0])
    image = torch.rand(1, 2, 24, 16, 16)
    with torch.no_grad():
        found = workflow.inferer(image, network)
        own = workflow.inferer(image, build_networks(bundle)[0])
    assert found.shape == (1, 2, 24, 16, 16) and torch.equal(found, own)
    assert workflow.version == bundle.description.version


def test_several_runs_become_an_ensemble(run, tmp_path):
    bundle = export([run, run], tmp_path / "models" / "blobs")
    assert len(build_networks(bundle)) == 2
    assert "ensemble of 2 networks" in bundle.description.card


def test_runs_of_an_ensemble_may_have_begun_with_other_weights(run, tmp_path):
    other = changed_copy(
        run,
        tmp_path / "other",
        "config.json",
        lambda config: config["network"].update(pretrained=str(run / "best.pt")),
    )
    assert len(export([run, other], tmp_path / "models" / "blobs").weights) == 2


@pytest.mark.parametrize("part", ["channels", "regions"])
def test_runs_with_inputs_or_outputs_in_another_order_form_no_ensemble(run, tmp_path, part):
    def reverse(record):
        values = record[part]
        is_list = isinstance(values, list)
        record[part] = values[::-1] if is_list else dict(reversed(values.items()))

    other = changed_copy(run, tmp_path / "other", "run.json", reverse)
    with pytest.raises(BadInputError, match="cannot form one model"):
        export([run, other], tmp_path / "models" / "blobs")


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(BadInputError, match="holds no training run"):
        export(tmp_path, tmp_path / "models" / "blobs")


def test_the_report_shows_curves_of_the_run(run):
    page = (run / "report.html").read_text()
    assert page.count("<polyline") >= 5
    assert "blob_4" in page
    assert open_run(run).best_validation["dice"] > 0


def test_painting_the_regions_gives_the_training_labels_back():
    label = np.array([0, 1, 2, 4])
    unions = {"ET": (4,), "TC": (1, 4), "WT": (1, 2, 4)}
    regions, labels = regions_and_labels(unions, {"core": 1, "oedema": 2, "enhancing": 4}, {}, {})
    painted = np.zeros_like(label)
    for region in sorted(regions, key=lambda r: r.order):
        painted[np.isin(label, unions[region.name])] = region.label
    assert painted.tolist() == label.tolist()
    assert [(entry.value, entry.name) for entry in labels] == [
        (1, "Core"),
        (2, "Oedema"),
        (4, "Enhancing"),
    ]


@pytest.mark.parametrize(
    ("unions", "orders"),
    [
        ({"ET": (4,), "TC": (1, 4), "WT": (1, 2, 4)}, [2, 1, 0]),
        ({"head": (1,), "tail": (2,)}, [0, 0]),
        ({"left": (1,), "right": (2,), "all": (1, 2, 3)}, [1, 1, 0]),
        ({"a": (1, 2, 3), "b": (3, 4), "c": (4, 5), "d": (6,)}, [0, 1, 2, 0]),
    ],
)
def test_only_regions_without_a_common_value_exclude_each_other(unions, orders):
    regions, _ = regions_and_labels(unions, {}, {}, {})
    assert [region.order for region in regions] == orders


def test_a_region_without_a_value_of_its_own_cannot_be_painted():
    with pytest.raises(BadInputError, match="region all has no label value"):
        regions_and_labels({"a": (1,), "b": (2,), "all": (1, 2)}, {}, {}, {})
