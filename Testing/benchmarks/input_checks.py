"""`python -m benchmarks.input_checks DATA`: how many mistakes the check of the inputs finds.

DATA holds brats18, open_ms_mni (nnU-Net's layout), brats_ped, brats13, lgg_raw, tcia_raw (a folder
a case), open_ms_raw and isles22. With `--fit` the numbers of `plausibility/sequences.json` are
learnt anew.

Every case is looked at with what was learnt from all others, so that no case vouches for itself;
the thresholds of `images/plausibility` are fixed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from unittest.mock import patch

import numpy as np

from factorizer_engine.images.files import read_scan
from factorizer_engine.images.plausibility import brain, sequences
from factorizer_engine.images.plausibility.sketch import sketch_study
from factorizer_engine.images.plausibility.study import check_study
from factorizer_engine.images.resampling import resample
from factorizer_engine.images.scan import Scan
from factorizer_engine.protocol.checks import GREEN, Finding
from factorizer_engine.protocol.description import describe_model, read_metadata
from factorizer_engine.protocol.models import ModelDescription

MODULE = Path(__file__).resolve().parents[2] / "FactorizerSegmentation"
SEQUENCES = ("FLAIR", "T1", "T1ce", "T2")
Study = dict[str, Scan]
Examples = list[tuple[tuple[str, str], np.ndarray]]


def find_cases(data: Path) -> dict[str, dict[str, Path]]:
    """The files of every case, by channel."""
    cases = {}
    for folder in ("brats18", "open_ms_mni"):
        for first in sorted((data / folder / "imagesTr").glob("*_0000.nii.gz")):
            stem = first.name.removesuffix("_0000.nii.gz")
            cases[f"{folder}/{stem}"] = {
                name: first.with_name(f"{stem}_000{number}.nii.gz")
                for number, name in enumerate(SEQUENCES)
            }
    for folder in ("brats_ped", "brats13", "lgg_raw", "tcia_raw"):
        for case in sorted(path for path in (data / folder).iterdir() if path.is_dir()):
            files = {name: case / f"{name}.nii.gz" for name in SEQUENCES}
            cases[f"{folder}/{case.name}"] = {n: f for n, f in files.items() if f.exists()}
    raw = {"FLAIR": "FLAIR", "T1": "T1W", "T2": "T2W"}
    for flair in sorted((data / "open_ms_raw").glob("*_FLAIR.nii.gz")):
        cases[f"open_ms_raw/{flair.name}"] = {
            name: Path(str(flair).replace("_FLAIR", f"_{part}")) for name, part in raw.items()
        }
    return cases


def mistakes(study: Study, other: Study, stroke: Study, label: Scan | None) -> Iterator:
    """(kind, scans with one mistake), every one that can be made with this study."""
    names = list(study)
    for index, first in enumerate(names):
        for second in names[index + 1 :]:
            yield "two sequences exchanged", study | {first: study[second], second: study[first]}
            for factor in (1.0, 1.0001):
                copy = study[first].with_array(study[first].array.astype(np.float32) * factor)
                yield "one image twice", study | {second: copy}
    last, random = names[-1], np.random.default_rng(0)
    yield "contrast inverted", study | {"FLAIR": _inverted(study["FLAIR"])}
    for name in names[1:]:
        yield "turned by 90 degrees", study | {name: _turned(study[name])}
        if name in other:
            placed = _centred(other[name], study[name])
            yield "another patient", study | {name: placed}
        part = study[name].array.copy()
        part[:, :, part.shape[2] // 10 :] = 0
        yield "a tenth of the head", study | {name: study[name].with_array(part)}
    yield "all turned", {name: _turned(scan) for name, scan in study.items()}
    noise = random.normal(100, 20, study[last].shape) * (study[last].array != 0)
    yield "noise", study | {last: study[last].with_array(noise.astype(np.float32))}
    if label is not None:
        yield "a label map", study | {last: label}
    yield "CT", {name: _ct(scan) for name, scan in study.items()}
    for size in (0.1, 10.0):
        yield f"voxels of {size:g} mm", {n: _resized(s, size) for n, s in study.items()}
    spiked = {name: _spiked(scan) for name, scan in study.items()}
    yield "one voxel of 1e6 (mended)", spiked
    yield (
        "background of -1 (mended)",
        {
            n: s.with_array(np.where(s.array == 0, -1, s.array).astype(np.float32))
            for n, s in study.items()
        },
    )
    for scan in stroke.values():
        for row in names:
            yield "stroke DWI or ADC", study | {row: _centred(scan, study[row])}


def measure(data: Path, fit: bool, every: int) -> int:
    """Print how many mistakes are found, by kind, and which correct studies are amber."""
    cases = find_cases(data)
    metadata = MODULE / "Resources" / "models" / "glioma-fast"
    model = describe_model(metadata, read_metadata(metadata, "glioma-fast"), "glioma-fast")
    examples = {name: _examples(read(files)) for name, files in cases.items()}
    if fit:
        everything = [example for found in examples.values() for example in found]
        sequences.SequenceModel.fit(everything).save(sequences._FILE)
    print_exchanges(examples)
    stroke_files = sorted((data / "isles22" / "rawdata").glob("*/*/*_[da][wd][ic].nii.gz"))
    stroke = {file.name: read_scan(file) for file in stroke_files}
    found: dict[str, list[bool]] = {}
    loud: list[str] = []
    names = list(cases)
    for number, name in enumerate(names):
        rest = [e for other, some in examples.items() if other != name for e in some]
        learnt = sequences.SequenceModel.fit(rest)
        study, other = read(cases[name]), read(cases[names[(number + 1) % 21]])
        with patch.object(brain, "known_sequences", lambda learnt=learnt: learnt):
            plain = look(study, model)
            before = {(f.channels, f.severity, f.sentence) for f in plain}
            amber = [f.sentence for f in plain if f.severity != GREEN]
            unexplained = [s for s in amber if "mm: small" not in s and "skull" not in s]
            loud += [f"{name}: {sentence}" for sentence in unexplained]
            if number % every:
                continue
            label = _label_of(data, name)
            for kind, wrong in mistakes(study, other, stroke if number % 5 == 0 else {}, label):
                after = look(wrong, model)
                new = [f for f in after if (f.channels, f.severity, f.sentence) not in before]
                wanted = [f for f in new if f.severity != GREEN or "(mended)" in kind]
                if not wanted:
                    print("missed:", name, kind, list(wrong), flush=True)
                found.setdefault(kind, []).append(bool(wanted))
    print("\n| mistake | tried | found |\n|---|---|---|")
    for kind, hits in found.items():
        print(f"| {kind} | {len(hits)} | {100 * np.mean(hits):.1f} % |")
    hits = [hit for some in found.values() for hit in some]
    print(f"| **all** | {len(hits)} | **{100 * np.mean(hits):.1f} %** |")
    print(f"\n{len({line.split(':')[0] for line in loud})} of {len(cases)} correct studies amber:")
    print("\n".join(loud))
    return 0


def print_exchanges(examples: Mapping[str, Examples]) -> None:
    """How often exchanged rows are found, and right ones doubted, with each case held out."""
    found: dict[int, list[bool]] = {}
    doubted: dict[int, list[bool]] = {}
    for name, own in examples.items():
        rest = [e for other, some in examples.items() if other != name for e in some]
        learnt, pairs = sequences.SequenceModel.fit(rest), dict(own)
        channels = sorted({channel for pair in pairs for channel in pair})
        for count in range(2, len(channels) + 1):
            for rows in combinations(channels, count):
                right = {row: row for row in rows}
                gain, _ = learnt.likelier(right, pairs)
                doubted.setdefault(count, []).append(gain > brain.SWAPPED)
                for a, b in combinations(rows, 2):
                    gain, _ = learnt.likelier(right | {a: b, b: a}, pairs)
                    found.setdefault(count, []).append(gain > brain.SWAPPED)
    print("| rows | exchanges found | right sets doubted |\n|---|---|---|")
    for count in sorted(found):
        hits, false = found[count], doubted[count]
        print(
            f"| {count} | {sum(hits)} of {len(hits)} | {sum(false)} of {len(false)} |", flush=True
        )


def look(study: Study, model: ModelDescription) -> list[Finding]:
    """The findings for a study."""
    return check_study(study, model)


def read(files: Mapping[str, Path]) -> Study:
    """The scans of a case."""
    return {name: read_scan(file) for name, file in files.items()}


def _examples(study: Study) -> Examples:
    sketches = sketch_study(study, next(iter(study)))
    brains = {name: s.brain(brain.is_stripped(s)) for name, s in sketches.items()}
    return list(brain.pair_traits(sketches, brains).items())


def _label_of(data: Path, name: str) -> Scan | None:
    folder, case = name.split("/")
    nnunet, own = data / folder / "labelsTr" / f"{case}.nii.gz", data / folder / case / "seg.nii.gz"
    file = next((file for file in (nnunet, own) if file.exists()), None)
    return read_scan(file) if file else None


def _inverted(scan: Scan) -> Scan:
    array = scan.array.astype(np.float32)
    top = np.percentile(array[array != 0], 99.5)
    return scan.with_array(np.where(array != 0, np.maximum(top - array, 0.01), 0))


def _turned(scan: Scan) -> Scan:
    turned = np.rot90(scan.array, axes=(0, 1))
    return (
        resample(Scan.of(turned, scan.affine), scan.grid)
        if turned.shape != scan.shape
        else (scan.with_array(np.ascontiguousarray(turned)))
    )


def _centred(scan: Scan, onto: Scan) -> Scan:
    """`scan` on the grid of `onto`, middle on middle."""
    affine = scan.affine.copy()
    affine[:3, 3] += onto.grid.corners().mean(axis=0) - scan.grid.corners().mean(axis=0)
    return resample(Scan.of(scan.array, affine, scan.name), onto.grid)


def _ct(scan: Scan) -> Scan:
    array = scan.array.astype(np.float32)
    scaled = array / max(float(np.percentile(array, 99.9)), 1.0)
    return scan.with_array(np.where(array <= 0.02 * array.max(), -1000, 60 * scaled).round())


def _resized(scan: Scan, size: float) -> Scan:
    affine = scan.affine.copy()
    affine[:3, :3] *= size / np.array(scan.spacing)
    return Scan.of(scan.array, affine, scan.name)


def _spiked(scan: Scan) -> Scan:
    array = scan.array.astype(np.float32)
    array[tuple(n // 2 for n in array.shape)] = 1e6
    return scan.with_array(array)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--fit", action="store_true", help="learn the sequences anew")
    parser.add_argument("--every", type=int, default=1, help="try mistakes on every n-th case")
    options = parser.parse_args()
    sys.exit(measure(options.data, options.fit, options.every))
