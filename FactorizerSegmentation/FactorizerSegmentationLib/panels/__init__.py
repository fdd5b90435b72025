"""The user interface: one class and one .ui file per panel."""
