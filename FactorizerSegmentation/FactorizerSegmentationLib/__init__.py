"""All that knows Slicer: the scene, the panels, and the engine process as Slicer drives it."""
