from __future__ import annotations

import json
from pathlib import Path

from factorizer_engine.protocol.description import installed_models


def write(folder: Path, metadata: object) -> None:
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")


def typed(name: str, title: str, **more) -> dict:
    """Metadata as this project writes it."""
    section = {
        "name": name,
        "family": "glioma",
        "title": title,
        "channels": [{"name": "FLAIR", "aliases": ["t2f"]}, {"name": "T1", "aliases": []}],
        "regions": [{"name": "WT", "label": 2, "title": "Whole tumour"}],
        "labels": [{"value": 2, "name": "Oedema", "color": [90, 180, 90]}],
        **more,
    }
    return {"version": "0.2.0", "description": "Finds it.", "factorizer": section}


def test_a_model_is_described_without_opening_its_weights(tmp_path):
    write(tmp_path / "a", typed("glioma-fast", "Glioma, fast", expected_seconds={"cpu": 40.0}))

    (model,) = installed_models([tmp_path])

    assert (model.name, model.title, model.version) == ("glioma-fast", "Glioma, fast", "0.2.0")
    assert [(c.name, c.aliases) for c in model.channels] == [("FLAIR", ("t2f",)), ("T1", ())]
    assert [(r.name, r.label, r.title) for r in model.regions] == [("WT", 2, "Whole tumour")]
    assert model.expected_seconds == {"cpu": 40.0}
    assert model.path == tmp_path / "a"


def test_a_bundle_with_monais_metadata_only_is_listed_too(tmp_path):
    named = {
        "inputs": {"image": {"channel_def": {"1": "ADC", "0": "DWI"}}},
        "outputs": {"pred": {"channel_def": {"0": "Stroke lesion"}}},
    }
    write(tmp_path / "isles22", {"name": "Stroke", "network_data_format": named})

    (model,) = installed_models([tmp_path])

    assert (model.name, model.title) == ("isles22", "Stroke")
    assert [channel.name for channel in model.channels] == ["DWI", "ADC"]
    assert (model.family, model.regions[0].name) == ("stroke", "lesion")


def test_models_that_only_answer_clicks_come_last(tmp_path):
    write(tmp_path / "a", typed("any", "Any lesion", by_clicks=True))
    write(tmp_path / "b", typed("glioma", "Glioma"))

    assert [model.name for model in installed_models([tmp_path])] == ["glioma", "any"]


def test_the_first_folder_wins_where_names_are_equal(tmp_path):
    write(tmp_path / "mine" / "x", typed("glioma-fast", "Mine"))
    write(tmp_path / "shipped" / "y", typed("glioma-fast", "Shipped"))

    models = installed_models([tmp_path / "mine", tmp_path / "shipped"])

    assert [model.title for model in models] == ["Mine"]


def test_broken_models_and_missing_folders_are_passed_over(tmp_path):
    write(tmp_path / "good", typed("good", "Good"))
    write(tmp_path / "empty", {})
    write(tmp_path / "list", [])
    write(tmp_path / "no-json", "")
    (tmp_path / "no-json" / "configs" / "metadata.json").write_text("{")

    models = installed_models([tmp_path, tmp_path / "nowhere"])

    assert [model.title for model in models] == ["Good"]
