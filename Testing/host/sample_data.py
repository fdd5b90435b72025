"""`SampleData`: modules register their samples there."""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass
from urllib.parse import urlparse
from urllib.request import url2pathname

import slicer


@dataclass(frozen=True)
class SampleDataSource:
    """One registered sample."""

    category: str
    sampleName: str
    uris: list[str]
    fileNames: list[str]
    nodeNames: list[str]
    checksums: list[str]
    loadFileType: list[str]
    thumbnailFileName: str | None


class SampleDataLogic:
    """Registers and loads samples whose files are on this computer."""

    @staticmethod
    def registerCustomSampleDataSource(
        category="Custom",
        sampleName=None,
        uris=None,
        fileNames=None,
        nodeNames=None,
        thumbnailFileName=None,
        checksums=None,
        loadFileType=None,
        **others,
    ) -> None:
        source = SampleDataSource(
            category,
            sampleName,
            _listed(uris),
            _listed(fileNames),
            _listed(nodeNames),
            _listed(checksums),
            _listed(loadFileType),
            thumbnailFileName,
        )
        slicer.modules.sampleDataSources.setdefault(category, []).append(source)

    @staticmethod
    def isSampleDataSourceRegistered(category, sampleName) -> bool:
        sources = slicer.modules.sampleDataSources.get(category, [])
        return any(source.sampleName == sampleName for source in sources)

    def downloadSamples(self, sampleName) -> list:
        """Load a sample's volumes; returns their nodes."""
        every = (s for sources in slicer.modules.sampleDataSources.values() for s in sources)
        source = next(source for source in every if source.sampleName == sampleName)
        return [
            slicer.util.loadVolume(url2pathname(urlparse(uri).path), {"name": name, "show": False})
            for uri, name in zip(source.uris, source.nodeNames, strict=True)
        ]


def _listed(value) -> list:
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def install() -> None:
    """Publish the module `SampleData`."""
    slicer.modules.sampleDataSources = {}
    module = types.ModuleType("SampleData")
    module.SampleDataLogic = SampleDataLogic
    module.SampleDataSource = SampleDataSource
    sys.modules["SampleData"] = module
