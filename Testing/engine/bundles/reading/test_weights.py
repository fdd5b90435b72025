"""Weights of every kind are read, and nothing that a weights file contains is run."""

from __future__ import annotations

import builtins
import os
import pickle
import random
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from engine import reference
from factorizer_engine.bundles.architecture import build_network, load_state
from factorizer_engine.bundles.published.inspection import inspect_state
from factorizer_engine.bundles.published.presets import PRESETS
from factorizer_engine.bundles.reading.unpickling import Record, read_pickled_checkpoint
from factorizer_engine.bundles.reading.weights import part_of_network, read_checkpoint
from factorizer_engine.protocol.errors import BadModelError

LEGACY = reference.FOLDER / "legacy"


class Attack:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_a_lightning_checkpoint_of_absent_classes_gives_its_tensors_and_inert_settings():
    checkpoint = read_checkpoint(LEGACY / "lightning_like.ckpt")
    expected = reference.state_of(reference.load("legacy/v001_swin_paper_style.safetensors"))
    assert checkpoint.kind == "Lightning"
    assert checkpoint.state.keys() == expected.keys()
    assert all(torch.equal(t, expected[key]) for key, t in checkpoint.state.items())
    network_class, arguments = checkpoint.hyper_parameters["network"]
    assert issubclass(network_class, Record)
    assert network_class.qualified_name == "absent_legacy_pkg.networks.SegmentationNet"
    assert arguments["encoder_width"] == [8, 16, 32, 32]


@pytest.mark.parametrize("name", ["ignite_like.pt", "ignite_real.pt"])
def test_ignite_checkpoints_reproduce_their_network(name):
    checkpoint = read_checkpoint(LEGACY / name)
    assert checkpoint.kind == "Ignite"
    recorded = reference.load("legacy/ignite_like_io.safetensors")
    shifts = PRESETS["isles22"].network
    for dtype, key, tolerance in (
        (torch.float32, "output", 1e-5),
        (torch.float64, "output64", 1e-12),
    ):
        network = (
            build_network(inspect_state(checkpoint.state, preset=shifts).network).to(dtype).eval()
        )
        load_state(network, {k: t.to(dtype) for k, t in checkpoint.state.items()})
        with torch.no_grad():
            output = network(recorded["input_q"].to(dtype) / 32)
        assert reference.relative(output, recorded[key]) < tolerance


@pytest.mark.parametrize(
    "prefix", ["", "module.", "net.", "model.", "module.model.net.", "_orig_mod."]
)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_prefixes_of_wrappers_are_stripped(network, tmp_path, prefix, suffix):
    state = {prefix + key: tensor for key, tensor in network.state_dict().items()}
    path = tmp_path / f"weights{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    assert read_checkpoint(path).state.keys() == network.state_dict().keys()


def test_tensors_outside_the_network_are_left_out(network, tmp_path):
    state = {f"net.{key}": tensor for key, tensor in network.state_dict().items()}
    torch.save({"state_dict": {**state, "loss.weights": torch.ones(3)}}, tmp_path / "w.ckpt")
    assert read_checkpoint(tmp_path / "w.ckpt").state.keys() == network.state_dict().keys()


def test_views_half_precision_and_parameters_survive_the_restricted_reading(tmp_path):
    base = torch.arange(24.0).reshape(4, 6)
    content = {
        "view": base.t()[1:, ::2],
        "half": base.to(torch.bfloat16),
        "whole": torch.arange(5),
        "flag": torch.tensor([True, False]),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        "parameter": nn.Parameter(torch.ones(2)),
        "size": torch.Size([1, 2]),
    }
    torch.save(content, tmp_path / "w.pt")
    found = read_pickled_checkpoint(tmp_path / "w.pt")
    assert found.pop("size") == (1, 2)
    for name, tensor in found.items():
        assert tensor.dtype == content[name].dtype
        assert torch.equal(tensor, content[name]), name


