"""Published checkpoints: recognised, described from their weights, and made bundles."""
