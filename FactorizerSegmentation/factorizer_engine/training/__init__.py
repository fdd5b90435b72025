"""Training, evaluation and export of networks."""
