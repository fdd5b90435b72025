"""What is done to a study, what is left alone, and what is said of it."""

from __future__ import annotations

import numpy as np
import pytest

from engine.preparation.heads import T1, T2, head, stripped, tissues
from factorizer_engine.images.geometry import Grid
from factorizer_engine.images.scan import Scan
from factorizer_engine.preparation import bias, remembering
from factorizer_engine.preparation.bias import bias_field, without_bias
from factorizer_engine.preparation.brain import Brain
from factorizer_engine.preparation.cache import StepCache
from factorizer_engine.preparation.registration import Registration
from factorizer_engine.preparation.study import Decided, prepare_study
from factorizer_engine.protocol.errors import BadInputError, BadModelError, CancelledError
from factorizer_engine.protocol.preparation import PreparationOptions
from factorizer_engine.protocol.progress import Monitor

SHIFT = np.eye(4)
SHIFT[:3, 3] = 4.0, 0.0, 0.0


def found(moved_mm: float, peak: float = 0.4) -> Registration:
    return Registration(SHIFT, 0.6, 0.3, peak, 0.95, moved_mm)


@pytest.fixture
def registering(monkeypatch):
    """Registrations end as a test says; the list holds what was registered."""
    calls: list[str] = []

    def end_as(result: Registration) -> list[str]:
        def register(moving, fixed, freedom, monitor):
            calls.append(moving.name)
            return result

        monkeypatch.setattr(remembering, "register", register)
        return calls

    return end_as


@pytest.fixture(autouse=True)
def outlining(monkeypatch):
    """The made-up head's brain is found; the list holds on which scans it was looked for."""
    calls: list[Scan] = []

    def extract(scan, networks, monitor=None):
        calls.append(scan)
        return Brain(scan.with_array(tissues()["brain"]), scan.name == "upside down")

    monkeypatch.setattr(remembering, "extract_brain", extract)
    monkeypatch.setattr(
        remembering, "is_upside_down", lambda scan, networks: scan.name == "upside down"
    )
    return calls


def study(**scans: Scan) -> dict[str, Scan]:
    return {name: Scan(scan.array, scan.grid, name) for name, scan in scans.items()}


def prepare(scans, stripped_wanted=True, decided=Decided(), cache=None, **options):  # noqa: B008
    options = {"bias_field": "off", **options}
    return prepare_study(
        scans,
        "FLAIR",
        PreparationOptions(**options),
        stripped_wanted,
        lambda: None,
        decided=decided,
        cache=cache,
    )


def outcome(prepared, name: str, channel: str = ""):
    (step,) = [s for s in prepared.steps if s.name == name and s.channel == channel]
    return step


def test_a_moved_sequence_is_placed_and_the_brain_carried_to_it(registering, outlining):
    registering(found(moved_mm=4.0))
    scans = study(FLAIR=head(T2, 1), T1=head(T1))
    moved_away = Grid(scans["T1"].shape, np.linalg.inv(SHIFT) @ scans["T1"].affine)
    scans["T1"] = Scan(scans["T1"].array, moved_away, "T1")
    prepared = prepare(scans)
    np.testing.assert_allclose(prepared.scans["T1"].affine, scans["FLAIR"].affine, atol=1e-9)
    brain = tissues()["brain"]
    for channel, scan in prepared.scans.items():
        assert not scan.array[~brain].any()
        np.testing.assert_array_equal(scan.array[brain], scans[channel].array[brain])
    assert [scan.name for scan in outlining] == ["FLAIR"]
    assert outcome(prepared, "registration", "T1").matrix[0] == (1.0, 0.0, 0.0, 4.0)
    np.testing.assert_array_equal(prepared.brain.array, brain)


def test_the_reference_keeps_its_place(registering):
    registering(found(moved_mm=4.0))
    scans = study(T1=head(T1), FLAIR=head(T2, 1))
    np.testing.assert_array_equal(prepare(scans).scans["FLAIR"].affine, scans["FLAIR"].affine)


def test_a_failed_registration_keeps_the_original_and_is_marked(registering):
    registering(found(moved_mm=40.0, peak=0.0))
    scans = study(FLAIR=head(T2, 1), T1=head(T1))
    prepared = prepare(scans, brain="off")
    assert prepared.scans["T1"] is scans["T1"]
    step = outcome(prepared, "registration", "T1")
    assert step.doubtful and "could not be registered to FLAIR" in step.outcome
    assert step.matrix == ()


def test_a_sequence_that_lies_right_is_left_where_it_is(registering):
    registering(found(moved_mm=0.3))
    scans = study(FLAIR=head(T2, 1), T1=head(T1))
    prepared = prepare(scans, brain="off")
    assert prepared.scans["T1"] is scans["T1"]
    step = outcome(prepared, "registration", "T1")
    assert not step.doubtful and "lies on FLAIR already (0.3 mm)" in step.outcome


