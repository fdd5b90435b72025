"""Many studies in one call: what there is to do, doing it side by side, and what came of it."""
