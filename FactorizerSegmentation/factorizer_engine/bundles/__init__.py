"""Model bundles: read, verify, install, import and write them. Nothing in a bundle is executed."""
