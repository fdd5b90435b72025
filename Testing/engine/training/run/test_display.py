"""What a training says where there is no terminal."""

from __future__ import annotations

from factorizer_engine.training.run.display import RunDisplay


def test_the_first_step_is_told_at_once_and_slow_ones_now_and_then(capsys):
    with RunDisplay(log_every=20) as display:
        for step in range(1, 22):
            seconds = step if step < 12 else step + 100
            display.stepped(step, step / 100, 0.5, 1e-3, seconds)
    told = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
    assert told == ["1", "12", "20"]