def test_a_head_that_is_upside_down_is_told(outlining):
    scan = Scan(head(T2).array, head(T2).grid, "upside down")
    prepared = prepare({"FLAIR": scan})
    step = outcome(prepared, "orientation", "FLAIR")
    assert prepared.upside_down and not prepare({"FLAIR": head(T2)}).upside_down
    assert step.doubtful and step.outcome.startswith("the head is upside down")
    assert "Which side is left cannot be known" in step.outcome
    assert "others" not in outcome(prepared, "brain").outcome


def test_a_head_whose_brain_was_drawn_may_be_upside_down_too(outlining, tmp_path):
    scan = Scan(head(T2).array, head(T2).grid, "upside down")
    decided, cache = Decided(brain=scan.with_array(tissues()["brain"])), StepCache(tmp_path)
    prepared = prepare({"FLAIR": scan}, decided=decided, cache=cache)
    assert prepared.upside_down and outcome(prepared, "orientation", "FLAIR").doubtful
    renamed = {"FLAIR": Scan(scan.array, scan.grid, "known by its content")}
    assert prepare(renamed, decided=decided, cache=cache).upside_down and outlining == []


def test_without_the_networks_a_drawn_brain_counts_as_upright(monkeypatch):
    def missing(scan, networks):
        raise BadModelError("not installed")

    monkeypatch.setattr(remembering, "is_upside_down", missing)
    scan = Scan(head(T2).array, head(T2).grid, "upside down")
    decided = Decided(brain=scan.with_array(tissues()["brain"]))
    assert not prepare({"FLAIR": scan}, decided=decided).upside_down


def test_nothing_is_done_twice_to_a_prepared_study(registering, outlining):
    calls = registering(found(moved_mm=4.0))
    scans = study(FLAIR=stripped(T2), T1=stripped(T1))
    prepared = prepare(scans)
    assert calls == [] and outlining == []
    assert all(prepared.scans[name] is scans[name] for name in scans)
    assert "no skull already" in outcome(prepared, "brain").outcome


def test_a_scan_without_skull_gives_its_brain_to_the_others(registering, outlining):
    registering(found(moved_mm=0.1))
    prepared = prepare(study(FLAIR=head(T2, 1), T1=stripped(T1)))
    assert outlining == []
    assert not prepared.scans["FLAIR"].array[~tissues()["brain"]].any()


def test_the_skull_stays_where_the_model_takes_it_unless_asked(registering, outlining):
    registering(found(moved_mm=0.1))
    scans = study(FLAIR=head(T2, 1), T1=head(T1))
    assert prepare(scans, stripped_wanted=False).brain is None
    assert prepare(scans, stripped_wanted=False, brain="on").brain is not None


def test_registration_can_be_switched_off(registering):
    calls = registering(found(moved_mm=4.0))
    prepare(study(FLAIR=head(T2, 1), T1=head(T1)), registration="off", brain="off")
    assert calls == []


def test_a_scan_that_a_person_has_placed_stays_there(registering):
    calls = registering(found(moved_mm=4.0))
    scans = study(FLAIR=head(T2, 1), T1=head(T1), T2=head(T2, 2))
    prepared = prepare(scans, brain="off", decided=Decided(placed=("T1",)))
    assert prepared.scans["T1"] is scans["T1"] and calls == ["T2"]
    assert "left where it is" in outcome(prepared, "registration", "T1").outcome


def test_a_brain_mask_that_a_person_has_drawn_is_used_on_every_scan(registering, outlining):
    registering(found(moved_mm=0.1))
    scans = study(FLAIR=head(T2, 1), T1=stripped(T1))
    drawn = tissues()["brain"].copy()
    drawn[:20] = False
    prepared = prepare(scans, decided=Decided(brain=scans["FLAIR"].with_array(drawn)))
    assert outlining == []
    for channel, scan in prepared.scans.items():
        assert not scan.array[~drawn].any()
        np.testing.assert_array_equal(scan.array[drawn], scans[channel].array[drawn])
    np.testing.assert_array_equal(prepared.brain.array, drawn)


def test_an_empty_brain_mask_is_refused(registering):
    registering(found(moved_mm=0.1))
    scans = study(FLAIR=head(T2, 1))
    nothing = scans["FLAIR"].with_array(np.zeros(scans["FLAIR"].shape, bool))
    with pytest.raises(BadInputError, match="mask is empty"):
        prepare(scans, decided=Decided(brain=nothing))


def test_the_same_scans_are_prepared_at_once_the_second_time(registering, outlining, tmp_path):
    calls = registering(found(moved_mm=4.0))
    scans = study(FLAIR=head(T2, 1), T1=head(T1))
    first = prepare(scans, cache=StepCache(tmp_path))
    renamed = {name: Scan(scan.array, scan.grid, "another") for name, scan in scans.items()}
    second = prepare(renamed, cache=StepCache(tmp_path))
    assert calls == ["T1"] and len(outlining) == 1
    assert second.steps == first.steps
    for channel, scan in second.scans.items():
        np.testing.assert_array_equal(scan.array, first.scans[channel].array)
        np.testing.assert_array_equal(scan.affine, first.scans[channel].affine)
    np.testing.assert_array_equal(second.brain.array, first.brain.array)


