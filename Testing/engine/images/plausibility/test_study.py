"""What is said about the scans of a study, tried on a head made of ellipsoids."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from factorizer_engine.images.plausibility.study import check_study
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.checks import AMBER, GREEN, RED, gravest
from factorizer_engine.protocol.models import Channel, Expectations, ModelDescription
from factorizer_engine.protocol.volumes import Origin

SHAPE, SPACING = (70, 84, 66), 2.5
BRAIN = Expectations("MR", "brain", "stripped")


def model(expects: Expectations = BRAIN, names=("A", "B")) -> ModelDescription:
    channels = tuple(Channel(name) for name in names)
    return ModelDescription("m", "1", "m", "M", "", channels, (), (), expects=expects)


def ellipsoid(radii, centre=(0, 0, 0)) -> np.ndarray:
    """Voxels within `radii` mm of `centre` mm from the middle of the volume."""
    ticks = [(np.arange(n) - (n - 1) / 2) * SPACING for n in SHAPE]
    grid = np.meshgrid(*ticks, indexing="ij")
    away = [(g - c) / r for g, c, r in zip(grid, centre, radii, strict=True)]
    return sum(a**2 for a in away) <= 1


def brain(seed: int, contrast: float, squeeze: float = 1.0) -> Scan:
    """A brain as one sequence sees it, with the same anatomy for the same `squeeze`."""
    inside = ellipsoid((66 * squeeze, 82 * squeeze, 56)) & ~ellipsoid((9, 26, 10), (14, 4, 6))
    inside |= ellipsoid((9, 26, 10), (14, 4, 6))
    anatomy = np.random.default_rng(round(100 * squeeze)).normal(size=SHAPE)
    anatomy = ndimage.gaussian_filter(anatomy, 1.6)
    anatomy /= anatomy.std()
    noise = np.random.default_rng(seed).normal(size=SHAPE)
    values = 300 + 60 * np.tanh(contrast * anatomy) + 20 * ndimage.gaussian_filter(noise, 1.0)
    return scan(np.where(inside, values, 0))


def scan(array: np.ndarray, spacing: float = SPACING) -> Scan:
    affine = np.diag([spacing] * 3 + [1.0])
    affine[:3, 3] = -spacing * (np.array(array.shape) - 1) / 2
    return Scan.of(array.astype(np.float32), affine)


@pytest.fixture(scope="module")
def study() -> dict[str, Scan]:
    return {"A": brain(1, 1.0), "B": brain(2, -0.7)}


def sentences(scans, expects: Expectations = BRAIN) -> str:
    return " ".join(f"{f.severity}: {f.sentence}" for f in check_study(scans, model(expects)))


def test_scans_of_one_brain_are_green(study):
    assert check_study(study, model()) == []


def test_a_channel_may_be_missing(study):
    assert check_study({"B": study["B"]}, model()) == []
    assert check_study({}, model()) == []


@pytest.mark.parametrize("factor", [1.0, 1.0001])
def test_one_image_twice_is_red(study, factor):
    twice = {"A": study["A"], "B": study["A"].with_array(study["A"].array * np.float32(factor))}
    assert "red: A and B are the same image" in sentences(twice)


def test_an_image_and_what_was_made_of_it_are_amber(study):
    smooth = ndimage.gaussian_filter(study["A"].array, 0.7)
    said = sentences({"A": study["A"], "B": study["A"].with_array(smooth)})
    assert "amber: A and B are nearly the same image" in said


def test_a_scan_of_elsewhere_is_red(study):
    affine = study["B"].affine.copy()
    affine[0, 3] += 900
    away = Scan.of(study["B"].array, affine)
    assert "red: The B scan does not overlap" in sentences(study | {"B": away})


@pytest.mark.parametrize("factor, colour", [(0.04, "red"), (3.5, "amber")])
def test_a_voxel_size_that_makes_no_head_is_said(study, factor, colour):
    wrong = {name: scan(s.array, SPACING * factor) for name, s in study.items()}
    assert f"{colour}: A is" in sentences(wrong)
    assert ("or choose a scan of the whole head" in sentences(wrong)) == (factor < 1)


@pytest.mark.parametrize(
    ("axis", "words"), [(0, "from left to right"), (1, "from front to back"), (2, "in height")]
)
def test_a_voxel_size_that_is_wrong_in_one_direction_is_said(study, axis, words):
    def squeezed(s: Scan) -> Scan:
        affine = s.affine.copy()
        affine[:3, axis] *= 0.4
        return Scan.of(s.array, affine)

    wrong = {name: squeezed(s) for name, s in study.items()}
    assert re.search(f"A shows has [4-7] cm {words}", sentences(wrong))


@pytest.mark.parametrize(
    ("origins", "words"),
    [
        ((Origin("1"), Origin("2")), "A and B are of different patients"),
        ((Origin("1", "20200101"), Origin("1", "20200102")), "of different dates"),
        ((Origin(frame="1.2"), Origin(frame="1.3")), "of different frames of reference"),
    ],
)
def test_scans_of_several_are_asked_about(study, origins, words):
    scans = {n: replace(s, origin=o) for (n, s), o in zip(study.items(), origins, strict=True)}
    (found,) = check_study(scans, model())
    assert (found.severity, found.asks) == (AMBER, True)
    assert words in found.sentence


def test_origins_that_are_not_told_or_equal_are_no_matter(study):
    scans = {n: replace(s, origin=Origin("1", "2", "3")) for n, s in study.items()}
    assert check_study(scans, model()) == []
    assert check_study(scans | {"B": study["B"]}, model()) == []


def test_a_transform_of_one_scan_is_noted(study):
    moved = study | {"B": replace(study["B"], origin=Origin(transform="Registration"))}
    (found,) = check_study(moved, model())
    assert (found.severity, found.channels) == (GREEN, ("B",))
    assert "'Registration'" in found.sentence


@pytest.mark.parametrize("millimetres, degrees", [(8, 0), (0, 12)])
def test_a_scan_that_is_moved_or_turned_a_little_is_amber(study, millimetres, degrees):
    angle = np.deg2rad(degrees)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine[1, 3] = millimetres
    away = Scan.of(study["B"].array, affine @ study["B"].affine)
    assert "mm apart" in sentences(study | {"B": away})


def test_of_three_scans_the_one_that_is_moved_is_named(study):
    affine = study["B"].affine.copy()
    affine[2, 3] += 9
    scans = {**study, "C": Scan.of(study["B"].array ** 2, affine)}
    (found,) = check_study(scans, model(names=("A", "B", "C")))
    assert found.channels == ("C",)
    assert "C does not lie on the other scans" in found.sentence


def test_a_label_map_is_red(study):
    labels = (study["A"].array > 300).astype(np.float32) + 2 * (study["A"].array > 0)
    labels = np.round(ndimage.median_filter(labels, 7))
    assert "red: B seems to be a label map" in sentences(study | {"B": scan(labels)})


def test_noise_is_red(study):
    noise = np.random.default_rng(0).normal(100, 20, SHAPE) * (study["A"].array > 0)
    assert "red: B seems to be noise" in sentences(study | {"B": scan(noise)})


@pytest.mark.parametrize("offset", [0, 1024])
def test_hounsfield_units_are_red_for_a_model_of_mr(study, offset):
    ct = offset + np.where(study["B"].array == 0, -1000, 30 + (study["B"].array - 300) / 5)
    assert "red: B seems to be a CT" in sentences(study | {"B": scan(ct)})


def test_scans_below_their_background_are_amber(study):
    negatives = {name: scan.with_array(-scan.array) for name, scan in study.items()}
    said = sentences(negatives)
    assert "amber: A is darker everywhere than what surrounds it, as in a negative" in said
    assert "amber: B is darker everywhere" in said
    standardised = {name: scan.with_array(scan.array - 250) for name, scan in study.items()}
    assert "darker" not in sentences(standardised)


def test_another_patient_is_amber(study):
    assert "amber: A and B do not lie" in sentences(
        study | {"B": brain(2, -0.7, squeeze=0.9)}
    ).replace("The scans do", "A and B do")


def test_turned_heads_are_amber(study):
    turned = {}
    for name, own in study.items():
        lopsided = own.array.copy()
        lopsided[:, -30:] *= ellipsoid((45, 82, 56))[:, -30:]
        turned[name] = scan(np.rot90(lopsided, axes=(0, 1)))
    assert "is turned" in sentences(turned)


def test_a_scan_of_a_part_of_the_head_is_said(study):
    part = study["B"].array.copy()
    part[:, :, : SHAPE[2] * 2 // 3] = 0
    assert "B shows only" in sentences(study | {"B": study["B"].with_array(part)})


def test_thick_slices_are_amber(study):
    thick = {}
    for name, own in study.items():
        affine = own.affine @ np.diag([1, 1, 2, 1])
        thick[name] = Scan.of(own.array[:, :, ::2], affine)
    found = check_study(thick, model())
    assert gravest(found) == AMBER
    assert "slices of 5 mm" in found[0].sentence


def test_a_skull_is_said_where_none_is_expected(study):
    head = ellipsoid((86, 103, 80)) & ~ellipsoid((76, 92, 70))
    heads = {n: scan(np.where(head, 500, own.array)) for n, own in study.items()}
    assert "The skull is still in A and B" in sentences(heads)
    assert "skull" not in sentences(heads, Expectations("MR", "brain"))


def test_what_is_mended_is_green(study):
    spiked = study["A"].array.copy()
    spiked[35, 42, 33] = 1e6
    shifted = np.where(study["B"].array == 0, -1, study["B"].array)
    found = check_study({"A": scan(spiked), "B": scan(shifted)}, model())
    assert [finding.severity for finding in found] == [GREEN, GREEN]


def test_a_model_that_expects_nothing_is_left_in_peace(study):
    odd = {"A": scan(np.random.default_rng(0).normal(size=SHAPE), 0.1)}
    assert check_study(odd, model(Expectations())) == []


def test_an_unusable_scan_is_red(study):
    found = check_study({"A": scan(np.zeros(SHAPE))}, model())
    assert [finding.severity for finding in found] == [RED]
