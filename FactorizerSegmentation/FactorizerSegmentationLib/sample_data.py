"""The sample case in Slicer's Sample Data module."""

from __future__ import annotations

from pathlib import Path

SAMPLE_FOLDER = Path(__file__).resolve().parent.parent / "Resources" / "SampleData" / "BrainTumour"
CHANNELS = ("FLAIR", "T1", "T1ce", "T2")
CHECKSUMS = {
    "FLAIR": "SHA256:40a903f154fc7e1844c4c3163edb63698d81ab0a8246503af5e9a9e72be00023",
    "T1": "SHA256:30f89537ba4399940af68ce2677f18ada4a16a58fc5f01ae32162000a2604ab0",
    "T1ce": "SHA256:2a7d9c53a55d7ebca7d456f00a2a62bcea5db4e913bea3b59214ba06d1644c8f",
    "T2": "SHA256:fc173194212bf5073952dd77dc0b6b93dd36a79db351d16f4d3861aef4a0d24a",
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