def test_other_voxels_or_another_place_are_looked_at_anew(registering, outlining, tmp_path):
    calls = registering(found(moved_mm=4.0))
    scans = study(FLAIR=head(T2, 1), T1=head(T1))
    prepare(scans, cache=StepCache(tmp_path))
    moved = Scan(scans["T1"].array, Grid(scans["T1"].shape, SHIFT @ scans["T1"].affine), "T1")
    prepare({**scans, "T1": moved}, cache=StepCache(tmp_path))
    prepare({**scans, "FLAIR": study(FLAIR=head(T2, 3))["FLAIR"]}, cache=StepCache(tmp_path))
    assert calls == ["T1"] * 3 and len(outlining) == 2


def test_thick_slices_are_told(registering):
    registering(found(moved_mm=0.1))
    scan = head(T2, 1)
    thick = Grid(scan.shape, scan.affine @ np.diag([1, 1, 1.25, 1]))
    prepared = prepare(study(FLAIR=Scan(scan.array, thick), T1=head(T1)), brain="off")
    step = outcome(prepared, "slices", "FLAIR")
    assert step.doubtful and step.outcome == "5 mm slices: small lesions may be missed."


def test_a_bias_field_is_taken_out(monkeypatch):
    monkeypatch.setattr(bias, "FIELD_MM", 12.0)
    monkeypatch.setattr(bias, "ITERATIONS", (10, 10))
    scan = head(T1)
    along = np.linspace(0.6, 1.4, scan.shape[0])[:, None, None]
    brain = tissues()["brain"] & ~tissues()["fluid"] & ~tissues()["tumour"]
    masked = scan.with_array(np.where(tissues()["brain"], scan.array * along, 0))
    field = bias_field(masked, scan.with_array(tissues()["brain"]))
    corrected = without_bias(masked, field)
    assert corrected.array.dtype == np.float32
    assert not corrected.array[~tissues()["brain"]].any()

    def unevenness(array):
        return array[brain].std() / array[brain].mean()

    assert unevenness(corrected.array) < 0.4 * unevenness(masked.array)


def test_a_bias_field_is_looked_for_once(monkeypatch, registering, outlining, tmp_path):
    registering(found(moved_mm=0.1))
    calls: list[Scan] = []

    def estimate(scan, mask, monitor):
        calls.append(scan)
        return np.full((1, 1, 1), np.log(2.0), np.float32)

    monkeypatch.setattr(remembering, "bias_field", estimate)
    monkeypatch.setattr(bias, "FIELD_MM", 1000.0)
    scans = study(FLAIR=head(T2, 1))
    for _ in range(2):
        prepared = prepare(scans, cache=StepCache(tmp_path), bias_field="on")
        inside = prepared.scans["FLAIR"].array[tissues()["brain"]]
        expected = scans["FLAIR"].array[tissues()["brain"]] / 2
        np.testing.assert_allclose(inside, expected, rtol=1e-5)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("mode", "corrected"), [("auto", ["T1"]), ("on", ["FLAIR", "T1"]), ("off", [])]
)
def test_brightness_is_evened_out_where_a_skull_was(monkeypatch, registering, mode, corrected):
    registering(found(moved_mm=0.1))
    monkeypatch.setattr(bias, "FIELD_MM", 1000.0)
    monkeypatch.setattr(
        remembering, "bias_field", lambda *_: np.full((1, 1, 1), np.log(2.0), np.float32)
    )
    scans = study(FLAIR=stripped(T2), T1=head(T1))
    prepared = prepare(scans, bias_field=mode)
    brain = tissues()["brain"]
    for name, scan in scans.items():
        divisor = 2 if name in corrected else 1
        inside = prepared.scans[name].array[brain]
        np.testing.assert_allclose(inside, scan.array[brain] / divisor, rtol=1e-5)
    assert [s.channel for s in prepared.steps if s.name == "bias field"] == corrected
    assert not any(s.name == "bias field" for s in prepare(scans, False, bias_field="auto").steps)


def test_bias_correction_can_be_cancelled():
    scan = head(T1)
    with pytest.raises(CancelledError):
        bias_field(scan, scan.with_array(scan.array > 60), Monitor(is_cancelled=lambda: True))


def test_the_mask_that_was_found_gives_the_same_scans_when_it_is_given_back(registering):
    """As a click's preparation does, whatever grids the scans have."""
    registering(found(moved_mm=0.3))
    scans = study(FLAIR=head(T2, 1), T1=coarser(head(T1)))
    for reference in scans:
        options = PreparationOptions()
        first = prepare_study(scans, reference, options, True, lambda: None)
        decided = Decided(tuple(scans), first.brain)
        again = prepare_study(scans, reference, options, True, lambda: None, decided=decided)
        for channel in scans:
            np.testing.assert_array_equal(again.scans[channel].array, first.scans[channel].array)


def coarser(scan: Scan) -> Scan:
    """Every other voxel of the first axis."""
    return Scan.of(scan.array[::2], scan.affine @ np.diag([2.0, 1.0, 1.0, 1.0]), scan.name)
