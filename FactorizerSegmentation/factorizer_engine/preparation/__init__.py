"""Raw studies made ready for a model: which series, where they lie, and what of them is brain."""
