"""The sample case in Slicer's Sample Data module."""

from __future__ import annotations

from pathlib import Path

SAMPLE_FOLDER = Path(__file__).resolve().parent.parent / "Resources" / "SampleData" / "BrainTumour"
CHANNELS = ("FLAIR", "T1", "T1ce", "T2")
CHECKSUMS = {
    "FLAIR": "SHA256:6f9feb235693e500f6aa0e8e4a89b40189c746688f6613e67d1a72efb721151b",
    "T1": "SHA256:2c905c458561d43c69138814a6b2a141420364f3eca2311eed4e2322a81e598d",
    "T1ce": "SHA256:502ba53cd19dab7d1549d50ede149d280f49c698d71bbe077095330d884fcb58",
    "T2": "SHA256:8fda95b1cbe496c1bcc9567a78093ab3c97b7f8fab1076255135a0259c8472d1",
}


def registerSampleData(iconFolder: Path) -> None:
    """Offer the brain tumour case that comes with the module; call when Slicer has started."""
    paths = [SAMPLE_FOLDER / f"{channel}.nii.gz" for channel in CHANNELS]
    if not all(path.is_file() for path in paths):
        return
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="Factorizer",
        sampleName="FactorizerBrainTumour",
        uris=[path.as_uri() for path in paths],
        fileNames=[f"FactorizerBrainTumour_{path.name}" for path in paths],
        nodeNames=list(CHANNELS),
        checksums=[CHECKSUMS[channel] for channel in CHANNELS],
        loadFileType=["VolumeFile"] * len(CHANNELS),
        thumbnailFileName=str(iconFolder / "FactorizerBrainTumour.png"),
    )
