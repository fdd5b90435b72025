"""From a run to a bundle that segments."""

from __future__ import annotations

import json

import pytest
import torch
from monai.bundle import ConfigWorkflow

from engine.training.blobs import changed_copy
from factorizer_engine.bundles.architecture import build_networks
from factorizer_engine.bundles.profiles import keep_profiles
from factorizer_engine.bundles.reading.checksums import fingerprint
from factorizer_engine.bundles.reading.loading import load_bundle
from factorizer_engine.bundles.settings import CascadeSettings, FewerSettings
from factorizer_engine.cli import main
from factorizer_engine.protocol.components import Term
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.models import Expectations
from factorizer_engine.protocol.profiles import Profile, Profiles
from factorizer_engine.training.evaluation.evaluation import evaluate
from factorizer_engine.training.export.export import export
from factorizer_engine.training.run.state import load_checkpoint


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


def test_texts_may_come_from_another_configuration(run, tmp_path, settings, write_config):
    changes = {"1.0.0": "first version", "2.0.0": "a better title"}
    settings["bundle"] = {"title": "Better title", "version": "2.0.0", "changelog": changes}
    settings["data"]["root"] = "${NOT_SET_HERE}"
    bundle = export(run, tmp_path / "models" / "blobs", config=write_config(settings, "new.yaml"))
    assert (bundle.description.title, bundle.description.version) == ("Better title", "2.0.0")
    assert bundle.description.card.startswith("# Better title")
    metadata = json.loads((bundle.description.path / "configs" / "metadata.json").read_text())
    assert metadata["changelog"] == changes


def test_a_model_says_what_scans_it_was_made_for(run, tmp_path, settings, write_config):
    settings["bundle"] = {"expects": {"modality": "MR", "anatomy": "brain", "skull": "stripped"}}
    bundle = export(run, tmp_path / "models" / "blobs", config=write_config(settings, "new.yaml"))
    assert load_bundle(bundle.description.path).description.expects == Expectations(
        "MR", "brain", "stripped"
    )
    settings["bundle"]["expects"]["skull"] = "off"
    with pytest.raises(BadInputError, match=r"bundle.expects.skull.*'stripped' or 'present'"):
        export(run, tmp_path / "other", config=write_config(settings, "new.yaml"))


def test_texts_of_another_model_are_refused(run, tmp_path, settings, write_config):
    settings["bundle"] = {"postprocessing": {"min_volume_ml": {"WT": 1}}}
    path = write_config(settings, "new.yaml")
    with pytest.raises(
        BadInputError, match="min_volume_ml names WT, but the data have core, whole"
    ):
        export(run, tmp_path / "models" / "blobs", config=path)
    assert not (tmp_path / "models").exists()


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
    other = changed_copy(run, tmp_path / "other", "config.json", lambda config: None)
    bundle = export([run, other], tmp_path / "models" / "blobs")
    assert len(build_networks(bundle)) == 2
    assert "ensemble of 2 networks" in bundle.description.card


def test_a_run_counts_once_in_an_ensemble(run, tmp_path):
    with pytest.raises(BadInputError, match="run is named twice; name every run once"):
        export([run, run.parent / "run"], tmp_path / "models" / "blobs")


def test_runs_of_an_ensemble_may_have_begun_with_other_weights(run, tmp_path):
    other = changed_copy(
        run,
        tmp_path / "other",
        "config.json",
        lambda config: config["network"].update(pretrained=str(run / "best.pt")),
    )
    assert len(export([run, other], tmp_path / "models" / "blobs").weights) == 2


def test_networks_for_fewer_scans_come_from_runs_of_their_own(run, tmp_path, capsys):
    def both_with_a(config):
        config["bundle"]["fewer"] = {"both": [["A"]]}

    own = changed_copy(run, tmp_path / "own", "config.json", both_with_a)
    path = tmp_path / "models" / "blobs"
    with pytest.raises(SystemExit) as end:
        main(["export", str(own), "-o", str(path), "--fewer", str(run)])
    assert not end.value.code
    bundle = load_bundle(path)
    assert bundle.fewer == FewerSettings(both=(("A",),))
    assert [len(bundle.answering(part).weights) for part in (("A", "B"), ("A",), ("B",))] == [
        1,
        2,
        1,
    ]
    assert "for fewer scans" in capsys.readouterr().out


