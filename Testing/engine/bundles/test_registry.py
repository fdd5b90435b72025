"""Installed models: found, chosen, installed and removed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from factorizer_engine.bundles import architecture, registry
from factorizer_engine.bundles.architecture import build_networks
from factorizer_engine.bundles.reading.loading import load_bundle
from factorizer_engine.bundles.saving import save_bundle
from factorizer_engine.protocol.description import (
    CHECKSUM_FILE,
    WITHOUT_CHECKSUMS,
    installed_models,
)
from factorizer_engine.protocol.errors import BadInputError, BadModelError
from factorizer_engine.protocol.locations import model_folders, user_models_dirs

MODULE_DIR = Path(__file__).resolve().parents[3] / "FactorizerSegmentation"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty user's folder."""
    folder = tmp_path / "home"
    monkeypatch.setenv("FACTORIZER_MODELS", str(folder))
    return folder


@pytest.fixture
def install(settings, network, home):
    """Puts a variant of the small model into the user's folder."""

    def put(name, folder=home, **changes):
        description = replace(settings.description, name=name, **changes)
        variant = replace(settings, description=description)
        return save_bundle(variant, [network], folder / name)

    return put


def test_the_users_folder_follows_the_platform_and_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("FACTORIZER_MODELS", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert user_models_dirs() == (tmp_path / "factorizer" / "models",)
    monkeypatch.delenv("XDG_DATA_HOME")
    assert user_models_dirs()[0].parts[-4:] == (".local", "share", "factorizer", "models")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "Application Support" in user_models_dirs()[0].parts
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert user_models_dirs() == (tmp_path / "factorizer" / "models",)
    monkeypatch.setenv("FACTORIZER_MODELS", os.pathsep.join(["/a", "/b"]))
    assert user_models_dirs() == (Path("/a"), Path("/b"))
    assert model_folders()[-1].parts[-3:] == ("FactorizerSegmentation", "Resources", "models")


def test_slicers_side_can_ask_for_the_folders_with_the_standard_library_only():
    program = (
        "import sys; before = set(sys.modules); import factorizer_engine.protocol.locations; "
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=MODULE_DIR, capture_output=True, text=True, check=True
    )
    assert set(answer.stdout.split()) <= {"factorizer_engine", *sys.stdlib_module_names}


def test_bundles_are_found_in_the_users_folder_and_in_others(install, home, tmp_path):
    install("tiny-a")
    install("tiny-b", tmp_path / "more")
    names = [bundle.description.name for bundle in registry.find_bundles([tmp_path / "more"])]
    assert {"tiny-a", "tiny-b"} <= set(names)
    assert names == sorted(names)


def test_the_first_of_two_bundles_with_one_name_is_taken(install, tmp_path):
    install("tiny-a", version="1.0.0")
    install("tiny-a", tmp_path / "more", version="2.0.0")
    found = {
        bundle.description.name: bundle.description.version
        for bundle in registry.find_bundles([tmp_path / "more"])
    }
    assert found["tiny-a"] == "2.0.0"


def test_a_broken_bundle_does_not_hide_the_others(install, home, caplog):
    install("tiny-a")
    broken = install("tiny-b")
    (broken.description.path / "configs" / "inference.json").write_text("{")
    assert "tiny-a" in {bundle.description.name for bundle in registry.find_bundles()}
    assert "tiny-b" in caplog.text


def test_a_model_is_named_by_path_name_or_family(install):
    path = install("tiny-a", family="plaques").description.path
    for model in (path, str(path), "tiny-a", "plaques", "Plaques"):
        assert registry.resolve_model(model).description.path.resolve() == path.resolve()


def test_a_family_gives_the_bundle_that_suits_the_device(install):
    install("tiny-any", family="plaques", devices=())
    install("tiny-fast", family="plaques", devices=("cpu", "mps"))
    install("tiny-large", family="plaques", devices=("cuda",))
    chosen = {
        d: registry.resolve_model("plaques", d).description.name
        for d in ("cpu", "cuda:1", "mps", "xpu")
    }
    assert chosen == {
        "cpu": "tiny-fast",
        "cuda:1": "tiny-large",
        "mps": "tiny-fast",
        "xpu": "tiny-any",
    }


def test_of_equally_suited_bundles_the_quicker_one_is_taken(install):
    install("tiny-a", family="plaques", devices=("cpu",), expected_seconds={"cpu": 60.0})
    install("tiny-b", family="plaques", devices=("cpu",), expected_seconds={"cpu": 20.0})
    assert registry.resolve_model("plaques", "cpu").description.name == "tiny-b"


def test_a_damaged_model_is_refused_when_it_is_asked_for(install):
    bundle = install("tiny-a")
    with bundle.weights[0].open("ab") as file:
        file.write(b"x")
    with pytest.raises(BadModelError, match="does not match its checksum"):
        registry.resolve_model("tiny-a")


def test_an_unknown_model_is_answered_with_the_installed_ones(install):
    install("tiny-a")
    with pytest.raises(BadModelError, match=r"no model called nothing.*tiny-a"):
        registry.resolve_model("nothing")


def test_a_model_from_a_disc_can_be_written_to_once_it_is_installed(bundle, home):
    """Windows replaces and removes no file that is marked as read-only, as all on a disc are."""
    for path in bundle.description.path.rglob("*"):
        if path.is_file():
            path.chmod(0o444)
    installed = registry.install_bundle(bundle.description.path)
    files = [path for path in installed.description.path.rglob("*") if path.is_file()]
    assert files and all(path.stat().st_mode & 0o200 for path in files)


@pytest.mark.parametrize("packed", [True, False])
def test_a_model_is_installed_once_replaced_when_asked_and_removed(bundle, home, tmp_path, packed):
    source = bundle.description.path
    if packed:
        base = str(tmp_path / "packed")
        source = shutil.make_archive(
            base, "zip", bundle.description.path.parent, bundle.description.path.name
        )
    installed = registry.install_bundle(source)
    assert installed.description.path == home / "glioma-tiny"
    assert build_networks(registry.resolve_model("glioma-tiny"))
    with pytest.raises(BadInputError, match="installed already"):
        registry.install_bundle(source)
    registry.install_bundle(source, replace=True)
    assert [path.name for path in home.iterdir()] == ["glioma-tiny"]
    registry.remove_bundle("glioma-tiny")
    assert not any(home.iterdir())
    with pytest.raises(BadInputError, match="no installed model"):
        registry.remove_bundle("glioma-tiny")


def test_a_bundle_whose_weights_do_not_fit_is_not_installed(authors_bundle, home):
    source = authors_bundle({"0": "DWI"}, {"0": "lesion"})
    config = source / "configs" / "inference.yaml"
    config.write_text(config.read_text().replace("mlp_ratio: 2", "mlp_ratio: 3"))
    with pytest.raises(BadModelError, match="do not fit the network"):
        registry.install_bundle(source)
    assert not home.exists()


def test_a_broken_model_can_be_removed_by_its_folders_name(install, home):
    broken = install("tiny-b")
    (broken.description.path / "configs" / "metadata.json").write_text("{")
    registry.remove_bundle("tiny-b")
    assert not broken.description.path.exists()


def test_shipped_models_cannot_be_removed(install, home, monkeypatch, tmp_path):
    shipped = tmp_path / "shipped"
    install("tiny-s", shipped)
    monkeypatch.setattr("factorizer_engine.protocol.locations._SHIPPED", shipped)
    with pytest.raises(BadInputError, match="comes with the software"):
        registry.remove_bundle("tiny-s")
    assert (shipped / "tiny-s").exists()


@pytest.fixture
def shipped(install, monkeypatch, tmp_path):
    """A model that comes with the software."""
    folder = tmp_path / "shipped"
    monkeypatch.setattr("factorizer_engine.protocol.locations._SHIPPED", folder)
    return install("tiny-s", folder, summary="Shipped.")


def test_a_model_does_not_take_the_name_of_a_shipped_one_unless_asked(install, shipped, tmp_path):
    impostor = install("tiny-s", tmp_path / "download", summary="Somebody else's.")
    with pytest.raises(BadInputError, match="comes with the software"):
        registry.install_bundle(impostor.description.path)
    assert registry.resolve_model("tiny-s").description.summary == "Shipped."
    registry.install_bundle(impostor.description.path, replace=True)
    assert registry.resolve_model("tiny-s").description.summary == "Somebody else's."
    registry.remove_bundle("tiny-s")
    assert registry.resolve_model("tiny-s").description.summary == "Shipped."


def test_a_folder_of_another_name_cannot_pass_for_a_shipped_model(install, shipped, home):
    impostor = install("tiny-s", home, summary="Somebody else's.")
    impostor.description.path.rename(home / "something")
    assert registry.resolve_model("tiny-s").description.summary == "Shipped."
    (panel,) = installed_models([home, shipped.description.path.parent])
    assert panel.summary == "Shipped."


def test_a_name_that_is_taken_is_noticed_before_weights_are_read(install, home, monkeypatch):
    source = install("tiny-a").description.path
    monkeypatch.setattr(architecture, "build_networks", lambda bundle: pytest.fail("too late"))
    with pytest.raises(BadInputError, match="installed already"):
        registry.install_bundle(source)


def test_what_came_without_checksums_is_marked_for_good(bundle, home):
    (bundle.description.path / CHECKSUM_FILE).unlink()
    installed = registry.install_bundle(bundle.description.path)
    assert WITHOUT_CHECKSUMS in installed.description.notes
    assert WITHOUT_CHECKSUMS in installed_models([home])[0].notes


def test_models_with_checksums_carry_no_such_mark(install):
    assert WITHOUT_CHECKSUMS not in install("tiny-a").description.notes


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_not_installed(bundle, home, number):
    (bundle.description.path / CHECKSUM_FILE).unlink()
    state = load_file(bundle.weights[0])
    state["stem.weight"].flatten()[5] = number
    save_file(state, bundle.weights[0])
    with pytest.raises(BadModelError, match=r"not finite.*stem\.weight"):
        registry.install_bundle(bundle.description.path)
    assert not home.exists()
    with pytest.raises(BadModelError, match="not finite"):
        build_networks(load_bundle(bundle.description.path))


def test_a_link_within_a_bundle_is_copied_as_the_file_that_it_means(bundle, home):
    weights = bundle.weights[0]
    (bundle.description.path / "blobs").mkdir()
    weights.rename(bundle.description.path / "blobs" / "1234")
    weights.symlink_to("../blobs/1234")
    installed = registry.install_bundle(bundle.description.path)
    assert not installed.weights[0].is_symlink()
    assert build_networks(installed)


@pytest.mark.parametrize("link", ["file", "folder", "loop", "nowhere"])
def test_a_link_out_of_a_bundle_is_not_followed(bundle, home, tmp_path, link):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("private")
    target = {"file": secret / "key", "folder": secret, "loop": "..", "nowhere": "nothing"}[link]
    (bundle.description.path / "docs" / "more").symlink_to(target)
    with pytest.raises(BadModelError, match=r"docs.more is a link that leads out"):
        registry.install_bundle(bundle.description.path)
    assert not (home / "glioma-tiny").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_a_bundle_does_not_block_its_installation(bundle, home):
    os.mkfifo(bundle.description.path / "docs" / "pipe")
    with pytest.raises(BadModelError, match="no regular file"):
        registry.install_bundle(bundle.description.path)
