"""The commands: what they write, what they print, and how they end."""

from __future__ import annotations

import csv
import json
import logging
import os
import subprocess
import sys
import warnings
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from rich.console import Console

from factorizer_engine import __version__
from factorizer_engine.cli import session, terminal
from factorizer_engine.cli.session import assign_inputs
from factorizer_engine.cli.terminal import make_table
from factorizer_engine.images import files
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.models import Channel

CHANNELS = (Channel("FLAIR"), Channel("T1", ("t1w",)), Channel("T1ce"))


def inputs(scans: dict[str, Path]) -> list[str]:
    return [part for name, path in scans.items() for part in ("--input", f"{name}={path}")]


def test_segment_writes_a_label_map_a_segmentation_and_a_table(tmp_path, cli, scans):
    output = tmp_path / "new" / "folder"
    outcome = cli("segment", "--model", "tiny", *inputs(scans), "-o", output)
    assert outcome.code == 0
    assert outcome.errors == ""
    assert sorted(path.name for path in output.iterdir()) == [
        "lesions.csv",
        "run.json",
        "segmentation.nii.gz",
        "segmentation.seg.nrrd",
    ]
    reference = nib.load(scans["FLAIR"])
    labelmap = nib.load(output / "segmentation.nii.gz")
    voxels = np.asarray(labelmap.dataobj)
    assert voxels.shape == reference.shape
    np.testing.assert_allclose(labelmap.affine, reference.affine, atol=1e-5)
    assert set(np.unique(voxels)) <= {0, 1, 2, 4}
    segmentation = sitk.ReadImage(str(output / "segmentation.seg.nrrd"))
    assert segmentation.GetMetaData("Segment0_Name") == "Core"
    with (output / "lesions.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert str(output) in outcome.output
    if rows:
        assert "Volume (mL)" in outcome.output
        total = sum(float(row["volume_ml"]) for row in rows)
        assert total == pytest.approx(np.count_nonzero(voxels) / 1000, abs=1e-3)


@pytest.mark.parametrize("option", [(), ("--compile",)])
def test_a_model_is_compiled_only_when_asked_for(tmp_path, cli, scans, monkeypatch, option):
    asked = []

    class Engine:
        def request(self, method, params, on_progress):
            asked.append(params.compiled)
            raise BadInputError("That is enough.")

    monkeypatch.setattr(session, "EngineClient", lambda **_options: nullcontext(Engine()))
    assert cli("segment", "-m", "tiny", *inputs(scans), "-o", tmp_path / "o", *option).code == 2
    assert asked == [bool(option)]


def test_probabilities_are_written_on_request_in_the_order_of_the_regions(tmp_path, cli, scans):
    cli("segment", "-m", "tiny", *inputs(scans), "-o", tmp_path / "o", "--probabilities", "-q")
    probabilities = nib.load(tmp_path / "o" / "probabilities.nii.gz").get_fdata()
    labelmap = np.asarray(nib.load(tmp_path / "o" / "segmentation.nii.gz").dataobj)
    assert probabilities.shape == (*labelmap.shape, 3)
    assert 0 <= probabilities.min() and probabilities.max() <= 1
    assert (probabilities[labelmap == 4][:, 0] >= 0.5 - 1e-3).all()


def test_in_a_box_nothing_is_written_outside_it(tmp_path, cli, scans):
    bounds = ("-4", "4.5", "-5", "5", "-6", "3")
    whole, boxed = tmp_path / "whole", tmp_path / "boxed"
    assert cli("segment", "-m", "tiny", *inputs(scans), "-o", whole).code == 0
    outcome = cli("segment", "-m", "tiny", *inputs(scans), "-o", boxed, "--box", *bounds)
    assert outcome.code == 0, outcome.errors
    image = nib.load(boxed / "segmentation.nii.gz")
    found = np.asarray(image.dataobj)
    world = nib.affines.apply_affine(image.affine, np.stack(np.indices(found.shape), -1))
    inside = ((world >= (-4, -5, -6)) & (world <= (4.5, 5, 3))).all(axis=-1)
    everywhere = np.asarray(nib.load(whole / "segmentation.nii.gz").dataobj)
    assert everywhere[~inside].any()
    np.testing.assert_array_equal(found, np.where(inside, everywhere, 0))


def test_a_quick_run_without_a_box_is_one_sentence(tmp_path, cli, scans):
    outcome = cli("segment", "-m", "tiny", *inputs(scans), "-o", tmp_path / "o", "--quick")
    assert outcome.code == 2
    assert "give one with --box" in outcome.sentence


@pytest.mark.parametrize(
    ("bounds", "sentence"),
    [
        ((5, -5, 0, 1, 0, 1), "begins at 5 mm along R but ends at -5 mm"),
        ((500, 600, 0, 1, 0, 1), "holds no voxel of case_FLAIR"),
        ((0, 1, 0, 1, 0, "x"), "Invalid value for '--box'"),
    ],
)
def test_a_box_that_cannot_be_used_is_one_sentence(tmp_path, cli, scans, bounds, sentence):
    arguments = ("-m", "tiny", *inputs(scans), "-o", tmp_path / "o", "--box", *bounds)
    outcome = cli("segment", *arguments)
    assert outcome.code == 2
    assert sentence in outcome.sentence


def test_scans_in_a_folder_are_matched_by_name(tmp_path, cli, scans):
    folder = scans["T1"].parent
    named = cli("segment", "-m", "tiny", *inputs(scans), "-o", tmp_path / "a")
    found = cli("segment", "-m", "tiny", "--input-dir", folder, "-o", tmp_path / "b")
    assert (named.code, found.code) == (0, 0)
    first, second = (
        np.asarray(nib.load(tmp_path / name / "segmentation.nii.gz").dataobj) for name in "ab"
    )
    np.testing.assert_array_equal(first, second)


def test_the_only_installed_family_is_the_default(tmp_path, cli, scans, monkeypatch):
    outcome = cli("segment", *inputs(scans), "-o", tmp_path / "o")
    if "Choose with --model" in outcome.errors:  # models that ship with the software count too
        assert outcome.code == 2
        assert "test-lesion" in outcome.sentence
    else:
        assert outcome.code == 0


def test_quiet_prints_nothing(tmp_path, cli, scans):
    outcome = cli("segment", "-m", "tiny", *inputs(scans), "-o", tmp_path / "o", "--quiet")
    assert (outcome.code, outcome.output, outcome.errors) == (0, "", "")


def test_components_writes_heatmaps_and_what_they_mean(tmp_path, cli, scans):
    output = tmp_path / "o"
    outcome = cli("components", "-m", "tiny", *inputs(scans), "-o", output, "--count", "2")
    assert outcome.code == 0, outcome.errors
    summary = json.loads((output / "components.json").read_text(encoding="utf-8"))
    assert summary["model"] == {"name": "tiny", "version": "1.0.0"}
    assert 1 <= len(summary["components"]) <= 2
    for entry in summary["components"]:
        heatmap = nib.load(output / entry["file"])
        assert heatmap.shape == nib.load(scans["FLAIR"]).shape
        assert heatmap.get_fdata().min() >= 0
        assert set(entry["contributions"]) <= {"ET", "TC", "WT"}


def test_sweeps_and_short_circuits_are_chosen_kept_in_the_record_and_refused_in_a_sentence(
    tmp_path, cli, scans
):
    economies = ["--sweeps", "2", "--short-circuit", "decoder.0.0"]
    outcome = cli("segment", "-m", "tiny", *inputs(scans), "-o", tmp_path / "o", *economies)
    assert outcome.code == 0, outcome.errors
    record = json.loads((tmp_path / "o" / "run.json").read_text(encoding="utf-8"))
    assert record["settings"]["sweeps"] == 2
    assert record["settings"]["short_circuits"] == ["decoder.0.0"]

    wrong = ["--short-circuit", "decoder.9"]
    outcome = cli("components", "-m", "tiny", *inputs(scans), "-o", tmp_path / "c", *wrong)
    assert outcome.code == 2
    assert "no block 'decoder.9' to short-circuit; its blocks are encoder.0.0" in outcome.sentence


def test_the_command_runs_as_a_program_of_its_own(tmp_path, run_cli, scans):
    outcome = run_cli("segment", "-m", "tiny", *inputs(scans), "-o", tmp_path / "o")
    assert (outcome.code, outcome.errors) == (0, "")
    assert (tmp_path / "o" / "segmentation.nii.gz").is_file()


def test_the_version_is_told(cli):
    assert cli("--version").output.strip() == f"factorizer {__version__}"


@pytest.mark.parametrize(
    "command", ["segment", "components", "models", "inspect", "train", "evaluate", "export"]
)
def test_every_command_explains_itself(cli, command):
    outcome = cli(command, "--help")
    assert outcome.code == 0
    assert f"factorizer {command}" in outcome.output


def test_help_does_not_load_torch(environment):
    program = (
        "import sys\n"
        "from factorizer_engine.cli import main\n"
        "try:\n    main(['segment', '--help'])\n"
        "except SystemExit:\n    pass\n"
        "assert not {'torch', 'nibabel', 'SimpleITK', 'monai'} & set(sys.modules)\n"
    )
    subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        check=True,
        stdout=subprocess.DEVNULL,
    )


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["segment", "FOLDER", "-o", "out"], "scans and folders are given with --input"),
        (["segment", "--unknown", "-o", "out"], "try 'factorizer segment --help'"),
        (["models", "list", "--unknown"], "try 'factorizer models list --help'"),
        (["unknown"], "try 'factorizer --help'"),
    ],
)
def test_a_command_that_is_not_understood_says_what_to_do(cli, arguments, advice):
    assert cli(*arguments).sentence.endswith(f"; {advice}.")


