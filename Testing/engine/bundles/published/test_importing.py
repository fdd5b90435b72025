"""Published checkpoints become bundles with one call."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine import reference
from engine.bundles.checkpoints import write_deepisles_checkpoint, write_lightning_checkpoint
from factorizer_engine.bundles.architecture import build_network, build_networks
from factorizer_engine.bundles.published.importing import import_checkpoint, inspect_checkpoint
from factorizer_engine.bundles.published.presets import PRESETS
from factorizer_engine.bundles.reading.loading import load_bundle
from factorizer_engine.bundles.settings import NetworkSpec, Preprocessing
from factorizer_engine.images.scan import Scan
from factorizer_engine.inference.segmenter import Segmenter
from factorizer_engine.protocol.errors import BadInputError, BadModelError

LEGACY = reference.FOLDER / "legacy"

# The network of the ISLES'22 challenge with narrower stages.
CHALLENGE = NetworkSpec(
    "Factorizer",
    {
        "in_channels": 3,
        "out_channels": 1,
        "spatial_size": [64, 64, 64],
        "encoder_width": [8, 8, 16, 16, 16],
        "reshape": ["SWMatricize", {"head_dim": 8, "patch_size": 4, "shifts": [None, 1, 2, 3]}],
        "mlp_ratio": 2,
        "eps": 1e-8,
        "num_deep_supr": 3,
        "downsample_bias": False,
    },
)
PUBLISHED_INPUTS = ("DWI", "ADC", "FLAIR")
PUBLISHED = {
    # preset: inputs, outputs, window, head dimension, patch, expected shifts
    "brats-paper": (4, 3, 128, 8, 8, [None, 4]),
    "isles22-paper": (3, 1, 64, 4, 4, [None, 2]),
    "isles22-challenge": (3, 1, 64, 8, 4, [None, 1, 2, 3]),
    "brats23": (4, 3, 128, 8, 8, [None, 2, 4, 6]),
    "isles22": (2, 1, 64, 8, 4, [None, 1, 2, 3]),
}


def narrow(preset: str) -> NetworkSpec:
    inputs, outputs, window, head_dim, patch, shifts = PUBLISHED[preset]
    is_legacy = PRESETS[preset].is_legacy
    arguments = {
        "in_channels": inputs,
        "out_channels": outputs,
        "spatial_size": [window] * 3,
        "encoder_width": [8] * 5,
        "reshape": [
            "SWMatricize",
            {"head_dim": head_dim, "patch_size": patch, "shifts": shifts},
        ],
        "eps": 1e-8 if is_legacy else 1e-16,
        "downsample_bias": not is_legacy,
        "num_deep_supr": 3 if is_legacy else None,
    }
    return NetworkSpec("Factorizer", arguments)


def test_deepisles_checkpoints_import_with_one_call_and_segment_as_before(tmp_path):
    torch.manual_seed(3)
    originals = [build_network(CHALLENGE).eval() for _ in range(2)]
    for fold, network in enumerate(originals):
        folder = tmp_path / f"FACTORIZER/logs/fold{fold}/swin-factorizer/version_0/checkpoints"
        folder.mkdir(parents=True)
        write_deepisles_checkpoint(folder / "epoch=1999-step=99999.ckpt", network)
    bundle = import_checkpoint(tmp_path / "FACTORIZER", tmp_path / "deepisles")
    assert [channel.name for channel in bundle.description.channels] == ["DWI", "ADC", "FLAIR"]
    assert [(region.name, region.label) for region in bundle.description.regions] == [("lesion", 1)]
    assert bundle.preprocessing == Preprocessing((2.0, 2.0, 2.0))
    assert (bundle.inference.roi_size, bundle.inference.blending) == ((64, 64, 64), "constant")
    assert bundle.description.family == "stroke"
    assert any("isles22-challenge" in note for note in bundle.description.notes)
    assert any("registered to the DWI" in note for note in bundle.description.notes)
    assert not any("assumed" in note for note in bundle.description.notes)
    x = torch.rand(1, 3, 64, 64, 64)
    for original, imported in zip(originals, build_networks(bundle), strict=True):
        with torch.no_grad():
            finest, *_ = original(x)
            assert reference.relative(imported(x), finest) < 1e-6


def test_an_imported_ensemble_segments_scans(tmp_path):
    torch.manual_seed(5)
    originals = [build_network(CHALLENGE).eval() for _ in range(2)]
    for fold, network in enumerate(originals):
        write_deepisles_checkpoint(tmp_path / f"fold{fold}.ckpt", network)
    bundle = import_checkpoint(sorted(tmp_path.glob("*.ckpt")), tmp_path / "deepisles")
    generator = np.random.default_rng(5)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    volumes = {name: 1 + generator.random((64, 64, 64), np.float32) for name in PUBLISHED_INPUTS}
    result = Segmenter(bundle, device="cpu").segment(
        {name: Scan.of(volume, affine, name) for name, volume in volumes.items()}
    )
    normalized = [(v - v.mean()) / v.std() for v in volumes.values()]
    x = torch.from_numpy(np.stack(normalized))[None]
    with torch.no_grad():
        logits = sum(network(x)[0] for network in originals) / 2
    assert reference.relative(torch.from_numpy(result.probabilities), logits[0].sigmoid()) < 1e-4
    assert result.labelmap.shape == (64, 64, 64)
    assert set(np.unique(result.labelmap.array)) <= {0, 1}


def test_without_stored_settings_the_preset_gives_what_the_tensors_do_not(tmp_path):
    torch.manual_seed(4)
    network = build_network(CHALLENGE).eval()
    write_lightning_checkpoint(tmp_path / "fold0.ckpt", network.state_dict(), {})
    bundle = import_checkpoint(tmp_path / "fold0.ckpt", tmp_path / "m", "isles22-challenge")
    assert bundle.network.arguments["reshape"][1]["shifts"] == [None, 1, 2, 3]
    assert bundle.network.arguments["eps"] == 1e-8
    assert any("shifts" in note and "preset" in note for note in bundle.description.notes)
    assert any("solver" in note and "assumed" in note for note in bundle.description.notes)
    assert bundle.description.notes == load_bundle(bundle.description.path).description.notes
    assert all(note in bundle.description.card for note in bundle.description.notes)


@pytest.mark.parametrize("preset", PUBLISHED)
def test_every_published_network_is_recognised_by_its_shapes(preset, tmp_path):
    state = build_network(narrow(preset)).state_dict()
    path = tmp_path / "weights.ckpt"
    if PRESETS[preset].is_legacy:
        write_lightning_checkpoint(path, state, {})
    else:
        torch.save({"model": state}, path)
    inspected = inspect_checkpoint(path)
    assert inspected.preset is PRESETS[preset]
    matricize = inspected.inspection.network.arguments["reshape"][1]
    assert matricize["shifts"] == PUBLISHED[preset][5]


def test_an_unknown_network_can_be_named_when_importing(tmp_path):
    bundle = import_checkpoint(
        LEGACY / "ignite_real.pt",
        tmp_path / "My Model",
        channels=["FLAIR", "t1c"],
        outputs=["plaque"],
        spacing=[1, 1, 3],
    )
    assert bundle.description.name == "my-model"
    assert [channel.name for channel in bundle.description.channels] == ["FLAIR", "t1c"]
    assert "t1ce" in bundle.description.channels[1].aliases
    assert bundle.description.regions[0].title == "Plaque"
    assert bundle.preprocessing.spacing == (1.0, 1.0, 3.0)
    assert any("No published network was recognised" in note for note in bundle.description.notes)
    assert build_networks(bundle)


def test_in_folders_other_networks_are_passed_over_and_named(tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    write_lightning_checkpoint(folder / "a.ckpt", build_network(CHALLENGE).state_dict(), {})
    torch.save({"state_dict": torch.nn.Conv3d(1, 1, 3).state_dict()}, folder / "resunet.ckpt")
    bundle = import_checkpoint(folder, tmp_path / "m")
    assert len(bundle.weights) == 1
    assert any(note.startswith("resunet.ckpt was passed over") for note in bundle.description.notes)


def test_members_of_different_networks_do_not_make_an_ensemble(tmp_path):
    other = replace(CHALLENGE, arguments={**CHALLENGE.arguments, "mlp_ratio": 4})
    for name, spec in (("a.ckpt", CHALLENGE), ("b.ckpt", other)):
        write_lightning_checkpoint(tmp_path / name, build_network(spec).state_dict(), {})
    with pytest.raises(BadModelError, match="a.ckpt and b.ckpt are different networks"):
        import_checkpoint([tmp_path / "a.ckpt", tmp_path / "b.ckpt"], tmp_path / "m")


@pytest.mark.parametrize(
    ("source", "preset", "error", "words"),
    [
        ("ignite_real.pt", "brats24", BadInputError, "no preset brats24"),
        ("ignite_real.pt", "brats23", BadModelError, "does not fit the preset brats23"),
        ("nowhere.pt", None, BadModelError, "missing"),
    ],
)
def test_wrong_requests_are_refused_and_leave_nothing(tmp_path, source, preset, error, words):
    with pytest.raises(error, match=words):
        import_checkpoint(LEGACY / source, tmp_path / "m", preset)
    assert not (tmp_path / "m").exists()


def test_a_two_dimensional_network_is_refused(tmp_path):
    tensors = reference.load("legacy/v001_global_2d_depth2.safetensors")
    torch.save(reference.state_of(tensors), tmp_path / "flat.pt")
    with pytest.raises(BadModelError, match="two-dimensional"):
        import_checkpoint(tmp_path / "flat.pt", tmp_path / "m")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(BadModelError, match="no checkpoints"):
        import_checkpoint(tmp_path, tmp_path / "m")
