"""Lesions of two or more studies of one patient, compared."""
