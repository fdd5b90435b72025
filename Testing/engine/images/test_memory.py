"""The amount of free memory."""

from __future__ import annotations

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
