"""Do scans look like what a model expects? Findings in plain sentences, before anything is run."""
