"""Segments and their measures as DICOM objects."""

from __future__ import annotations

from pathlib import Path

from factorizer_engine.protocol.files import output_folder
from factorizer_engine.protocol.progress import Monitor
from factorizer_engine.protocol.tasks.export_dicom import ExportDicomParams, ExportDicomResult
from factorizer_engine.service.engine import Engine


def run(_engine: Engine, params: ExportDicomParams, monitor: Monitor) -> ExportDicomResult:
    """Read the headers of the series, and write what is derived from it."""
    monitor.report("reading the DICOM series", 0.0)
    from factorizer_engine.images.files.dicom.derived import Algorithm
    from factorizer_engine.images.files.dicom.parametric_map import (
        ComponentVolume,
        write_parametric_maps,
    )
    from factorizer_engine.images.files.dicom.source import source_with
    from factorizer_engine.lesions.dicom import write_dicom_objects
    from factorizer_engine.service.exchange import load_scan

    given = params.segmentation
    scan = load_scan(params.scan)
    source = source_with(Path(params.series_dir), scan)
    monitor.report("writing", 0.5)
    with output_folder(params.output_dir) as folder:
        algorithm = Algorithm(given.model, given.version, given.edited, given.added)
        paths = write_dicom_objects(
            load_scan(given.labelmap),
            given.labels,
            source,
            algorithm,
            folder,
            None if given.upside_down else scan,
            given.known,
            given.gone,
        )
        volumes = [
            ComponentVolume(load_scan(one.scan), one.name, one.kind, one.number, one.window)
            for one in params.maps
        ]
        maps = write_parametric_maps(volumes, given.labels, source, folder, algorithm)
    monitor.report("writing", 1.0)
    return ExportDicomResult(str(paths[0]), str(paths[1]), tuple(map(str, maps)))
