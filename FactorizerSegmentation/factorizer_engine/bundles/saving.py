"""Writes a model bundle in MONAI's layout."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from torch import Tensor, nn

from factorizer_engine.bundles.architecture import (
    CLASS_ARGUMENTS,
    check_fit,
    check_numbers,
    fit_state,
    outline,
)
from factorizer_engine.bundles.bundle import Bundle
from factorizer_engine.bundles.eight_bits import to_eight_bits
from factorizer_engine.bundles.profiles import ATLAS, OF_FEWER, OWN, write_profiles
from factorizer_engine.bundles.reading.archive import copy_bundle
from factorizer_engine.bundles.reading.checksums import write_checksums
from factorizer_engine.bundles.reading.expressions import class_name
from factorizer_engine.bundles.reading.loading import COARSE, FEWER, load_bundle
from factorizer_engine.bundles.reading.metadata import bundle_section
from factorizer_engine.bundles.reading.validation import check_bundle
from factorizer_engine.bundles.settings import NetworkSpec
from factorizer_engine.protocol.description import SECTION
from factorizer_engine.protocol.errors import BadInputError, BadModelError
from factorizer_engine.protocol.files import written_folder
from factorizer_engine.protocol.messages import plain
from factorizer_engine.protocol.names import slug

_SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
    "meta_schema_20240725.json"
)
_MONAI_NAMES = {
    "Factorizer": "factorizer_engine.networks.Factorizer",
    "SegResNet": "monai.networks.nets.SegResNet",
    "DynUNet": "monai.networks.nets.DynUNet",
}
_MONAI_IMPORTS = (
    "$import torch",
    "$from torch import nn",
    "$import safetensors.torch as safetensors",
    "$from factorizer_engine.networks import LayerNorm",
    "$from factorizer_engine.networks import PositionalEmbedding",
    "$from factorizer_engine.networks import AxialPositionalEmbedding",
    "$from factorizer_engine.networks import RotaryPositionalEmbedding",
    "$from factorizer_engine.networks import SinusoidalPositionalEmbedding",
    "$from factorizer_engine.factorization import Matricize",
    "$from factorizer_engine.factorization import SWMatricize",
    "$from factorizer_engine.factorization import MatrixFactorization",
    "$from factorizer_engine.factorization import NMF",
)
_OWN_CLASSES = frozenset(line.rpartition(" ")[2] for line in _MONAI_IMPORTS if "factorizer" in line)


def save_bundle(
    bundle: Bundle,
    members: Sequence[nn.Module | Mapping[str, Tensor]],
    path: str | Path,
    dtype: Literal["float16", "float32"] = "float16",
    metadata: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    fewer: Sequence[nn.Module | Mapping[str, Tensor]] = (),
) -> Bundle:
    """Write a bundle folder and return it as loaded back.

    Args:
        bundle: All settings; its path and weights are not used. The first stage of a cascade is
            copied from where it lies.
        members: The trained networks, or their state dicts, one per ensemble member.
        path: The folder to write, usually named like the bundle.
        dtype: Floating-point type of the stored weights.
        metadata: More entries for metadata.json, such as "authors", "eval_metrics", "data_source".
        overwrite: Whether a bundle at `path` may be replaced.
        fewer: Likewise the networks that learned from studies which lack scans, if `bundle.fewer`
            says where they answer; in 8 bits unless `dtype` is float32.

    Raises:
        BadInputError: If the folder exists already or cannot be written.
        BadModelError: If weights do not fit the network, or do not fit into `dtype`.
    """
    path = Path(path)
    name = bundle.description.name
    check_target(path, name, overwrite)
    check_bundle(bundle)
    states = [_stored_state(member, bundle.network, dtype) for member in members]
    fewer_states = [_stored_state(member, bundle.network, "float32") for member in fewer]
    if dtype == "float16":
        fewer_states = [to_eight_bits(state) for state in fewer_states]
    if not states:
        raise BadModelError("A model needs the weights of at least one network.")
    try:
        with written_folder(path) as written:
            _write_files(written, bundle, states, fewer_states, metadata or {})
    except OSError as error:
        raise BadInputError(
            f"The model cannot be written to {path} ({error.strerror or error}); choose another "
            "folder."
        ) from error
    return load_bundle(path)


def check_target(path: Path, name: str, overwrite: bool) -> None:
    """Make sure that a bundle of this name may be written to `path`; costs nothing.

    Raises:
        BadInputError: If the name is none for a model, or something is there that has to stay.
    """
    if slug(name) != name:
        raise BadInputError(
            f"The model's name '{name}' may only hold lower-case letters, digits and hyphens, such "
            f"as '{slug(name)}'."
        )
    if path.is_file():
        raise BadInputError(f"{path} is a file; choose the name of a new folder.")
    if not path.exists() or not any(path.iterdir()):
        return
    if not overwrite:
        raise BadInputError(
            f"The folder {path} is not empty; choose another, or replace the model there "
            "(--replace)."
        )
    if not (path / "configs" / "metadata.json").is_file():
        raise BadInputError(f"The folder {path} holds something other than a model and is kept.")


def _write_files(
    path: Path,
    bundle: Bundle,
    states: Sequence[dict[str, Tensor]],
    fewer: Sequence[dict[str, Tensor]],
    metadata: Mapping[str, Any],
) -> None:
    for folder in ("configs", "models", "docs"):
        (path / folder).mkdir(parents=True)
    _write_weights(path / "models", states)
    if fewer:
        _write_weights(path / "models" / FEWER, fewer)
    _write_json(path / "configs" / "metadata.json", _metadata(bundle, metadata))
    _write_json(path / "configs" / "inference.json", _inference(bundle, len(states)))
    (path / "docs" / "README.md").write_text(bundle.description.card, encoding="utf-8")
    if bundle.coarse is not None:
        _copy_first_stage(bundle.coarse.description.path, path / COARSE)
    write_profiles(path, bundle.profiles, bundle.fewer_profiles)
    write_checksums(path)


def _copy_first_stage(source: Path, target: Path) -> None:
    """The bundle without what its components mean, since those of the last stage are shown."""
    copy_bundle(source, target)
    for file in (OWN, OF_FEWER):
        (target / file).unlink(missing_ok=True)
    shutil.rmtree(target / ATLAS, ignore_errors=True)
    write_checksums(target)


def _write_weights(folder: Path, states: Sequence[dict[str, Tensor]]) -> None:
    folder.mkdir(exist_ok=True)
    for name, state in zip(_weights_names(len(states)), states, strict=True):
        # `save_file` would make a file that nobody else may read.
        (folder / name).write_bytes(safetensors.torch.save(state, {"format": "pt"}))


def _weights_names(count: int) -> list[str]:
    if count == 1:
        return ["model.safetensors"]
    return [f"model_fold{index}.safetensors" for index in range(count)]


def _stored_state(
    member: nn.Module | Mapping[str, Tensor], spec: NetworkSpec, dtype: str
) -> dict[str, Tensor]:
    shapes = outline(spec)
    state = fit_state(member.state_dict() if isinstance(member, nn.Module) else member, shapes)
    check_fit(state, shapes, "given")
    check_numbers(state, "given")
    stored = {}
    for key, tensor in state.items():
        tensor = tensor.detach().cpu()
        if tensor.is_floating_point():
            tensor = tensor.to(getattr(torch, dtype))
            if not torch.isfinite(tensor).all():
                raise BadModelError(f"The weights {key} cannot be stored as {dtype}.")
        stored[key] = tensor.contiguous().clone()
    return stored


def _metadata(bundle: Bundle, more: Mapping[str, Any]) -> dict[str, Any]:
    """MONAI's metadata with the typed settings in their own section."""
    shape = [int(size) for size in bundle.inference.roi_size]
    content: dict[str, Any] = {
        "schema": _SCHEMA,
        "version": bundle.description.version,
        "changelog": {bundle.description.version: "first version"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {"safetensors": version("safetensors")},
        "name": bundle.description.title,
        "task": bundle.description.title,
        "description": bundle.description.summary,
        "authors": "",
        "copyright": "",
        "intended_use": "Research only; not a medical device.",
    }
    content.update(more)
    content["network_data_format"] = {
        "inputs": {
            "image": {
                "type": "image",
                "format": "magnitude",
                "modality": "MR",
                "num_channels": len(bundle.description.channels),
                "spatial_shape": shape,
                "dtype": "float32",
                "value_range": [],
                "is_patch_data": True,
                "channel_def": {str(i): c.name for i, c in enumerate(bundle.description.channels)},
            }
        },
        "outputs": {
            "pred": {
                "type": "image",
                "format": "segmentation",
                "num_channels": len(bundle.description.regions),
                "spatial_shape": shape,
                "dtype": "float32",
                "value_range": [0, 1],
                "is_patch_data": True,
                "channel_def": {str(i): r.title for i, r in enumerate(bundle.description.regions)},
            }
        },
    }
    content[SECTION] = bundle_section(bundle)
    return content


def _inference(bundle: Bundle, count: int) -> dict[str, Any]:
    """An inference configuration that `monai.bundle.ConfigParser` can instantiate."""
    return {
        "imports": list(_MONAI_IMPORTS),
        "bundle_root": ".",
        "weights_paths": [f"$@bundle_root + '/models/{name}'" for name in _weights_names(count)],
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "network_def": {
            "_target_": _MONAI_NAMES[bundle.network.target],
            **_monai_arguments(bundle.network),
        },
        "network": "$@network_def.to(@device)",
        "state_dicts": "$[safetensors.load_file(p) for p in @weights_paths]",
        "preprocessing": {"_target_": "Compose", "transforms": _monai_transforms(bundle)},
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": list(bundle.inference.roi_size),
            "sw_batch_size": 1,
            "overlap": bundle.inference.overlap,
            "mode": bundle.inference.blending,
        },
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
                {
                    "_target_": "AsDiscreted",
                    "keys": "pred",
                    "threshold": bundle.inference.threshold,
                },
            ],
        },
    }


