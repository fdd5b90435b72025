"""The training configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from factorizer_engine.bundles.architecture import build_network
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.config import load_config
from factorizer_engine.training.run.networks import network_spec

SHIPPED = Path(__file__).parents[3] / "FactorizerSegmentation" / "Resources" / "training"

PUBLISHED_PARAMETERS = {
    "brats-paper": 5_855_241,
    "isles22-paper": 7_371_523,
    "brats23-bundle": 7_603_459,
    "isles22-bundle": 7_372_289,
}


@pytest.mark.parametrize("path", sorted(SHIPPED.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_configuration_describes_a_network(path, tmp_path, monkeypatch):
    monkeypatch.setenv("BEGUN", str(tmp_path / "best.pt"))
    config = load_config(path, data=tmp_path)
    channels, regions = config.data.channels or "1", config.data.regions or "1"  # the data may say
    spec = network_spec(config.network, len(channels), len(regions), config.window)
    with torch.device("meta"):
        network = build_network(spec)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == PUBLISHED_PARAMETERS.get(path.stem, count)


def test_an_unknown_key_is_named(settings, write_config):
    settings["optimization"]["learning_rte"] = 1
    with pytest.raises(BadInputError, match="does not know the key 'optimization.learning_rte'"):
        load_config(write_config(settings))


def test_an_unknown_key_of_what_answers_where_scans_are_missing_is_named(settings, write_config):
    settings["bundle"] = {"fewer": {"agian": []}}
    with pytest.raises(BadInputError, match="does not know the key 'bundle.fewer.agian'"):
        load_config(write_config(settings))


@pytest.mark.parametrize("name", ["../elsewhere", "a\\b", "..", "", "C:x", "aux", "T1?", "run."])
def test_a_name_is_no_path(settings, write_config, name):
    settings["name"] = name
    with pytest.raises(BadInputError, match="wrong value for 'name': it becomes the name of a f"):
        load_config(write_config(settings))


@pytest.mark.parametrize("root", [r"\\server\daten$\brats", "//server/c$/brats"])
def test_hidden_shares_of_windows_are_no_variables(settings, write_config, root):
    settings["data"]["root"] = "${SHARE}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHARE", root)
        assert str(load_config(write_config(settings)).data.root) == str(Path(root))


@pytest.mark.parametrize("root", ["$NOT_SET/brats", "${NOT_SET}", "%NOT_SET%/brats"])
def test_variables_that_are_not_set_are_told(settings, write_config, root):
    settings["data"]["root"] = root
    with pytest.raises(BadInputError, match="environment variable in data.root"):
        load_config(write_config(settings))


def test_backslashes_that_yaml_takes_for_escapes_are_explained(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text('data:\n  root: "C:\\daten\\brats"\n', encoding="utf-8")
    with pytest.raises(BadInputError, match="near line 2; write paths with / or between single"):
        load_config(path)


def test_a_missing_key_is_named(settings, write_config):
    del settings["window"]
    with pytest.raises(BadInputError, match="lacks the key 'window'"):
        load_config(write_config(settings))


def test_a_wrong_value_is_named(settings, write_config):
    settings["optimization"]["batch_size"] = 0
    with pytest.raises(BadInputError, match="wrong value for 'optimization.batch_size'"):
        load_config(write_config(settings))


def test_healing_needs_an_axis_from_side_to_side(settings, write_config):
    settings["augmentation"] = {"healed": 0.25}
    settings["preprocessing"] = {"orientation": "ASR"}
    with pytest.raises(BadInputError, match="begins with L or R, such as RAS"):
        load_config(write_config(settings))


def test_a_schedule_over_time_needs_a_budget(settings, write_config):
    settings["optimization"]["schedule"] = "time"
    with pytest.raises(BadInputError, match="schedule 'time' needs 'max_seconds'"):
        load_config(write_config(settings))


def test_broken_yaml_is_reported_with_its_line(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("name: a\nwindow: [1, 2\ndata: x\n")
    with pytest.raises(BadInputError, match="not valid YAML near line"):
        load_config(path)


def test_a_setting_that_stands_there_twice_is_named(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("base: &b {steps: 1}\noptimization:\n  <<: *b\n  steps: 4\n  steps: 9\n")
    with pytest.raises(BadInputError, match="'steps' stands there twice, also in line 5"):
        load_config(path)


def test_an_unset_environment_variable_is_named(settings, write_config, monkeypatch):
    monkeypatch.delenv("NO_SUCH_DATA", raising=False)
    settings["data"]["root"] = "${NO_SUCH_DATA}/x"
    with pytest.raises(BadInputError, match="NO_SUCH_DATA"):
        load_config(write_config(settings))


def test_relative_folders_belong_to_the_configuration(settings, write_config, tmp_path):
    settings["data"]["root"] = "blobs"
    assert Path(load_config(write_config(settings)).data.root) == tmp_path / "blobs"


def test_the_split_is_kept_beside_the_configuration(settings, write_config, tmp_path):
    settings.pop("split")
    assert Path(load_config(write_config(settings)).split.file) == tmp_path / "blobs-split.json"
    settings["split"] = {"file": "mine.json"}
    assert Path(load_config(write_config(settings)).split.file) == tmp_path / "mine.json"


def test_a_split_is_kept_beside_the_configuration_that_extends(settings, write_config, tmp_path):
    settings.pop("split")
    base = write_config(settings, "base.yaml")
    (tmp_path / "own").mkdir()
    child = write_config({"extends": "../base.yaml"}, "own/child.yaml")
    assert Path(load_config(child).split.file) == tmp_path / "own" / "blobs-split.json"
    named = write_config({"extends": "../base.yaml", "name": "mine"}, "own/named.yaml")
    assert Path(load_config(named).split.file) == tmp_path / "own" / "mine-split.json"
    assert Path(load_config(base).split.file) == tmp_path / "blobs-split.json"


def test_a_split_that_an_extended_configuration_has_already_is_shared(
    settings, write_config, tmp_path
):
    settings.pop("split")
    write_config(settings, "base.yaml")
    (tmp_path / "own").mkdir()
    child = write_config({"extends": "../base.yaml", "name": "mine"}, "own/child.yaml")
    there = tmp_path / "blobs-split.json"
    there.write_text("{}", encoding="utf-8")
    assert Path(load_config(child).split.file) == there
    own = tmp_path / "own" / "mine-split.json"
    own.write_text("{}", encoding="utf-8")
    assert Path(load_config(child).split.file) == own


@pytest.mark.parametrize("shipped", sorted(SHIPPED.rglob("*.yaml")), ids=lambda path: path.stem)
@pytest.mark.parametrize("extended", [True, False], ids=["extended", "as it is"])
def test_no_split_is_made_among_the_shipped_files(
    shipped, extended, write_config, tmp_path, monkeypatch
):
    monkeypatch.setenv("BEGUN", str(tmp_path / "best.pt"))
    monkeypatch.chdir(tmp_path)
    path = write_config({"extends": str(shipped)}) if extended else shipped
    file = Path(load_config(path, data=tmp_path).split.file)
    assert file.is_file() or file.parent == tmp_path


def test_a_configuration_extends_another_section_by_section(settings, write_config, tmp_path):
    base = write_config(settings, "base.yaml")
    (tmp_path / "other").mkdir()
    child = write_config(
        {
            "extends": "../base.yaml",
            "name": "child",
            "network": {"type": "dynunet", "arguments": {"filters": [8, 16]}},
            "optimization": {"steps": 7},
        },
        "other/child.yaml",
    )
    first, second = load_config(base), load_config(child)
    assert second.name == "child"
    assert second.network.arguments == {"filters": [8, 16]}
    assert second.optimization == first.optimization.model_copy(update={"steps": 7})
    assert second.data == first.data
    assert second.split == first.split.model_copy(update={"file": second.split.file})


def test_configurations_that_extend_each_other_are_refused(write_config):
    path = write_config({"extends": "second.yaml"}, "first.yaml")
    write_config({"extends": "first.yaml"}, "second.yaml")
    with pytest.raises(BadInputError, match=r"second\.yaml extends itself"):
        load_config(path)


def test_data_given_at_the_command_needs_no_variable(settings, write_config, tmp_path):
    settings["data"]["root"] = "${NOT_SET_ANYWHERE}"
    assert load_config(write_config(settings), data=tmp_path).data.root == str(tmp_path)


def test_weights_to_start_from_need_not_be_known_where_nothing_is_trained(settings, write_config):
    settings["network"]["pretrained"] = "${NOT_SET_ANYWHERE}"
    path = write_config(settings)
    assert load_config(path, trains=False).network.pretrained is None
    with pytest.raises(BadInputError, match="NOT_SET_ANYWHERE"):
        load_config(path)


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("run", "output", "runs/{fold}", "nothing but {name} may stand in braces"),
        ("augmentation", "gamma_range", [2.0, 0.5], "no smaller than the first"),
        ("augmentation", "smoothing_sigma", [-1.0, 0.5], "greater than or equal to 0"),
        ("optimization", "deep_supervision", [1.0, -0.5], "greater than or equal to 0"),
    ],
)
def test_values_that_would_end_a_run_later_are_refused(
    settings, write_config, section, key, value, message
):
    settings.setdefault(section, {})[key] = value
    with pytest.raises(BadInputError, match=f"{section}.{key}.*{message}"):
        load_config(write_config(settings))


def test_the_order_of_regions_and_nothing_about_folders_decides_a_run(settings, write_config):
    config = load_config(write_config(settings))
    moved = config.model_copy(
        update={
            "data": config.data.model_copy(update={"root": "elsewhere"}),
            "run": config.run.model_copy(update={"output": "elsewhere"}),
        }
    )
    assert config.differences(moved) == []
    swapped = dict(reversed(config.data.regions.items()))
    swapped = config.model_copy(
        update={"data": config.data.model_copy(update={"regions": swapped})}
    )
    assert config.differences(swapped) == ["data.regions"]
