"""`python -m benchmarks.input_checks DATA`: how many mistakes the check of the inputs finds.

DATA holds brats18, open_ms_mni (nnU-Net's layout), brats_ped, brats13, lgg_raw, tcia_raw (a folder
a case), open_ms_raw and isles22. With `--fit` the numbers of `plausibility/sequences.json` and
`outlines.json` are learnt anew.

Every case is looked at with what was learnt from all other patients, so that none vouches for
itself; the thresholds of `images/plausibility` are fixed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from unittest.mock import patch

import numpy as np

from factorizer_engine.images.files import read_scan
from factorizer_engine.images.plausibility import brain, posture, sequences
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
HALF_TURNS = {(0, 1): "S", (0, 2): "A", (1, 2): "R"}


@dataclass(frozen=True)
class Lesson:
    """What is learnt from studies.

    Attributes:
        pairs: Traits of pairs of sequences, negatives among them.
        brains: Masks of brains.
        heads: Masks of heads.
    """

    pairs: tuple[tuple[tuple[str, str], np.ndarray], ...]
    brains: tuple[np.ndarray, ...] = ()
    heads: tuple[np.ndarray, ...] = ()

    @classmethod
    def of(cls, study: Study) -> Lesson:
        """What one study teaches."""
        negatives = {sequences.NEGATIVE + name: _inverted(scan) for name, scan in study.items()}
        sketches = sketch_study(study | negatives, next(iter(study)))
        stripped = {name: brain.is_stripped(sketch) for name, sketch in sketches.items()}
        inside = {name: sketch.brain(stripped[name]) for name, sketch in sketches.items()}
        own = {name: sketches[name] for name in study}
        pairs = list(brain.pair_traits(own, inside).items())
        for name in study:
            negative = sequences.NEGATIVE + name
            beside = {n: s for n, s in own.items() if n != name} | {negative: sketches[negative]}
            found = brain.pair_traits(beside, inside).items()
            pairs += [(pair, traits) for pair, traits in found if negative in pair]
        masks = {name: sketch.mask for name, sketch in own.items()}
        return cls(
            tuple(pairs),
            tuple(mask for name, mask in masks.items() if stripped[name]),
            tuple(mask for name, mask in masks.items() if not stripped[name]),
        )

    @classmethod
    def joined(cls, lessons: Iterable[Lesson]) -> Lesson:
        """What several studies teach."""
        every = list(lessons)
        return cls(
            tuple(pair for lesson in every for pair in lesson.pairs),
            tuple(mask for lesson in every for mask in lesson.brains),
            tuple(mask for lesson in every for mask in lesson.heads),
        )

    @classmethod
    def without(cls, learnt: Mapping[str, Lesson], name: str) -> Lesson:
        """What all studies of other patients teach; those of open_ms count as one patient."""
        return cls.joined(
            lesson for other, lesson in learnt.items() if _patient(other) != _patient(name)
        )

    @property
    def channels(self) -> set[str]:
        """Sequences that occur."""
        return {n for pair, _ in self.pairs for n in pair if not n.startswith(sequences.NEGATIVE)}

    def sequences(self) -> sequences.SequenceModel:
        """What pairs look like."""
        return sequences.SequenceModel.fit(list(self.pairs))

    def outlines(self) -> posture.Outlines:
        """What heads look like."""
        return posture.Outlines.fit(self.brains, self.heads)


def _patient(name: str) -> str:
    return "open_ms" if name.startswith("open_ms") else name


@contextmanager
def held_out(learnt: Mapping[str, Lesson], name: str) -> Iterator[None]:
    """The check knows what studies of other patients have taught."""
    rest = Lesson.without(learnt, name)
    model, outlines = rest.sequences(), rest.outlines()
    with (
        patch.object(brain, "known_sequences", lambda: model),
        patch.object(brain, "known_outlines", lambda: outlines),
    ):
        yield


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
    names, random = list(study), np.random.default_rng(0)
    for first, second in combinations(names, 2):
        yield "two sequences exchanged", study | {first: study[second], second: study[first]}
        copy = study[first].with_array(study[first].array.astype(np.float32) * 1.0001)
        yield "one image twice, up to 1.0001", study | {second: copy}
    yield "one image twice", study | {names[-1]: study[names[0]]}
    for name in names:
        yield f"{name} inverted", study | {name: _inverted(study[name])}
    for name in names[1:]:
        yield from _misplaced(study, name)
        if name in other:
            yield "another patient", study | {name: _centred(other[name], study[name])}
        part = study[name].array.copy()
        part[:, :, part.shape[2] // 10 :] = 0
        yield "a tenth of the head", study | {name: study[name].with_array(part)}
        noise = random.normal(100, 20, study[name].shape) * (study[name].array != 0)
        yield "noise", study | {name: study[name].with_array(noise.astype(np.float32))}
        if label is not None:
            yield "a label map", study | {name: label}
    yield (
        "all turned by 90 degrees",
        {name: _turned(scan, (0, 1), 1) for name, scan in study.items()},
    )
    for axes, along in HALF_TURNS.items():
        yield (
            f"all turned by 180 degrees about {along}",
            {name: _turned(scan, axes, 2) for name, scan in study.items()},
        )
    for offset in (0, 1024):
        yield f"CT, offset {offset}", {name: _ct(scan, offset) for name, scan in study.items()}
    yield "CT in one row", study | {names[-1]: _ct(study[names[-1]], 0)}
    for size in (0.1, 10.0):
        yield f"voxels of {size:g} mm", {n: _resized(s, size) for n, s in study.items()}
    yield "one voxel of 1e6 (mended)", {name: _spiked(scan) for name, scan in study.items()}
    yield (
        "background of -1 (mended)",
        {
            n: s.with_array(np.where(s.array == 0, -1, s.array).astype(np.float32))
            for n, s in study.items()
        },
    )
    for kind, scan in stroke.items():
        for row in names:
            yield f"{kind} of a stroke in one row", study | {row: _centred(scan, study[row])}


def stroke_rows(stroke: Study) -> Iterator:
    """FLAIR, DWI and ADC of one stroke, in three rows for MR of tumours."""
    for row in ("T1", "T2"):
        for first, second in (("DWI", "ADC"), ("ADC", "DWI")):
            scans = {"FLAIR": stroke["FLAIR"], row: stroke[first], "T1ce": stroke[second]}
            yield "FLAIR, DWI and ADC of a stroke", scans


def _misplaced(study: Study, name: str) -> Iterator:
    """One scan moved or turned."""
    scan = study[name]
    yield "turned by 90 degrees", study | {name: _turned(scan, (0, 1), 1)}
    for axes in HALF_TURNS:
        yield "turned by 180 degrees", study | {name: _turned(scan, axes, 2)}
    for millimetres in (5, 10):
        yield f"moved by {millimetres} mm", study | {name: _moved(scan, millimetres, 0)}
    yield "turned by 10 degrees", study | {name: _moved(scan, 0, 10)}


def measure(data: Path, fit: bool, every: int) -> int:
    """Print how many mistakes are found, by kind, and which correct studies are amber."""
    cases = find_cases(data)
    metadata = MODULE / "Resources" / "models" / "glioma-fast"
    model = describe_model(metadata, read_metadata(metadata, "glioma-fast"), "glioma-fast")
    learnt = {name: Lesson.of(read(files)) for name, files in cases.items()}
    if fit:
        everything = Lesson.joined(learnt.values())
        everything.sequences().save(sequences._FILE)
        everything.outlines().save()
    print_exchanges(learnt)
    stroke = read_stroke(data)
    found: dict[str, list[bool]] = {}
    loud: list[str] = []
    names = list(cases)
    for number, name in enumerate(names):
        study, other = read(cases[name]), read(cases[names[(number + 1) % 21]])
        with held_out(learnt, name):
            plain = look(study, model)
            amber = [f.sentence for f in plain if f.severity != GREEN]
            unexplained = [s for s in amber if "mm: small" not in s and "skull" not in s]
            loud += [f"{name}: {sentence}" for sentence in unexplained]
            if number % every:
                continue
            wrong_ones = mistakes(
                study, other, stroke if number % 5 == 0 else {}, _label_of(data, name)
            )
            for kind, wrong in wrong_ones:
                hit = _is_new(look(wrong, model), plain, "(mended)" in kind)
                if not hit:
                    print("missed:", name, kind, list(wrong), flush=True)
                found.setdefault(kind, []).append(hit)
        print(f"{number + 1} of {len(names)}", file=sys.stderr, flush=True)
    for kind, wrong in stroke_rows(stroke):
        found.setdefault(kind, []).append(_is_new(look(wrong, model), [], False))
    _print_found(found)
    print(f"\n{len({line.split(':')[0] for line in loud})} of {len(cases)} correct studies amber:")
    print("\n".join(loud))
    return 0


def _is_new(after: list[Finding], before: list[Finding], green: bool) -> bool:
    """Whether something is said of a mistake that is not said without it, besides thick slices."""
    known = {(f.channels, f.sentence) for f in before}
    new = [
        f for f in after if (f.channels, f.sentence) not in known and "mm: small" not in f.sentence
    ]
    return any(f.severity != GREEN or green for f in new if "skull" not in f.sentence)


def _print_found(found: Mapping[str, list[bool]]) -> None:
    print("\n| mistake | tried | found |\n|---|---|---|")
    for kind, hits in found.items():
        print(f"| {kind} | {len(hits)} | {100 * np.mean(hits):.1f} % |")
    hits = [hit for some in found.values() for hit in some]
    print(f"| **all** | {len(hits)} | **{100 * np.mean(hits):.1f} %** |")


def print_exchanges(learnt: Mapping[str, Lesson]) -> None:
    """How often exchanged rows are found, and right ones doubted, with each patient held out."""
    found: dict[int, list[bool]] = {}
    doubted: dict[int, list[bool]] = {}
    for name, own in learnt.items():
        model, pairs = Lesson.without(learnt, name).sequences(), dict(own.pairs)
        channels = sorted(own.channels)
        for count in range(2, len(channels) + 1):
            for rows in combinations(channels, count):
                right = {row: row for row in rows}
                gain, _ = model.likelier(right, pairs)
                doubted.setdefault(count, []).append(gain > brain.SWAPPED)
                for a, b in combinations(rows, 2):
                    gain, _ = model.likelier(right | {a: b, b: a}, pairs)
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


def read_stroke(data: Path) -> Study:
    """The scans of a stroke, by kind."""
    folder = data / "isles22"
    files = {kind: next(folder.rglob(f"*_{kind}.nii.gz"), None) for kind in ("flair", "dwi", "adc")}
    return {kind.upper(): read_scan(file) for kind, file in files.items() if file is not None}


def _label_of(data: Path, name: str) -> Scan | None:
    folder, case = name.split("/")
    nnunet, own = data / folder / "labelsTr" / f"{case}.nii.gz", data / folder / case / "seg.nii.gz"
    file = next((file for file in (nnunet, own) if file.exists()), None)
    return read_scan(file) if file else None


def _inverted(scan: Scan) -> Scan:
    array = scan.array.astype(np.float32)
    top = np.percentile(array[array != 0], 99.5)
    return scan.with_array(np.where(array != 0, np.maximum(top - array, 0.01), 0))


def _turned(scan: Scan, axes: tuple[int, int], quarters: int) -> Scan:
    """Turned about an axis of the world (R, A, S), in its own box."""
    upright = resample(scan, scan.grid.oriented("RAS"))
    turned = np.ascontiguousarray(np.rot90(upright.array, quarters, axes))
    if turned.shape == upright.shape:
        return upright.with_array(turned)
    return resample(Scan.of(turned, _middle_on_middle(upright, turned.shape)), upright.grid)


def _middle_on_middle(scan: Scan, shape: tuple[int, ...]) -> np.ndarray:
    """The affine with which `shape` voxels lie around the middle of a scan."""
    affine = scan.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ ((np.array(scan.shape) - np.array(shape)) / 2)
    return affine


def _moved(scan: Scan, millimetres: float, degrees: float) -> Scan:
    """Moved along the diagonal, or turned about its middle, by its header alone."""
    angle = np.deg2rad(degrees)
    move = np.eye(4)
    move[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    middle = scan.grid.corners().mean(axis=0)
    move[:3, 3] = middle - move[:3, :3] @ middle + millimetres / np.sqrt(3)
    return Scan.of(scan.array, move @ scan.affine, scan.name)


def _centred(scan: Scan, onto: Scan) -> Scan:
    """`scan` on the grid of `onto`, middle on middle."""
    affine = scan.affine.copy()
    affine[:3, 3] += onto.grid.corners().mean(axis=0) - scan.grid.corners().mean(axis=0)
    return resample(Scan.of(scan.array, affine, scan.name), onto.grid)


def _ct(scan: Scan, offset: float) -> Scan:
    """Air, and tissue of 0 to 60 Hounsfield units, as scanners store them with an offset."""
    array = scan.array.astype(np.float32)
    scaled = array / max(float(np.percentile(array, 99.9)), 1.0)
    units = np.where(array <= 0.02 * array.max(), -1000, 60 * scaled)
    return scan.with_array((units + offset).round())


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
