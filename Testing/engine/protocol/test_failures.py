"""Every failure becomes one plain sentence of the right kind."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from factorizer_engine.protocol import failures
from factorizer_engine.protocol.errors import BadModelError
from factorizer_engine.protocol.failures import as_engine_error


def failure_of(action) -> Exception:
    with pytest.raises(BaseException) as caught:  # noqa: B017, PT011
        action()
    return as_engine_error(caught.value)


def raise_(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    "action",
    [
        lambda: torch.empty(2**50),
        lambda: np.empty(2**60, np.uint8),
        lambda: raise_(torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate")),
        lambda: raise_(RuntimeError("MPS backend out of memory (MPS allocated: 5 GB)")),
        lambda: raise_(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling")),
        lambda: raise_(RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling")),
        lambda: raise_(RuntimeError("CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED")),
        lambda: raise_(RuntimeError("GET was unable to find an engine to execute this comput")),
        lambda: raise_(RuntimeError("Triton Error [CUDA]: out of memory")),
        lambda: raise_(OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))),
    ],
    ids=[
        "host torch",
        "numpy",
        "cuda",
        "mps",
        "cublas",
        "cublas' beginning",
        "cudnn",
        "cudnn's workspace",
        "triton",
        "system",
    ],  # fmt: skip
)
def test_every_way_of_running_out_of_memory_is_recognised(action):
    error = failure_of(action)
    assert error.kind == "out_of_memory"
    assert "emory" in str(error)


def test_a_graphics_card_that_fails_is_told_as_such():
    text = "CUDA error: the launch timed out and was terminated\nCUDA kernel errors might be"
    error = failure_of(lambda: raise_(RuntimeError(text)))
    assert error.kind == "internal" and "timed out" in error.details
    assert str(error).startswith("The graphics card failed") and "'cpu'" in str(error)


@pytest.mark.parametrize(
    "number, words",
    [
        (errno.ENOSPC, "no space left"),
        (errno.EDQUOT, "no space left"),
        (errno.EACCES, "no permission"),
        (errno.EROFS, "no permission"),
        (errno.ENOENT, "does not exist"),
        (errno.ENOTDIR, "in the way"),
        (errno.ENAMETOOLONG, "too long"),
        (errno.EIO, "does not answer"),
    ],
)
def test_trouble_with_files_is_the_users_to_solve_and_names_the_file(number, words):
    error = failure_of(lambda: raise_(OSError(number, os.strerror(number), "/data/scan.nii")))
    assert error.kind == "bad_input"
    assert words in str(error) and "/data/scan.nii" in str(error)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ({"errno": errno.EACCES, "winerror": 32}, "is open in another program"),
        ({"errno": errno.EINVAL, "winerror": 123}, "cannot be a name on this computer"),
        ({"errno": errno.ENOENT, "filename": "C:\\" + "a" * 300}, "is too long for this computer"),
    ],
)
def test_what_only_windows_refuses_is_told_in_its_own_words(monkeypatch, error, words):
    monkeypatch.setattr(failures, "_LONGEST_PATH", 259)
    raised = OSError(error["errno"], "refused")
    raised.filename = error.get("filename", r"C:\out\a?.csv")
    if "winerror" in error:
        raised.winerror = error["winerror"]
    assert words in str(as_engine_error(raised))


def test_the_limits_of_the_system_are_told():
    error = failure_of(lambda: raise_(OSError(errno.EMFILE, os.strerror(errno.EMFILE))))
    assert error.kind == "bad_input" and "Too many files" in str(error)
    long = failure_of(lambda: raise_(OSError(errno.ENAMETOOLONG, "", 4000 * "x")))
    assert len(str(long)) < 200
    error = failure_of(lambda: Path("~nobody-of-this-name/scan.nii").expanduser())
    assert error.kind == "bad_input" and "'~'" in str(error)


def test_a_missing_package_is_named():
    error = failure_of(lambda: __import__("a_package_that_is_missing.part"))
    assert "'a_package_that_is_missing'" in str(error)


def test_a_defect_shows_no_traceback_but_keeps_it():
    error = failure_of(lambda: {}["secret"])
    assert error.kind == "internal"
    assert "secret" not in str(error)
    assert "KeyError" in error.details and "Traceback" in error.details


def test_a_message_for_the_user_stays_as_it_is():
    error = BadModelError("No weights.", "details")
    assert as_engine_error(error) is error
