"""From prepared scans to lesions: sliding window, blending, memory and post-processing."""
