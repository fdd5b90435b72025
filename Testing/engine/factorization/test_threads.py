"""Parts of a map in threads."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from factorizer_engine.factorization.threads import run_in_threads


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_every_part_is_computed_once_as_the_caller_would(threads, mode):
    seen, states = [], set()

    def compute(part: int) -> None:
        time.sleep(0.001)
        states.add((torch.is_grad_enabled(), torch.is_inference_mode_enabled()))
        seen.append((part, threading.get_ident(), torch.get_num_threads()))

    with mode():
        run_in_threads(compute, range(40))
    assert sorted(part for part, *_ in seen) == list(range(40))
    assert len({thread for _, thread, _ in seen}) == threads
    assert {n for *_, n in seen} == {1}
    assert states == {(False, mode is torch.inference_mode)}
    assert torch.get_num_threads() == threads


def test_threads_started_later_are_not_held_to_one(threads):
    with torch.no_grad():
        run_in_threads(lambda part: None, range(4))
    found: list[int] = []
    other = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert found == [threads]


def test_an_exception_comes_out_and_the_rest_is_left_out(threads):
    begun = []

    def compute(part: int) -> None:
        begun.append(part)
        if part == 3:
            raise ValueError("part 3")
        time.sleep(0.005)

    with pytest.raises(ValueError, match="part 3"):
        run_in_threads(compute, range(100))
    assert len(begun) < 20
    run_in_threads(lambda part: None, range(4))  # the threads live on


def test_under_autocast_the_caller_computes_all(threads):
    seen = set()
    with torch.autocast("cpu"):
        run_in_threads(lambda part: seen.add(threading.get_ident()), range(8))
    assert seen == {threading.get_ident()}


def test_no_part_is_no_error(threads):
    run_in_threads(lambda part: None, [])
