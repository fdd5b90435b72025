"""From a configuration to trained weights: networks, optimizers, the loop, and checks beforehand.

Knows `data` and `records`; knows nothing of `evaluation` and `export`.
"""
