"""Volumes that are kept on the disk."""

from __future__ import annotations

import errno
import os
import tempfile

import numpy as np
import pytest

from factorizer_engine.images.store import Store
from factorizer_engine.protocol.errors import BadInputError

SHAPE = 300, 400, 5
"""Of a volume of 2.4 MB."""


@pytest.fixture(params=["reserving", "reserving elsewhere", "writing"])
def way(request, monkeypatch):
    """How files get their room: by the system, or by zeros where it or the file system cannot."""
    if request.param == "writing":
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    elif not hasattr(os, "posix_fallocate"):
        pytest.skip("this system does not reserve room")
    elif request.param == "reserving elsewhere":

        def refused(*arguments: object) -> None:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")

        monkeypatch.setattr(os, "posix_fallocate", refused)


@pytest.mark.skipif(os.name == "nt", reason="files have no sparse parts there")
def test_volumes_on_the_disk_have_their_room_before_anything_is_put_in(way, monkeypatch):
    kept, make = [], tempfile.TemporaryFile

    def watched(**how):
        file = make(**how)
        kept.append(os.dup(file.fileno()))
        return file

    monkeypatch.setattr(tempfile, "TemporaryFile", watched)
    array = Store(on_disk=True).zeros(SHAPE)
    (descriptor,) = kept
    taken = 512 * os.fstat(descriptor).st_blocks
    os.close(descriptor)
    assert taken >= array.nbytes == 2_400_000
    assert not array.any()
    array[-1] = 1
    assert array.sum() == np.prod(SHAPE[1:])


def test_a_full_disk_is_told_before_the_work_in_one_sentence(way):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(BadInputError) as caught:
            Store(on_disk=True).zeros((1000, *SHAPE))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(caught.value) == (
        f"The disk for temporary files, '{tempfile.gettempdir()}', has no room for the 2400 MB "
        "that are needed now; free some space there."
    )
