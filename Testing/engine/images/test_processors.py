"""The number of processors that a process may use."""

from __future__ import annotations

import os

import pytest

from factorizer_engine.images import memory, parallel, processors


@pytest.fixture
def container(monkeypatch, tmp_path):
    """A container of eight processors without limits, whose files are below the folder."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(processors, "_ROOTS", {2: tmp_path / "two", 1: tmp_path / "one"})
    monkeypatch.setattr(memory, "_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setenv("OMP_NUM_THREADS", "")  # so that it is restored
    monkeypatch.delenv("OMP_NUM_THREADS")
    return tmp_path


def give(folder, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content + "\n")


def test_without_a_limit_all_that_the_process_is_bound_to_are_used(container, monkeypatch):
    assert processors.usable_processors() == 8
    processors.limit_threads()
    assert "OMP_NUM_THREADS" not in os.environ
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)  # a system that does not tell
    assert processors.usable_processors() == 1


@pytest.mark.parametrize(
    ("quota", "usable"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("20000 100000", 1),
        ("6400000 100000", 8),
        ("max 100000", 8),
        ("200000 0", 8),
        ("nonsense", 8),
    ],
)
def test_a_container_that_allows_less_than_it_shows(container, quota, usable):
    give(container / "two", cpu__max=quota)
    assert processors.usable_processors() == usable


@pytest.mark.parametrize(("quota", "usable"), [("300000", 3), ("-1", 8)])
def test_a_container_of_the_first_kind(container, quota, usable):
    give(container / "one", cpu__cfs_quota_us=quota, cpu__cfs_period_us="100000")
    assert processors.usable_processors() == usable


@pytest.mark.parametrize(
    ("membership", "root"), [("0::/slice/job", "two"), ("4:cpu,cpuacct:/slice/job", "one")]
)
def test_the_quota_of_a_job_on_a_cluster_counts(container, membership, root):
    (container / "membership").write_text(f"{membership}\n9:memory:/other\n")
    files = {"cpu__max": "500000 100000"}
    if root == "one":
        files = {"cpu__cfs_quota_us": "500000", "cpu__cfs_period_us": "100000"}
    give(container / root / "slice", **files)
    assert processors.usable_processors() == 5


def test_threads_are_limited_unless_the_user_has_said_how_many(container, monkeypatch):
    give(container / "two", cpu__max="200000 100000")
    assert parallel._usable_threads() == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    processors.limit_threads()
    assert os.environ["OMP_NUM_THREADS"] == "3" and parallel._usable_threads() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    processors.limit_threads()
    assert os.environ["OMP_NUM_THREADS"] == "2"
