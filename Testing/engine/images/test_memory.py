"""The amount of free memory."""

from __future__ import annotations

import pytest

from factorizer_engine.images import memory


def test_free_memory_is_a_sensible_amount():
    assert 2**20 < memory.available_memory() < 2**50


def test_the_limit_of_a_container_counts(monkeypatch, tmp_path):
    (tmp_path / "limit").write_text("3000000\n")
    (tmp_path / "usage").write_text("1000000\n")
    files = (str(tmp_path / "limit"), str(tmp_path / "usage"))
    monkeypatch.setattr(memory, "_CGROUPS", (files,))
    assert memory.available_memory() == 2_000_000
    (tmp_path / "limit").write_text("max\n")
    assert memory.available_memory() != 2_000_000


@pytest.mark.parametrize(
    ("statistics", "left"),
    [
        ("anon 300000\nfile 600000\ninactive_file 500000\nactive_file 100000\n", 2_600_000),
        ("cache 9\ninactive_file 1\ntotal_inactive_file 500000\ntotal_active_file 0\n", 2_500_000),
        ("inactive_file 9000000\n", 3_000_000),
        ("shmem 800000\n", 2_000_000),
        ("nonsense", 2_000_000),
    ],
)
def test_the_page_cache_of_a_container_is_free(monkeypatch, tmp_path, statistics, left):
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    (tmp_path / "memory.stat").write_text(statistics)
    files = (str(tmp_path / "memory.max"), str(tmp_path / "memory.current"))
    monkeypatch.setattr(memory, "_CGROUPS", (files,))
    assert memory.available_memory() == left