@pytest.mark.parametrize(
    ("function", "name"),
    [(os.system, "system"), (builtins.eval, "eval"), (builtins.exec, "exec"), (os.mkdir, "mkdir")],
)
@pytest.mark.parametrize("place", ["hyper_parameters", "state_dict", "top"])
def test_a_checkpoint_that_runs_programs_is_refused_without_effect(
    network, tmp_path, function, name, place
):
    trace = tmp_path / "trace"
    command = {"system": f"touch {trace}", "mkdir": str(trace)}.get(
        name, f"open({str(trace)!r}, 'w')"
    )
    attack = Attack(function, command)
    content = {"pytorch-lightning_version": "2", "state_dict": dict(network.state_dict())}
    if place == "state_dict":
        content["state_dict"]["stem.weight"] = attack
    content["hyper_parameters"] = {"x": attack} if place == "hyper_parameters" else {}
    torch.save(attack if place == "top" else content, tmp_path / "w.ckpt")
    with pytest.raises(BadModelError, match=rf"\.{name} when opened"):
        read_checkpoint(tmp_path / "w.ckpt")
    assert not trace.exists()


def harmless_looking(path):
    """Stands for any function of an installed library that has an effect."""
    open(path, "wb").close()


def test_functions_of_installed_libraries_are_not_called_either(network, tmp_path):
    trace = tmp_path / "trace"
    attack = Attack(harmless_looking, str(trace))
    content = {"model": network.state_dict(), "optimizer": attack}
    torch.save(content, tmp_path / "w.pt")
    assert read_checkpoint(tmp_path / "w.pt").state.keys() == network.state_dict().keys()
    assert not trace.exists()


def pickled(tmp_path, program: bytes):
    path = tmp_path / "crafted.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("crafted/data.pkl", program)
        archive.writestr("crafted/data/0", b"\0" * 16)
    return path


STORAGE = (
    b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK%ctQ"
)


@pytest.mark.parametrize(
    "program",
    [
        # Changing a class or a constructor by restoring its state, and calling what comes of it.
        b"ccollections\nOrderedDict\n}X\x03\x00\x00\x00popcnt\nx\nsb.",
        b"ctorch._utils\n_rebuild_tensor_v2\n}X\x08\x00\x00\x00__code__K\x01sb.",
        b"cabsent\nThing\n}X\x01\x00\x00\x00xK\x01sb.",
        # A view far outside its storage, and a storage larger than its file.
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE % 4 + b"K\x00(K\xfft(K\xfft\x89}tR.",
        STORAGE % 9 + b".",
        # References to nothing.
        b"h\x07.",
        b"\x82\x01.",
        b"",
    ],
)
def test_crafted_pickles_are_refused(tmp_path, program):
    before = dict(vars(pickle))
    with pytest.raises(BadModelError):
        read_pickled_checkpoint(pickled(tmp_path, program))
    assert dict(vars(pickle)) == before


def test_pickles_changed_at_random_have_no_effect_but_a_refusal(tmp_path):
    with zipfile.ZipFile(LEGACY / "lightning_like.ckpt") as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    (name,) = (name for name in entries if name.endswith("data.pkl"))
    generator = random.Random(0)
    refused = 0
    for _ in range(60):
        program = bytearray(entries[name])
        for _ in range(generator.choice((1, 3, 30))):
            program[generator.randrange(len(program))] = generator.randrange(256)
        path = tmp_path / "changed.pt"
        with zipfile.ZipFile(path, "w") as archive:
            for entry, content in {**entries, name: bytes(program)}.items():
                archive.writestr(entry, content)
        try:
            read_pickled_checkpoint(path)
        except BadModelError:
            refused += 1
    assert refused > 10


