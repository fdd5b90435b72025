"""`slicer.app.coreIOManager()`: reads and writes nodes and scenes through their storage nodes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import slicer
import vtk

KNOWN_EXTENSIONS = (".seg.nrrd", ".seg.nhdr", ".nii.gz")
TYPE_BY_EXTENSION = {
    ".mrb": "SceneFile",
    ".mrml": "SceneFile",
    ".seg.nrrd": "SegmentationFile",
    ".csv": "TableFile",
    ".tsv": "TableFile",
    ".ctbl": "ColorTableFile",
}


class CoreIOManager:
    """The part of qSlicerCoreIOManager that `slicer.util` calls.

    Args:
        core: The running `SlicerCore`.
    """

    def __init__(self, core) -> None:
        self._core = core
        self._readers: dict[str, Callable] = {
            "VolumeFile": self._readVolume,
            "SegmentationFile": self._readSegmentation,
            "TableFile": self._readTable,
            "SceneFile": self._readScene,
        }

    def fileType(self, filename: str) -> str:
        return TYPE_BY_EXTENSION.get(self.extractKnownExtension(filename, None), "VolumeFile")

    def fileWriterFileType(self, node) -> str:
        return {"vtkMRMLSegmentationNode": "SegmentationFile"}.get(
            node.GetClassName(), "VolumeFile"
        )

    def extractKnownExtension(self, filename: str, node) -> str:
        name = str(filename).lower()
        known = [extension for extension in KNOWN_EXTENSIONS if name.endswith(extension)]
        return known[0] if known else Path(name).suffix

    def registeredFileReaderCount(self, fileType: str) -> int:
        return int(fileType in self._readers)

    def loadNodes(self, fileType: str, properties: dict, loadedNodes=None, messages=None) -> bool:
        path = Path(properties["fileName"])
        node = self._readers[fileType](path, properties) if path.exists() else None
        if node is None:
            if messages is not None:
                messages.AddMessage(vtk.vtkCommand.ErrorEvent, f"Cannot read {path}")
            return False
        if loadedNodes is not None and node is not self._core.scene:
            loadedNodes.AddItem(node)
        return True

    def loadScene(self, filename: str, clear: bool = True) -> bool:
        return self.loadNodes("SceneFile", {"fileName": filename, "clear": clear})

    def saveNodes(self, fileType: str, properties: dict, messages=None) -> bool:
        if fileType == "SceneFile":
            return self.saveScene(properties["fileName"], None)
        node = self._core.scene.GetNodeByID(properties["nodeID"])
        path = str(properties["fileName"])
        if node.GetStorageNode() is None and not node.AddDefaultStorageNode(path):
            return False
        storage = node.GetStorageNode()
        storage.SetFileName(path)
        if "useCompression" in properties:
            storage.SetUseCompression(int(properties["useCompression"]))
        return bool(storage.WriteData(node))

    def saveScene(self, filename: str, screenshot=None) -> bool:
        """Write a .mrb bundle, a .mrml file, or a folder."""
        path, scene = Path(filename).absolute(), self._core.scene
        if path.suffix == ".mrml":
            scene.SetURL(str(path))
            return bool(scene.Commit(str(path)))
        self.addDefaultStorageNodes()
        if path.suffix != ".mrb":
            return self._saveToFolder(path)
        with tempfile.TemporaryDirectory() as folder:
            bundle = Path(folder) / path.stem
            if not self._saveToFolder(bundle):
                return False
            archive = shutil.make_archive(str(Path(folder) / "bundle"), "zip", folder, path.stem)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(archive, path)
        return True

    def addDefaultStorageNodes(self) -> None:
        for node in slicer.util.getNodesByClass("vtkMRMLStorableNode"):
            if node.GetSaveWithScene() and node.GetStorageNode() is None:
                node.AddDefaultStorageNode()

    def _saveToFolder(self, folder: Path) -> bool:
        folder.mkdir(parents=True, exist_ok=True)
        logic = self._core.applicationLogic
        return bool(logic.SaveSceneToSlicerDataBundleDirectory(str(folder), None))

    def _readVolume(self, path: Path, properties: dict):
        logic = self._core.logics["Volumes"]
        name = properties.get("name") or path.name.removesuffix(
            self.extractKnownExtension(path.name, None)
        )
        volume = logic.AddArchetypeVolume(str(path), name, int(properties.get("labelmap", False)))
        if volume is not None and properties.get("show", True):
            slicer.util.setSliceViewerLayers(background=volume, fit=True)
        return volume

    def _readSegmentation(self, path: Path, properties: dict):
        scene, name = self._core.scene, properties.get("name") or path.name.partition(".")[0]
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        return self._read(node, path, "vtkMRMLSegmentationStorageNode")

    def _readTable(self, path: Path, properties: dict):
        name = properties.get("name") or path.stem
        node = self._core.scene.AddNewNodeByClass("vtkMRMLTableNode", name)
        return self._read(node, path, "vtkMRMLTableStorageNode")

    def _read(self, node, path: Path, storageClass: str):
        storage = self._core.scene.AddNewNodeByClass(storageClass)
        storage.SetFileName(str(path))
        if not storage.ReadData(node):
            self._core.scene.RemoveNode(storage)
            self._core.scene.RemoveNode(node)
            return None
        node.SetAndObserveStorageNodeID(storage.GetID())
        node.CreateDefaultDisplayNodes()
        return node

    def _readScene(self, path: Path, properties: dict):
        """Add a scene to this one, or put it in its place."""
        scene = self._core.scene
        if properties.get("clear", False):
            scene.Clear(False)
        if path.suffix != ".mrb":
            scene.SetURL(str(path))
            return scene if scene.Import() else None
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
            shutil.unpack_archive(path, folder, "zip")
            found = next(Path(folder).rglob("*.mrml"), None)
            if found is None:
                return None
            scene.SetURL(str(found))
            return scene if scene.Import() else None
