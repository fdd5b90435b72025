"""Work in pieces, between which the window has its turn."""

from __future__ import annotations

import time

import pytest


@pytest.fixture
def qt(host):
    import qt

    return qt


@pytest.fixture
def turns(host):
    from FactorizerSegmentationLib.scene.turns import Turns

    return Turns()


def test_no_piece_shares_a_round_of_the_event_loop_with_the_drawing_of_views(host, qt, turns):
    rounds: list[str] = []
    tick = qt.QTimer()
    tick.connect("timeout()", lambda: rounds.append("tick"))
    tick.start(1)

    def draw() -> None:
        rounds.append("draw")
        time.sleep(0.01)

    def work():
        for _piece in range(5):
            rounds.append("piece")
            time.sleep(0.01)
            qt.QTimer.singleShot(1, draw)  # as a view does when something is changed
            yield

    done: list[None] = []
    turns.start(work(), done.append, lambda error: rounds.append(str(error)))
    assert host.wait_until(lambda: bool(done) and rounds.count("draw") == 5)
    tick.stop()
    heavy = [index for index, name in enumerate(rounds) if name != "tick"]
    assert all(after - before > 1 for before, after in zip(heavy, heavy[1:], strict=False))


def test_work_that_is_cancelled_is_closed_where_it_is(host, turns):
    ends: list[str] = []

    def work():
        try:
            ends.append("begun")
            yield
            ends.append("too far")
        finally:
            ends.append("closed")

    turns.start(work(), ends.append, ends.append)
    assert host.wait_until(lambda: bool(ends))
    turns.cancel()
    host.process_events(0.05)
    assert ends == ["begun", "closed"] and not turns.working