def test_a_compressed_checkpoint_is_refused_before_it_unpacks(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "stored.pt")
    with (
        zipfile.ZipFile(tmp_path / "stored.pt") as stored,
        zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for info in stored.infolist():
            packed.writestr(info.filename, stored.read(info))
    with pytest.raises(BadModelError, match="not a torch checkpoint"):
        read_checkpoint(tmp_path / "packed.pt")


def test_tensors_that_claim_more_than_the_file_holds_are_refused(network, tmp_path):
    state = dict(network.state_dict())
    state["stem.weight"] = torch.zeros(1).expand(10**12)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(BadModelError, match="claim more numbers"):
        read_checkpoint(tmp_path / "w.pt")


@pytest.mark.parametrize("change", [torch.Tensor.to_sparse, lambda tensor: tensor.to("meta")])
def test_tensors_that_are_no_tables_of_numbers_are_refused(network, tmp_path, change):
    state = network.state_dict()
    key = next(iter(state))
    state[key] = change(state[key])
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(BadModelError, match=f"{key} in a form"):
        read_checkpoint(tmp_path / "model.pt")


def test_whole_numbers_in_place_of_weights_are_refused(network):
    state = {key: (10 * tensor).to(torch.int8) for key, tensor in network.state_dict().items()}
    with pytest.raises(BadModelError, match="whole numbers, as after a quantisation"):
        load_state(network, state)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".ckpt"])
def test_truncated_weights_are_refused(network, tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(network.state_dict(), path)
    else:
        torch.save(network.state_dict(), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(BadModelError, match=f"weights{suffix}"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\x80\x02}q\x00.", b"PK\x03\x04"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_other_files_are_refused(tmp_path, content, suffix):
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    with pytest.raises(BadModelError, match=f"file{suffix}"):
        read_checkpoint(path)


def test_a_checkpoint_without_tensors_is_refused(tmp_path):
    torch.save({"model": {"epoch": 3}, "state_dict": {}}, tmp_path / "w.pt")
    with pytest.raises(BadModelError, match="holds no weights"):
        read_checkpoint(tmp_path / "w.pt")


@pytest.mark.parametrize(
    "place",
    "state_dict model_state_dict model net network network_weights model_state state_dict_ema "
    "ema_state_dict weights params module my_net".split(),
)
def test_weights_are_found_under_any_usual_name(network, tmp_path, place):
    content = {
        place: network.state_dict(),
        "epoch": torch.tensor(3),
        "optimizer": {"moments": torch.ones(2)},
    }
    torch.save(content, tmp_path / "w.pt")
    assert read_checkpoint(tmp_path / "w.pt").state.keys() == network.state_dict().keys()


def test_weights_may_lie_one_level_deeper(network, tmp_path):
    torch.save({"state": {"model": network.state_dict()}}, tmp_path / "w.pt")
    assert read_checkpoint(tmp_path / "w.pt").state.keys() == network.state_dict().keys()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"generator": {"a.weight": torch.ones(1)}, "judge": {"a.weight": torch.ones(1)}}, "'gen"),
        ({"epoch": 3, "optimizer": {"moments": torch.ones(2)}}, "no weights of a network"),
        (nn.Linear(2, 2), "program object"),
        ({"model": nn.Linear(2, 2)}, "program object"),
    ],
)
def test_a_file_without_the_weights_of_one_network_is_refused(tmp_path, content, match):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(BadModelError, match=match):
        read_checkpoint(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("keys", "extra"),
    [
        ("", ["criterion.weight", "n_averaged", "dice_loss.weights", "train_metrics.sum"]),
        ("model.", ["criterion.weight", "head.bias", "ema_model.first.weight"]),
        ("module.", ["n_averaged", "total_ops", "module.first.total_params"]),
        ("segmenter.net.", ["segmenter.extra", "model.criterion.weight"]),
    ],
)
def test_a_network_is_found_among_what_surrounds_it_in_training(keys, extra):
    wanted = ["first.weight", "first.bias", "last.weight"]
    state = {key: torch.ones(1) for key in [*(keys + name for name in wanted), *extra]}
    assert list(part_of_network(state, wanted, "w.pt")) == wanted


def test_what_could_belong_to_the_network_is_not_left_out():
    state = {"first.weight": torch.ones(1), "attention.weight": torch.ones(1)}
    assert part_of_network(state, ["first.weight"], "w.pt") == state


def test_a_network_that_is_there_twice_is_refused():
    state = {"student.first.weight": torch.ones(1), "teacher.first.weight": torch.ones(1)}
    with pytest.raises(BadModelError, match="'student' and 'teacher'"):
        part_of_network(state, ["first.weight"], "w.pt")
