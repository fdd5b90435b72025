"""Data that lie elsewhere, or have changed, since a run was made."""

from __future__ import annotations

import json

import pytest

from engine.training.blobs import changed_copy
from factorizer_engine.cli import main
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.config import load_config
from factorizer_engine.training.evaluation.evaluation import evaluate
from factorizer_engine.training.export.export import export
from factorizer_engine.training.run.run import train


@pytest.fixture
def moved(run, dataset_dir, tmp_path):
    """A run whose data are no longer where they were."""

    def change(config):
        config["data"]["root"] = str(tmp_path / "unplugged")

    return changed_copy(run, tmp_path / "moved", "config.json", change)


def test_a_run_is_evaluated_on_data_that_were_moved(moved, dataset_dir, tmp_path, capsys):
    model = str(export(moved, tmp_path / "models" / "blobs").description.path)
    with pytest.raises(BadInputError, match=r"no longer in .*unplugged; say where .*--data"):
        evaluate(moved, tmp_path / "out", model=model)
    command = ["evaluate", str(moved), "--model", model, "-o", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as end:
        main([*command, "--data", str(dataset_dir)])
    assert end.value.code == 0
    assert list(json.loads((tmp_path / "out" / "metrics.json").read_text())["cases"]) == ["blob_5"]


def test_a_folder_of_data_has_no_other_place(dataset_dir, predictions, tmp_path):
    with pytest.raises(BadInputError, match="is a folder of data itself"):
        evaluate(dataset_dir, tmp_path, predictions=predictions, root=tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("channel_names", {"0": "B", "1": "A"}, "channels"),
        ("labels", {"background": 0, "core": 2, "whole": [1, 2]}, "regions"),
    ],
)
def test_a_run_is_not_resumed_when_the_data_mean_something_else(
    settings, write_config, dataset_dir, key, value, what
):
    for name in ("channels", "labels", "regions"):
        del settings["data"][name]
    settings["optimization"]["steps"] = 1
    config = load_config(write_config(settings))
    path = dataset_dir / "dataset.json"
    content = json.loads(path.read_text()) | {"labels": {"whole": [1, 2], "core": 2}}
    path.write_text(json.dumps(content))
    train(config)
    path.write_text(json.dumps(content | {key: value}))
    with pytest.raises(BadInputError, match=f"The data have other {what}, or in another order"):
        train(config, resume=True)
