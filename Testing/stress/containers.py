"""Archives and checkpoints made to do harm: nothing is run, written elsewhere, or unbounded."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import shutil
import struct
import tarfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from engine import tiny
from factorizer_engine.bundles.architecture import build_networks
from factorizer_engine.bundles.published.importing import inspect_checkpoint
from factorizer_engine.bundles.published.installing import install_model
from factorizer_engine.bundles.reading.loading import load_bundle
from stress.mutations import damaged_bytes
from stress.trial import Trial, attempt

SECONDS, BYTES = 20.0, 2**30
"""What a refusal may take at most."""

Make = Callable[[Path, Path, random.Random], Path]


def container_trials(folder: Path, chance: random.Random) -> Iterator[Trial]:
    """Every harmful file as it is, then any of them damaged as well, without end."""
    os.environ["FACTORIZER_MODELS"] = str(folder / "models")
    whole = tiny.bundle(folder).description.path
    canary = folder / "canary"
    makes = [*ARCHIVES, *CHECKPOINTS]
    for number in range(1 << 60):
        make = makes[number] if number < len(makes) else chance.choice(makes)
        work = folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        (work / "a").mkdir(parents=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = make(whole, work / "a", _Chance(chance, canary))
        if number >= len(makes):
            file.write_bytes(damaged_bytes(file.read_bytes(), chance))
        yield _judged(make.__name__.strip("_"), file, folder, canary, make in CHECKPOINTS)


class _Chance(random.Random):
    """A source of chance that also knows the file which must not come to be."""

    def __init__(self, chance: random.Random, canary: Path) -> None:
        super().__init__(chance.random())
        self.canary = canary


def _judged(name: str, file: Path, folder: Path, canary: Path, is_checkpoint: bool) -> Trial:
    before, peak, began = _outside(folder), _peak(), time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trial = attempt(name, lambda: _read(file, folder, is_checkpoint), file)
    faults = [trial.fault] if trial.fault else []
    if canary.exists():
        faults.append("its code was run")
        canary.unlink()
    if time.monotonic() - began > SECONDS:
        faults.append(f"took {time.monotonic() - began:.0f} s")
    if _peak() - peak > BYTES:
        faults.append(f"took {(_peak() - peak) / 2**20:.0f} MiB")
    if new := _outside(folder) - before:
        faults.append(f"wrote {sorted(map(str, new))}")
    return Trial(name, trial.refused, "; ".join(faults), file)


def _read(file: Path, folder: Path, is_checkpoint: bool) -> None:
    """As the commands do that take models."""
    shutil.rmtree(folder / "models", ignore_errors=True)
    if is_checkpoint:
        inspect_checkpoint(file)
    else:
        build_networks(load_bundle(file))
        install_model(str(file))


def _outside(folder: Path) -> set[Path]:
    """Files that are neither the trial's nor installed models'."""
    return {p for p in folder.iterdir() if p.name not in ("models", "work", "canary")} | set(
        (folder / "work").iterdir()
    )


def _peak() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _zip(whole: Path, file: Path, spoil: Callable[[zipfile.ZipFile], object]) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(whole.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(whole.parent))
        spoil(archive)
    return file


def _member(name: str, content: bytes = b"x") -> Make:
    def make(whole: Path, folder: Path, chance: random.Random) -> Path:
        return _zip(whole, folder / "m.zip", lambda archive: archive.writestr(name, content))

    make.__name__ = f"member {name[:30]}"
    return make


def _absolute_member(whole: Path, folder: Path, chance: random.Random) -> Path:
    """A member that would lie beside the trial's folder, where it would be noticed."""
    return _member((folder.parent / "evil").as_posix())(whole, folder, chance)


def _symlink(whole: Path, folder: Path, chance: random.Random) -> Path:
    entry = zipfile.ZipInfo("tiny/models/model.pt")
    entry.external_attr = 0o120777 << 16
    return _zip(whole, folder / "m.zip", lambda archive: archive.writestr(entry, "/etc/passwd"))


def _bomb(whole: Path, folder: Path, chance: random.Random) -> Path:
    def spoil(archive: zipfile.ZipFile) -> None:
        with archive.open("tiny/models/other.bin", "w", force_zip64=True) as member:
            for _ in range(64):
                member.write(bytes(2**20))

    file = _zip(whole, folder / "m.zip", spoil)
    size, content = struct.pack("<I", 64 * 2**20), bytearray(file.read_bytes())
    place = content.rfind(size)  # the directory claims nearly nothing, and in truth it is much
    content[place : place + 4] = struct.pack("<I", 10)
    file.write_bytes(content)
    return file


def _huge_claim(whole: Path, folder: Path, chance: random.Random) -> Path:
    """The directory claims four gigabytes for each of three members."""
    file = _zip(whole, folder / "m.zip", lambda archive: archive.writestr("tiny/x", b"123456789"))
    content = file.read_bytes().replace(struct.pack("<I", 9), struct.pack("<I", 0xFFFFFFF0))
    file.write_bytes(content)
    return file


def _deep_folders(whole: Path, folder: Path, chance: random.Random) -> Path:
    name = "tiny/" + "a/" * 3000
    return _zip(whole, folder / "m.zip", lambda archive: archive.writestr(name, b""))


