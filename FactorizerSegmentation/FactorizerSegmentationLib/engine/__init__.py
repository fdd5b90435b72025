"""The engine process as Slicer drives it, and the Python packages that it needs."""
