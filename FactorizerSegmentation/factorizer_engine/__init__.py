"""The Factorizer engine: networks, model bundles, scans, inference, components and training.

Nothing here knows 3D Slicer. Importing the package itself is cheap; the sub-packages import torch.
"""

__version__ = "0.1.0"
