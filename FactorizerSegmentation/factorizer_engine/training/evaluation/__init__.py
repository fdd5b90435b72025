"""How good a model is: scores on cases, comparison of two models, robustness to changed scans.

Knows `data` and `records`; knows nothing of how the model was trained (`run`) or written.
"""