def _many_files(whole: Path, folder: Path, chance: random.Random) -> Path:
    def spoil(archive: zipfile.ZipFile) -> None:
        for number in range(5000):
            archive.writestr(f"tiny/{number}", b"")

    return _zip(whole, folder / "m.zip", spoil)


def _deep_json(whole: Path, folder: Path, chance: random.Random) -> Path:
    copy = folder / "tiny"
    shutil.copytree(whole, copy)
    (copy / "SHA256SUMS").unlink()
    deep = "[" * 100_000 + "]" * 100_000
    (copy / "configs" / "inference.json").write_text(deep, encoding="utf-8")
    return _zip(copy, folder / "m.zip", lambda archive: None)


def _deep_yaml(whole: Path, folder: Path, chance: random.Random) -> Path:
    """Aliases of aliases, which would be billions of values if they were written out."""
    copy = folder / "tiny"
    shutil.copytree(whole, copy)
    (copy / "SHA256SUMS").unlink()
    (copy / "configs" / "inference.json").unlink()
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    (copy / "configs" / "inference.yaml").write_text("\n".join(lines), encoding="utf-8")
    return _zip(copy, folder / "m.zip", lambda archive: None)


class _Poison:
    """Touches the canary when it is unpickled."""

    def __init__(self, function: Callable, *arguments: object) -> None:
        self._reduced = (function, arguments)

    def __reduce__(self) -> tuple:
        return self._reduced


def _poisoned_zip(whole: Path, folder: Path, chance: _Chance) -> Path:
    torch.save({"model": _Poison(os.system, f"touch {chance.canary}")}, folder / "m.pt")
    return folder / "m.pt"


def _poisoned_old(whole: Path, folder: Path, chance: _Chance) -> Path:
    poison = _Poison(exec, f"open({str(chance.canary)!r}, 'w')")
    torch.save(
        {"state_dict": {"w": torch.zeros(2)}, "callbacks": poison},
        folder / "m.ckpt",
        _use_new_zipfile_serialization=False,
    )
    return folder / "m.ckpt"


def _poisoned_pickle(whole: Path, folder: Path, chance: _Chance) -> Path:
    """Plain pickles with one of the ways of calling something."""
    touch = f"open({str(chance.canary)!r}, 'w')"
    pickles = (
        b"c__builtin__\neval\n(S" + repr(touch).encode() + b"\ntR.",
        b"(S" + repr(touch).encode() + b"\ni__builtin__\neval\n.",
        b"(c__builtin__\neval\nS" + repr(touch).encode() + b"\no.",
        pickle.dumps(_Poison(Path.touch, chance.canary)),
        pickle.dumps(_Poison(os.system, f"touch {chance.canary}")),
        b"\x80\x04\x95" + b"\xff" * 8 + b".",
        b"]" * 200_000 + b"." + b"a" * 10,
        b"\x80\x02" + b"(" * 1_000_000 + b".",
        b"\x80\x04B\xff\xff\xff\x7f" + b"x" * 20,
        b"\x80\x02X\xff\xff\xff\x7fabc.",
    )
    file = folder / "m.pth"
    file.write_bytes(chance.choice(pickles))
    return file


def _huge_tensor(whole: Path, folder: Path, chance: random.Random) -> Path:
    """A tensor of a terabyte in a file of a kilobyte, by strides of zero."""
    torch.save({"w": torch.zeros(1).expand(2**28, 2**10)}, folder / "m.pt")
    return folder / "m.pt"


def _safetensors(header: bytes, length: int | None = None) -> Make:
    def make(whole: Path, folder: Path, chance: random.Random) -> Path:
        size = struct.pack("<Q", len(header) if length is None else length)
        (folder / "m.safetensors").write_bytes(size + header + bytes(64))
        return folder / "m.safetensors"

    make.__name__ = f"safetensors {header[:20].decode()} {length or ''}"
    return make


def _tensor(**changes: object) -> bytes:
    entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16], **changes}
    return json.dumps({"w": entry, "v": {**entry, "data_offsets": [8, 24]}}).encode()


def _tar(whole: Path, folder: Path, chance: random.Random) -> Path:
    with tarfile.open(folder / "m.pt", "w") as archive:
        entry = tarfile.TarInfo("../../evil")
        entry.size = 3
        archive.addfile(entry, io.BytesIO(b"abc"))
    return folder / "m.pt"


ARCHIVES: list[Make] = [
    _member("../evil"),
    _member("../../evil"),
    _absolute_member,
    _member("tiny/..\\..\\evil"),
    _member("C:\\evil"),
    _member("tiny/CON"),
    _member("tiny/" + "x" * 250),
    _member("tiny/models/evil\x00.pt"),
    _member("tiny/configs/inference.json", b"{}"),
    _symlink,
    _bomb,
    _huge_claim,
    _deep_folders,
    _many_files,
    _deep_json,
    _deep_yaml,
]
CHECKPOINTS: list[Make] = [
    _poisoned_zip,
    _poisoned_old,
    *[_poisoned_pickle] * 10,
    _huge_tensor,
    _tar,
    _safetensors(_tensor(), 2**62),
    _safetensors(_tensor(), 100_000_000),
    _safetensors(_tensor()),
    _safetensors(_tensor(shape=[2**40])),
    _safetensors(_tensor(data_offsets=[16, 0])),
    _safetensors(b"[" * 100_000),
    _safetensors(b'{"w": ' * 50_000),
]