@pytest.mark.parametrize("part", ["channels", "regions"])
def test_runs_with_inputs_or_outputs_in_another_order_form_no_ensemble(run, tmp_path, part):
    def reverse(record):
        values = record[part]
        is_list = isinstance(values, list)
        record[part] = values[::-1] if is_list else dict(reversed(values.items()))

    other = changed_copy(run, tmp_path / "other", "run.json", reverse)
    with pytest.raises(BadInputError, match="cannot form one model"):
        export([run, other], tmp_path / "models" / "blobs")


def test_a_run_may_refine_another_model(run, tmp_path, settings, write_config, capsys):
    coarse = export(run, tmp_path / "coarse")
    settings["bundle"] = {"cascade": {"share": 0.3, "share_with_fewer": 0.2}}
    config = write_config(settings, "new.yaml")
    path = tmp_path / "fine"
    command = ["export", str(run), "-o", str(path), "--config", str(config)]
    with pytest.raises(SystemExit) as end:
        main([*command, "--coarse", str(coarse.description.path)])
    assert end.value.code == 0
    assert "First stage" in capsys.readouterr().out
    fine = load_bundle(path)
    assert fine.cascade == CascadeSettings(share=0.3, share_with_fewer=0.2)
    assert "| First stage | coarse 1.2.0 |" in fine.description.card
    assert "| Share of this stage there | 0.3 of the averaged logits |" in fine.description.card
    assert "other networks for fewer sequences | 0.2 |" in fine.description.card
    assert fingerprint(fine.coarse) == fingerprint(coarse) != fingerprint(fine)


def test_a_run_refines_another_model_whatever_was_measured_before(run, tmp_path):
    """What its own model does with fewer channels does not bind the cascade."""
    coarse = export(run, tmp_path / "coarse").description.path
    fine = tmp_path / "fine"
    for model, told in ((coarse, 0), (fine, 1)):
        evaluate(run, run / "evaluation", str(model), use="validation", subsets=True)
        bundle = export(run, fine, coarse=coarse, overwrite=True)
        assert len(bundle.description.subsets) == told  # with all channels


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(BadInputError, match="holds no training run"):
        export(tmp_path, tmp_path / "models" / "blobs")


def test_a_model_there_is_kept_unless_it_may_be_replaced(run, tmp_path):
    export(run, tmp_path / "blobs")
    with pytest.raises(BadInputError, match=r"or replace the model there \(--replace\)"):
        export(run, tmp_path / "blobs")


@pytest.mark.parametrize("command", [["inspect"], ["models", "install"], ["models", "import"]])
def test_a_run_is_told_from_a_model(run, capsys, command):
    with pytest.raises(SystemExit) as end:
        main([*command, str(run)])
    assert end.value.code == 2
    assert "make a model of it by 'factorizer export" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("place", ["best.pt", ".."])
def test_weights_of_a_run_are_not_imported_with_settings_that_were_guessed(run, capsys, place):
    with pytest.raises(SystemExit) as end:
        main(["models", "import", str(run / place), "--channel", "A", "--channel", "B"])
    assert end.value.code == 2
    assert "make a model of it by 'factorizer export" in " ".join(capsys.readouterr().err.split())


def test_what_is_said_of_components_stays_with_the_same_model(
    run, tmp_path, settings, write_config
):
    profiles = Profiles(("a",), (Profile(Term(0, "encoder.0.0", 0, 0), "Bright on A"),))
    path = tmp_path / "models" / "blobs"
    keep_profiles(export(run, path), profiles, "A table.", atlas={"atlas.svg": "<svg/>"})
    again = export(run, path, overwrite=True)
    assert again.profiles == profiles and again.description.card.endswith("\n\nA table.\n")
    assert (path / "docs" / "atlas" / "atlas.svg").read_text() == "<svg/>"
    assert load_bundle(path).description.card.count("A table.") == 1
    settings["bundle"] = {"inference": {"threshold": 0.4}}
    other = export(run, path, config=write_config(settings, "new.yaml"), overwrite=True)
    assert other.profiles is None


def test_the_best_weights_of_a_network_that_works_by_clicks_alone_are_unknown(run, tmp_path):
    def change(config):
        config["interaction"] |= {"clicks": 1, "plain": 0.0}
        config["preprocessing"]["spacing"] = [2.0, 2.0, 2.0]

    clicked = changed_copy(run, tmp_path / "clicked", "config.json", change)
    with pytest.raises(BadInputError, match=r"take the last ones \(--weights final\)"):
        export(clicked, tmp_path / "models" / "blobs")
