"""From a folder or archive to a bundle; nothing in it is executed."""
