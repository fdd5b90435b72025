"""The demo: the sample case from its scans to a scene, pictures and a report, without a display."""
