"""The engine process: its jobs, what stays warm between them, and the client that drives it."""
