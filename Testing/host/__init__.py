"""A small stand-in for the 3D Slicer application, made of `slicer-core` and PySide6.

It opens the real module file and .ui files in a window, so that tests can click them. Names and
behaviour follow what was recorded from a real Slicer; see README.md in this folder.
"""
