"""Which studies a folder or a table of `factorizer segment --studies` holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from factorizer_engine.cli.studies.listing import StudyFiles, list_studies, shared_scans
from factorizer_engine.protocol.errors import BadInputError


@pytest.fixture
def table(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "studies.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    "text",
    [
        "study,FLAIR,T1\nanna,a.nii,b.nii\n",
        "study;FLAIR;T1\r\nanna;a.nii;b.nii\r\n",
        "study\tFLAIR\tT1\nanna\ta.nii\tb.nii",
        '\ufeffStudy , FLAIR, T1\n\n anna ,"a.nii", b.nii \n\n',
        "sep=;\r\nstudy;FLAIR;T1\r\nanna;a.nii;b.nii\r\n",
        "\n\nstudy,FLAIR,T1,,\nanna,a.nii,b.nii,,\n,,,,\n",
    ],
)
def test_tables_are_read_as_spreadsheets_write_them(table, tmp_path, text):
    files = (f"FLAIR={tmp_path / 'a.nii'}", f"T1={tmp_path / 'b.nii'}")
    assert list_studies(table(text)) == [StudyFiles("anna", files)]


def test_files_are_found_from_every_folder(table, tmp_path, monkeypatch):
    """Engines on other computers do not start where the command was given."""
    table("study,FLAIR\nanna,a.nii\n")
    (tmp_path / "all" / "anna").mkdir(parents=True)
    (tmp_path / "all" / "anna" / "FLAIR.nii").touch()
    monkeypatch.chdir(tmp_path)

    (of_table,), (of_folder,) = list_studies(Path("studies.csv")), list_studies(Path("all"))

    assert of_table.inputs == (f"FLAIR={tmp_path / 'a.nii'}",)
    assert of_folder.inputs == (str(tmp_path / "all" / "anna" / "FLAIR.nii"),)


def test_a_cell_may_hold_commas_and_be_empty_or_left_out(table, tmp_path):
    studies = list_studies(table('study,FLAIR,T1\na,"x, y.nii",\nb,z.nii\n'))
    assert [study.inputs for study in studies] == [
        (f"FLAIR={tmp_path / 'x, y.nii'}",),
        (f"FLAIR={tmp_path / 'z.nii'}",),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("study,FLAIR\na,x, y.nii\n", "Row 2 of studies.csv has more cells"),
        ("study,FLAIR\n\u00fc,x.nii\nu\u0308,y.nii\n", "two studies called"),
        ("study,FLAIR\nStudies.csv,x.nii\n", "the table of results"),
        ('study,FLAIR\na,"x.nii\n', "cannot be read as a table"),
    ],
)
def test_what_is_wrong_with_a_table_is_told(table, text, words):
    with pytest.raises(BadInputError, match=words):
        list_studies(table(text))


@pytest.mark.parametrize(
    "name",
    ["", "..", "a/b", "a\\b", "/a", "CON", "nul.1", "com\u00b9", "a.", "a:b", "a?", "a\x1b[31m"]
    + ["n" * 300, "\u00e4" * 130],
)
def test_a_study_whose_results_not_every_system_can_keep_is_refused(table, name):
    with pytest.raises(BadInputError, match="cannot be the name of a folder on every system"):
        list_studies(table(f"study,FLAIR\n{name},x.nii\n"))


def test_results_lie_beside_the_studies_but_not_among_their_scans(tmp_path):
    for name in ("a", "b", "results"):
        (tmp_path / name).mkdir()
    found = list_studies(tmp_path, tmp_path / "results")
    assert [study.name for study in found] == ["a", "b"]
    with pytest.raises(BadInputError, match="among the scans"):
        list_studies(tmp_path, tmp_path)


def test_a_scan_of_two_studies_is_told(table):
    studies = list_studies(table("study,FLAIR,T1\na,x.nii,y.nii\nb,x.nii,z.nii\nc,u.nii,v.nii\n"))
    assert list(shared_scans(studies)) == ["x.nii is a scan of both a and b."]
