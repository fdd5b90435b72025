"""From a run to a model bundle with a card. Knows all other rooms; none of them knows it."""
