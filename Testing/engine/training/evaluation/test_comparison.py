"""Is one model better than another?"""

from __future__ import annotations

import pytest

from factorizer_engine.cli.evaluation import differences_table
from factorizer_engine.protocol.errors import BadInputError
from factorizer_engine.training.evaluation.comparison import compare
from factorizer_engine.training.evaluation.evaluation import evaluate
from factorizer_engine.training.evaluation.scoring import read_results


def test_a_consistent_difference_is_clear_and_noise_is_not(dataset_dir, predictions, tmp_path):
    evaluate(dataset_dir, tmp_path / "a", predictions=predictions)
    evaluate(dataset_dir, tmp_path / "b", predictions=dataset_dir / "labelsTr")
    differences = compare(*(read_results(tmp_path / n) for n in "ab"))
    dice = next(d for d in differences if (d.region, d.metric) == ("whole", "dice"))
    assert dice.is_clear and 0 < dice.low <= dice.mean <= dice.high and dice.second == 1.0
    parts = [d.mean for d in differences if d.metric == "dice" and d.region != "mean"]
    mean = next(d for d in differences if (d.region, d.metric) == ("mean", "dice"))
    assert len(parts) > 1 and mean.mean == pytest.approx(sum(parts) / len(parts))
    same = compare(*(read_results(tmp_path / n) for n in "aa"))
    assert not any(d.is_clear for d in same)
    assert differences_table(differences).row_count == len(differences)


def test_models_are_compared_on_the_cases_that_both_have():
    def results(values):
        scores = {n: {"r": {m: v for m in METRICS}} for n, v in values.items()}
        return {"cases": scores, "summary": {"r": {}}}

    from factorizer_engine.training.evaluation.metrics import METRICS

    first = results({"a": 0.5, "b": 0.6, "c": 0.9})
    second = results({"b": 0.7, "c": 0.9, "d": 0.1})
    difference = compare(first, second)[0]
    assert difference.cases == 2
    assert difference.mean == pytest.approx(0.05)
    with pytest.raises(BadInputError, match="fewer than two cases"):
        compare(first, results({"x": 1.0}))
