"""Profiles of components in a bundle: kept, checked, and read back as they were."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from engine import tiny
from factorizer_engine.bundles.profiles import ATLAS, CARD_TITLE, keep_profiles
from factorizer_engine.bundles.reading.checksums import fingerprint
from factorizer_engine.bundles.reading.loading import load_bundle
from factorizer_engine.bundles.saving import save_bundle
from factorizer_engine.bundles.settings import CascadeSettings, FewerSettings
from factorizer_engine.protocol.components import Term
from factorizer_engine.protocol.errors import BadInputError, BadModelError
from factorizer_engine.protocol.locations import model_folders
from factorizer_engine.protocol.profiles import Profile, Profiles
from in_use import needs_proc

PROFILES = Profiles(
    ("a", "b"),
    (
        Profile(Term(0, "encoder.0.0", 0, 0), "Bright on T1", {"T1": 0.5}, stability=0.9),
        Profile(Term(0, "encoder.0.0", 1, 0), "Œdème", contributions={"ET": -1.0}),
    ),
)


def test_profiles_are_kept_with_checksums_and_change_no_result(tmp_path):
    before = tiny.bundle(tmp_path)
    keep_profiles(before, PROFILES, "A table.")
    after = load_bundle(before.description.path)
    assert before.profiles is None and after.profiles == PROFILES
    assert fingerprint(after) == fingerprint(before)
    keep_profiles(after, PROFILES, "Another table.")
    card = load_bundle(before.description.path).description.card
    assert card.count(CARD_TITLE) == 1
    assert card.endswith(f"{CARD_TITLE}\n\nAnother table.\n")


def test_profiles_that_were_changed_are_read_again(tmp_path):
    bundle = tiny.bundle(tmp_path)
    keep_profiles(bundle, PROFILES, "")
    first, second = (load_bundle(bundle.description.path).profiles for _ in range(2))
    assert second is first  # what has not changed is not parsed twice
    others = replace(PROFILES, cases=("b", "a"))  # of the same length
    keep_profiles(bundle, others, "")
    assert load_bundle(bundle.description.path).profiles == others


@needs_proc
def test_a_picture_of_the_atlas_may_be_open_while_others_take_its_place(
    tmp_path, files_in_use_stay
):
    bundle = tiny.bundle(tmp_path)
    keep_profiles(bundle, PROFILES, "", atlas={"a.svg": "<svg/>", "b.svg": "<svg/>"})
    with (bundle.description.path / ATLAS / "b.svg").open():
        keep_profiles(bundle, PROFILES, "", atlas={"a.svg": "<svg>new</svg>"})
    assert (bundle.description.path / ATLAS / "a.svg").read_text() == "<svg>new</svg>"


def test_profiles_are_saved_with_the_bundle(tmp_path):
    bundle = tiny.bundle(tmp_path)
    keep_profiles(bundle, PROFILES, "")
    loaded = load_bundle(bundle.description.path)
    again = save_bundle(loaded, [tiny.network()], tmp_path / "again")
    assert again.profiles == PROFILES


def test_networks_for_fewer_scans_come_with_what_their_components_mean(tmp_path):
    networks = [tiny.network()], (tiny.network(seed=1),)
    settings = FewerSettings(both=(("T1",),))
    bundle = tiny.bundle(tmp_path, *networks, fewer=settings)
    others = Profiles(("c",), (Profile(Term(0, "encoder.0.0", 0, 0), "Dark on T1"),), False)
    keep_profiles(bundle, PROFILES, "", others)
    loaded = load_bundle(bundle.description.path)
    assert loaded.answering(("FLAIR", "T1")).profiles == PROFILES
    assert loaded.answering(("FLAIR",)).profiles == others == loaded.for_fewer().profiles
    together = loaded.answering(("T1",)).profiles
    assert together.cases == ("a", "b", "c") and not together.tells_false_alarms
    assert together.components[:2] == PROFILES.components
    assert together.components[2] == Profile(Term(1, "encoder.0.0", 0, 0), "Dark on T1")
    again = save_bundle(loaded, networks[0], tmp_path / "again", fewer=networks[1])
    assert again.fewer_profiles == others


def test_the_first_stage_of_a_cascade_comes_without_since_it_is_never_explained(tmp_path):
    keep_profiles(tiny.bundle(tmp_path), PROFILES, "")
    coarse = load_bundle(tmp_path / "tiny")
    described = replace(coarse.description, name="cascade")
    whole = replace(coarse, description=described, cascade=CascadeSettings(), coarse=coarse)
    saved = save_bundle(whole, [tiny.network()], tmp_path / "cascade")
    assert saved.profiles == coarse.profiles == PROFILES and saved.coarse.profiles is None
    assert fingerprint(saved.coarse) == fingerprint(coarse)


def test_damaged_profiles_are_refused(tmp_path):
    bundle = tiny.bundle(tmp_path)
    root = bundle.description.path
    keep_profiles(bundle, PROFILES, "")
    path = root / "configs" / "components.json"
    path.write_text(path.read_text(encoding="utf-8").replace("0.5", "0.6"), encoding="utf-8")
    with pytest.raises(BadModelError, match="does not match its checksum"):
        load_bundle(root)
    path.write_text('{"cases": "a", "components": []}', encoding="utf-8")
    with pytest.raises(BadModelError, match="components.json is not valid: cases"):
        load_bundle(root, verify=False)


def test_profiles_cannot_be_kept_in_an_archive(tmp_path):
    root = tiny.bundle(tmp_path).description.path
    packed = load_bundle(shutil.make_archive(str(tmp_path / "packed"), "zip", root.parent, "tiny"))
    with pytest.raises(BadInputError, match="unpack the model"):
        keep_profiles(packed, PROFILES, "")


def test_the_bundled_model_says_what_all_its_components_mean():
    bundle = load_bundle(model_folders()[-1] / "glioma-fast")
    profiles = bundle.profiles
    assert profiles is not None and len(profiles.cases) == 14
    assert not any("TCIA02_370" in case for case in profiles.cases)
    assert len(profiles.by_term()) == len(profiles.components) == 92
    assert all(p.meaning and p.stability is not None for p in profiles.components)
    leading = profiles.by_term()[Term(0, "decoder.2.0", 3, 0)]
    assert "speaks for tumour core" in leading.meaning and leading.stability > 0.9
    assert CARD_TITLE in bundle.description.card
