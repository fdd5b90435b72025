"""Scans and sets of channels that cannot be segmented are refused in one sentence."""

from __future__ import annotations

import re

import numpy as np
import pytest

from factorizer_engine.images import checks
from factorizer_engine.images.checks import (
    check_channels,
    check_scan,
    check_shape,
    reference_among,
)
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.models import Channel

CHANNELS = (Channel("FLAIR"), Channel("T1"), Channel("T1ce", ("t1gd", "t1c")))


def noise(seed: int = 0, shape=(8, 9, 10), shift=(0, 0, 0)) -> Scan:
    affine = np.eye(4)
    affine[:3, 3] = shift
    return Scan.of(np.random.default_rng(seed).random(shape, np.float32), affine, f"scan{seed}.nii")


def assert_one_sentence(error: BadInputError) -> None:
    text = str(error)
    assert text.endswith(".") and "\n" not in text
    assert not re.search(r"\. [A-Z]", text)


def study() -> dict[str, Scan]:
    return {channel.name: noise(index) for index, channel in enumerate(CHANNELS)}


def test_a_proper_scan_passes():
    check_scan(noise())


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 5, 6, 3)), "several volumes"),
        (np.random.rand(4, 5), "single slice"),
        (np.random.rand(4, 5, 1), "single slice"),
        (np.zeros((4, 5, 0)), "no voxels"),
        (np.zeros((4, 5, 6), np.complex64), "several values per voxel"),
        (np.zeros((4, 5, 6), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")]), "several values"),
        (np.full((4, 5, 6), np.nan), "120 voxels that are no finite number"),
        (np.where(np.indices((4, 5, 6))[0] == 1, -np.inf, 1.0), "30 voxels"),
        (np.full((4, 5, 6), 7), "same value in every voxel"),
    ],
)
def test_voxels_that_are_no_volume_of_grey_values_are_refused(array, words):
    with pytest.raises(BadInputError, match=words) as caught:
        check_scan(Scan.of(array, np.eye(4), "brain.nii.gz"))
    assert str(caught.value).startswith("brain.nii.gz")
    assert_one_sentence(caught.value)


@pytest.mark.parametrize(
    ("affine", "words"),
    [
        (np.diag([1.0, 0.0, 1.0, 1.0]), "voxel size of zero"),
        (np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "singular"),
        (np.diag([1.0, np.nan, 1.0, 1.0]), "where its voxels lie"),
        (np.diag([1.0, 1.0, 1.0, 0.0]), "last row"),
        (np.diag([1.0, 1e200, 1.0, 1.0]), "more than a kilometre"),
    ],
)
def test_an_affine_that_places_no_voxels_is_refused(affine, words):
    with pytest.raises(BadInputError, match=words) as caught:
        check_scan(Scan.of(noise().array, affine, "brain.nii.gz"))
    assert_one_sentence(caught.value)


def test_a_huge_volume_is_refused_by_its_shape_alone():
    with pytest.raises(BadInputError, match="1024 x 1024 x 1024") as caught:
        check_shape("ct.nii", (1024, 1024, 1024))
    assert_one_sentence(caught.value)


def test_a_volume_that_does_not_fit_into_the_free_memory_is_refused(monkeypatch):
    monkeypatch.setattr(checks, "available_memory", lambda: 10**8)
    check_shape("mr.nii", (150, 150, 150))
    with pytest.raises(BadInputError, match="0.1 GB are free") as caught:
        check_shape("ct.nii", (512, 512, 100))
    assert_one_sentence(caught.value)


def test_channels_come_back_in_network_order_and_by_alias():
    scans = study()
    given = {"t1gd": scans["T1ce"], "t1": scans["T1"], "flair": scans["FLAIR"]}
    assert check_channels(given, CHANNELS) == scans


def test_the_reference_is_the_first_of_the_channels_that_are_given():
    scans = study()
    del scans["FLAIR"]
    assert list(check_channels(scans, CHANNELS)) == ["T1", "T1ce"]
    assert reference_among(scans, CHANNELS) == "T1"
    assert reference_among(scans, CHANNELS, "t1gd") == "T1ce"
    with pytest.raises(
        BadInputError, match="FLAIR, which is left out; choose T1 or T1ce"
    ) as caught:
        check_channels(scans, CHANNELS, "FLAIR")
    assert_one_sentence(caught.value)


def test_unknown_and_repeated_channels_are_named():
    with pytest.raises(BadInputError, match="no channel named PET"):
        check_channels({**study(), "PET": noise(9)}, CHANNELS)
    with pytest.raises(BadInputError, match="T1ce scan is given twice"):
        check_channels({**study(), "t1c": noise(9)}, CHANNELS)


def test_a_channel_elsewhere_in_space_is_refused():
    scans = {**study(), "T1": noise(1, shift=(500, 0, 0))}
    with pytest.raises(BadInputError, match="T1 scan does not overlap the FLAIR scan") as caught:
        check_channels(scans, CHANNELS)
    assert_one_sentence(caught.value)
    with pytest.raises(BadInputError, match="FLAIR scan does not overlap the T1 scan"):
        check_channels(scans, CHANNELS, reference="T1")


def test_channels_on_other_grids_in_the_same_place_pass():
    scans = study()
    turned = np.array([[0, 0, 1, -1], [0, -1, 0, 9], [1, 0, 0, -2], [0, 0, 0, 1.0]])
    check_channels({**scans, "T1": Scan.of(noise(1).array, turned)}, CHANNELS)


def test_one_image_given_for_two_channels_is_refused():
    scans = {**study(), "T1ce": noise(1)}
    with pytest.raises(BadInputError, match="T1 and T1ce scans are the same image") as caught:
        check_channels(scans, CHANNELS)
    assert_one_sentence(caught.value)
