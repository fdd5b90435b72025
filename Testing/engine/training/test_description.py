"""How a model of a configuration presents itself."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from engine.conftest import MODULE_DIR
from factorizer_engine.images.files.dicom.codes import codes_of
from factorizer_engine.protocol import conventions
from factorizer_engine.protocol.description import describe_model, read_metadata
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.bundle_section import BundleSection
from factorizer_engine.training.description import describe, regions_and_labels

RESOURCES = MODULE_DIR / "Resources"


def shipped(name: str):
    """The description of the model of a configuration that comes with the module."""
    config = yaml.safe_load((RESOURCES / "training" / f"{name}.yaml").read_text("utf-8"))
    data, texts = config["data"], BundleSection(**config["bundle"])
    return describe(name, texts, data["channels"], data["regions"], data["labels"])


def coded(name: str = "mine", region: str = "lesion", **texts):
    model = describe(name, BundleSection(**texts), ["FLAIR"], {region: (1,)}, {region: 1})
    (label,) = model.labels
    found = codes_of(label)
    return found.kind.meaning, found.region.meaning if found.region else ""


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"family": "stroke"}, ("Infarct", "Brain")),
        ({"title": "Ischaemic stroke"}, ("Infarct", "Brain")),
        ({"name": "isles-ischemic"}, ("Infarct", "Brain")),
        ({"region": "stroke_lesion"}, ("Infarct", "Brain")),
        ({}, ("Lesion", "")),
        ({"family": "any", "title": "Any lesion"}, ("Lesion", "")),
        ({"title": "Neurologisch auffällig"}, ("Lesion", "")),
        ({"title": "Haemorrhagic stroke"}, ("Lesion", "")),
        ({"title": "Multiple sclerosis", "expects": {"anatomy": "brain"}}, ("Lesion", "Brain")),
        ({"region": "plaque", "expects": {"anatomy": "brain"}}, ("Lesion", "Brain")),
    ],
)
def test_only_a_model_that_is_said_to_find_strokes_is_coded_as_an_infarct(texts, expected):
    assert coded(**texts) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("isles22-paper", {"Infarct"}),
        ("isles22-bundle", {"Infarct"}),
        ("any-lesion", {"Lesion"}),
        ("hippocampus", {"Hippocampus"}),
    ],
)
def test_configurations_that_come_along_are_coded_as_what_they_find(name, expected):
    assert {codes_of(label).kind.meaning for label in shipped(name).labels} == expected


def test_the_bundled_model_of_any_lesion_is_what_its_configuration_says():
    folder = RESOURCES / "models" / "any-lesion"
    bundled = describe_model(folder, read_metadata(folder, folder.name), folder.name)
    made = shipped("any-lesion")
    assert (bundled.version, bundled.labels) == (made.version, made.labels)
    (label,) = bundled.labels
    assert label.terminology == conventions.LESION_IN_BRAIN


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


def test_regions_are_called_like_labels_and_keep_abbreviations():
    values = {"anterior": 1, "CSF": 2}
    regions, labels = regions_and_labels({n: (v,) for n, v in values.items()}, values, {}, {})
    assert [region.title for region in regions] == ["Anterior", "CSF"]
    assert [label.name for label in labels] == ["Anterior", "CSF"]
