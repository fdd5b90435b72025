"""Scans and results in files: NIfTI, NRRD, MHA, DICOM and Slicer segmentations."""
