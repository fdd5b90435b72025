"""How users name another machine, and which strings of a message are files."""

from __future__ import annotations

import pytest

from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.protocol.machines import Machine, engine_arguments
from factorizer_engine.protocol.places import Place, moved
from factorizer_engine.protocol.runs import ModelChoice, Study
from factorizer_engine.protocol.tasks.segment import SegmentParams
from factorizer_engine.protocol.volumes import ScanFile

ROWS = tuple(tuple(float(i == j) for j in range(4)) for i in range(4))


@pytest.mark.parametrize(
    ("text", "address", "program"),
    [
        ("me@host", "me@host", "factorizer"),
        (" gpu-box ", "gpu-box", "factorizer"),
        ("me@host:~/env/bin/factorizer", "me@host", "~/env/bin/factorizer"),
        ("me@host:C:\\env\\factorizer.exe", "me@host", "C:\\env\\factorizer.exe"),
        ("first.last@10.0.0.7", "first.last@10.0.0.7", "factorizer"),
    ],
)
def test_a_machine_is_read_and_written_alike(text, address, program):
    machine = Machine.named(text)
    assert (machine.address, machine.program) == (address, program)
    assert Machine.named(str(machine)) == machine


@pytest.mark.parametrize(
    "text", ["", "-oProxyCommand=x", "me@", "@host", "me@-host", "a b@host", "me@host:", "me@h;x"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(BadInputError, match="no address"):
        Machine.named(text)


def test_a_program_cannot_smuggle_in_another_line():
    with pytest.raises(BadInputError, match="one line"):
        Machine.named("me@host:factorizer\nrm")


def test_an_engine_elsewhere_is_started_by_another_module():
    assert engine_arguments()[-1] == "factorizer_engine.service.worker"
    assert engine_arguments(Machine("me@host"))[-1] == "me@host"


def test_all_files_of_a_message_get_other_names_and_nothing_else_does():
    scan = ScanFile("/here/scan.npy", ROWS, "scan")
    params = SegmentParams(ModelChoice("/here/model"), Study({"T1": scan}, "T1"), "/here/out")
    seen = []

    def move(place: Place, text: str) -> str:
        seen.append(place)
        return text.replace("/here", "/there")

    there = moved(params, move)
    assert set(seen) == {Place.content, Place.model, Place.results}
    assert there.study.channels["T1"].path == "/there/scan.npy"
    assert (there.choice.model, there.output_dir) == ("/there/model", "/there/out")
    assert moved(there, lambda place, text: text.replace("/there", "/here")) == params
    assert params.study.channels["T1"].path == "/here/scan.npy"