def _monai_arguments(spec: NetworkSpec) -> dict[str, Any]:
    """Network arguments, with the classes among a Factorizer's written as MONAI expressions."""
    names_classes = spec.target == "Factorizer"
    return {
        name: _monai_class(value) if names_classes and name in CLASS_ARGUMENTS else plain(value)
        for name, value in spec.arguments.items()
    }


def _monai_class(value: Any) -> Any:
    if isinstance(value, str):
        name = class_name(value)
        return f"${name}" if name in _OWN_CLASSES else f"$nn.{name}"
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], str):
        return [_monai_class(value[0]), plain(value[1])]
    return value


def _monai_transforms(bundle: Bundle) -> list[dict[str, Any]]:
    settings = bundle.preprocessing
    steps: list[dict[str, Any]] = [
        {"_target_": "LoadImaged", "ensure_channel_first": True},
        {"_target_": "Orientationd", "axcodes": settings.orientation},
        {
            "_target_": "CropForegroundd",
            "source_key": "image",
            "margin": settings.crop_margin,
            "allow_smaller": True,
        },
    ]
    if settings.normalization != "none":
        nonzero = settings.normalization == "zscore_nonzero"
        steps.append({"_target_": "NormalizeIntensityd", "nonzero": nonzero, "channel_wise": True})
    if settings.spacing is not None:
        steps.append({"_target_": "Spacingd", "pixdim": list(settings.spacing), "mode": "bilinear"})
    steps.append({"_target_": "EnsureTyped", "dtype": "$torch.float32"})
    return [{**step, "keys": "image"} for step in steps]


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
