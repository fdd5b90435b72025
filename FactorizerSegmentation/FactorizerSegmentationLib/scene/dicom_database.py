"""Slicer's DICOM database: where the files of a volume lie, and room for what is derived of it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable
from pathlib import Path

import slicer

from factorizer_engine.protocol.files import temporary_folder


def openDatabase():
    """The ctkDICOMDatabase; None without the DICOM module, or as long as none was chosen."""
    database = getattr(slicer, "dicomDatabase", None)
    return database if database is not None and database.isOpen else None


def instancesOf(volumeNode) -> list[str]:
    """The identifiers of the images from which a volume was loaded, if it was by the database."""
    return (volumeNode.GetAttribute("DICOM.instanceUIDs") or "").split()


def seriesFolderOf(volumeNode) -> str:
    """The folder with the files of a volume's series, or "" if the database does not know it."""
    database, instances = openDatabase(), instancesOf(volumeNode)
    file = database.fileForInstance(instances[0]) if database is not None and instances else ""
    return str(Path(file).parent) if file else ""


def addToDatabase(paths: Iterable[Path]) -> bool:
    """Copy DICOM files into the database, each into its study; returns whether that went well."""
    database = openDatabase()
    if database is None:
        return False
    try:
        from DICOMLib import DICOMUtils

        with temporary_folder(prefix="factorizer-dicom-") as folder:
            for path in paths:
                shutil.copy2(path, folder)
            return bool(DICOMUtils.importDicom(str(folder), database, True))
    except (ImportError, AttributeError, TypeError, ValueError, OSError):
        # of a Slicer without the DICOM module, or whose module is another one than is known here
        logging.exception("The DICOM database has not taken the files.")
        return False
