"""One self-contained HTML page about the lesions of a study."""