@pytest.mark.parametrize(
    "arguments",
    [
        ["sgment"],
        ["segment"],
        ["segment", "-o", "out", "--nonsense"],
        ["segment", "-o", "{out}"],
        ["segment", "-o", "{out}", "--input", "FLAIR"],
        ["segment", "-o", "{out}", "--input", "FLAIR=a.nii", "--input-dir", "."],
        ["segment", "-o", "{out}", "--input-dir", "nowhere"],
        ["components", "-o", "{out}", "--input", "T1=a", "--count", "0"],
        ["components", "-o", "{out}", "--input", "T1=a", "--case", "one"],
        ["components", "-o", "{out}", "--prove", "{out}"],
        ["components", "-o", "{out}", "--describe", "{out}"],
        ["components", "-o", "{out}", "--describe", "a", "--prove", "a", "-m", "tiny"],
        ["components", "-o", "{out}", "--input", "T1=a", "--keep"],
        ["inspect", "nowhere.nii"],
        ["models", "remove", "nothing"],
        ["models", "info", "nothing"],
        ["train", "nowhere.yaml"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(tmp_path, cli, arguments):
    outcome = cli(*(text.format(out=tmp_path / "out") for text in arguments))
    assert outcome.code == 2
    assert outcome.sentence
    assert outcome.output == ""


def test_a_defect_is_exit_code_1_and_its_traceback_only_shown_when_asked_for(
    tmp_path, cli, monkeypatch
):
    def fail(*_arguments):
        raise ZeroDivisionError("secret")

    monkeypatch.setattr("factorizer_engine.cli.segment.run_options", fail)
    plain = cli("segment", "-o", tmp_path / "o", "-i", "T1=a")
    assert plain.code == 1
    assert "secret" not in plain.sentence
    verbose = cli("segment", "-o", tmp_path / "o", "-i", "T1=a", "--verbose")
    assert "secret" in verbose.errors


def test_models_are_listed_described_installed_and_removed(tmp_path, cli, tiny_bundle, monkeypatch):
    assert "tiny" in cli("models", "list").output
    assert cli("models").output == cli("models", "list").output
    assert "FLAIR, T1" in cli("models", "info", "tiny").output
    monkeypatch.setenv("FACTORIZER_MODELS", str(tmp_path / "mine"))
    assert "tiny" not in cli("models", "list").output
    assert cli("models", "install", tiny_bundle).code == 0
    again = cli("models", "install", tiny_bundle)
    assert again.code == 2
    assert again.sentence.endswith("remove it first, or replace it with --replace.")
    assert cli("models", "install", tiny_bundle, "--replace").code == 0
    assert "tiny" in cli("models", "list").output
    assert cli("models", "remove", "tiny").code == 0
    assert "tiny" not in cli("models", "list").output


def test_a_checkpoint_without_configuration_is_imported(tmp_path, cli, tiny_bundle):
    weights = tiny_bundle / "models" / "model.safetensors"
    names = ["--channel", "FLAIR", "--channel", "DWI", "--spacing", "1", "1", "2"]
    outcome = cli("models", "import", weights, "-o", tmp_path / "imported", *names)
    assert outcome.code == 0, outcome.errors
    described = cli("models", "info", tmp_path / "imported")
    assert described.code == 0
    assert "FLAIR, DWI" in described.output


def test_inspect_tells_what_a_scan_is(cli, scans):
    output = cli("inspect", scans["FLAIR"]).output
    assert "20 x 18 x 16" in output
    assert "LPS" in output


def test_inspect_tells_what_a_result_is(cli, scans, tmp_path):
    given = [word for item in scans.items() for word in ("--input", "{}={}".format(*item))]
    cli("segment", "--model", "tiny", *given, "-o", tmp_path / "out", "-d", "cpu")

    folder = cli("inspect", tmp_path / "out").output
    segments = cli("inspect", tmp_path / "out" / "segmentation.seg.nrrd").output

    assert "factorizer segment" in folder and "tiny 1.0.0" in folder and "on cpu" in folder
    assert all(str(path) in folder for path in scans.values())
    assert "Volume (mL)" in segments and segments.count("tiny 1.0.0") == 3, "a row a segment"


def test_inspect_tells_what_a_model_is(cli, tiny_bundle):
    output = cli("inspect", tiny_bundle).output
    assert "tiny 1.0.0" in output
    assert "All weights fit" in output


def test_inspect_knows_installed_models_by_name_and_family(cli):
    for name in ("tiny", "test-lesion"):
        assert "All weights fit the network" in cli("inspect", name).output
    outcome = cli("inspect", "nothing")
    assert outcome.code == 2
    assert outcome.sentence == "'nothing' does not exist, and no model is called so."


def test_warnings_of_libraries_are_for_the_log(cli, monkeypatch, scans):
    def noisy(path):
        warnings.warn("a tensor is not writable", UserWarning, stacklevel=2)
        logging.getLogger("nibabel.global").warning("pixdim should be positive")
        logging.getLogger("monai.data").warning("something is slow")
        logging.getLogger("factorizer_engine.x").warning("a model is left out")
        return read(path)

    read = files.read_scan
    monkeypatch.setattr(files, "read_scan", noisy)
    assert cli("inspect", scans["T1"]).errors == "factorizer: a model is left out\n"
    logged = cli("inspect", scans["T1"], "--verbose").errors
    for words in ("not writable", "should be positive", "something is slow"):
        assert logged.count(words) == 1


@pytest.mark.parametrize(
    "name", ["Brats18_CBICA_AAB_1", "patient-0123456789_session-2024-01-01_pre"]
)
def test_a_terminal_of_80_columns_shows_all_of_names_and_numbers(monkeypatch, capsys, name):
    console = partial(Console, force_terminal=True, color_system=None, width=80)
    monkeypatch.setattr(terminal, "Console", console)
    table = make_table("", "Study", "Reason", *(f"Measure {i} (mm)" for i in range(5)))
    table.add_row(name, "No scan for T1ce.", *(f"{i}.12345" for i in range(5)))
    terminal.Terminal().print(table)
    said = capsys.readouterr().out
    cells = [
        [cell.strip() for cell in line.split("│")] for line in said.splitlines() if "│" in line
    ]
    columns = ["".join(column) for column in zip(*cells, strict=True)]
    assert name in columns
    assert {f"{i}.12345" for i in range(5)} <= set(columns)
    assert "…" not in said


def test_inspect_tells_what_a_checkpoint_is(cli, tiny_bundle):
    output = cli("inspect", tiny_bundle / "models" / "model.safetensors").output
    assert "safetensors" in output
    assert "encoder_width" in output
    assert "assumed" in output


def test_inputs_are_assigned_by_name_alias_and_file_name(tmp_path):
    flair = tmp_path / "x_FLAIR.nii.gz"
    flair.touch()
    assigned = assign_inputs(["t1w=a.nii", str(flair), "t1CE=b=c.nii"], CHANNELS)
    assert assigned == {"FLAIR": flair, "T1": Path("a.nii"), "T1ce": Path("b=c.nii")}


def test_a_file_with_an_equals_sign_in_its_name_is_still_a_file(tmp_path):
    file = tmp_path / "te=30_FLAIR.nii"
    file.touch()
    assert assign_inputs([str(file)], CHANNELS[:1]) == {"FLAIR": file}


@pytest.mark.parametrize(
    "given, word",
    [
        (["FLAIR=a", "flair=b", "T1=c", "T1ce=d"], "twice"),
        (["FLAIR=a", "T1=b"], "T1ce"),
        (["FLAIR=a", "T1=b", "T1ce="], "without a file"),
        (["FLAIR=a", "T1=b", "T1ce=c", "T2=d"], "T2"),
        (["FLAIR=a", "T1=b", "T1ce=c", "d.nii"], "left over"),
    ],
)
def test_inputs_that_do_not_fit_the_channels_are_refused(given, word):
    with pytest.raises(BadInputError, match=word):
        assign_inputs(given, CHANNELS)
