"""Slice views drawn by Slicer's own displayable managers, without any display.

import slicer
from host.views import SliceView, start_core

start_core()                                  # slicer.mrmlScene, slicer.modules
...                                           # load volumes, make a segmentation
view = SliceView(slicer.mrmlScene, "Axial", (600, 600))
view.set_layers(background=flair, foreground=heatmap, opacity=0.6)
view.show_segmentation(segmentation, fill=0.4)
view.show_legend(heatmap, "Component 1")
view.fit()
view.jump_to((r, a, s))                       # RAS, mm
view.save_png("axial.png")
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from host.core import SlicerCore, start_core

__all__ = ["ORIENTATIONS", "SliceView", "SlicerCore", "start_core"]

ORIENTATIONS = {"Axial": "Red", "Sagittal": "Yellow", "Coronal": "Green"}
"""Orientation of a slice and Slicer's name of the view that shows it."""

VIEW_COLORS = {
    "Red": (0.953, 0.290, 0.200),
    "Yellow": (0.929, 0.835, 0.298),
    "Green": (0.431, 0.690, 0.294),
}
_FULL_COLOR_RANGE = 255.0
_LEGEND_SIZE = (0.12, 0.4)  # of the view


class SliceView:
    """One slice view: real slice logic and displayable managers in an offscreen window.

    Attributes: `logic` (vtkMRMLSliceLogic), `node` (vtkMRMLSliceNode), `composite`
    (vtkMRMLSliceCompositeNode), `window`, `overlay` (renderer of everything that is not a
    volume), `corner` (vtkCornerAnnotation), `interactor` and `interactorStyle`.

    Args:
        scene: the scene to show; it becomes the scene of the core when none runs yet.
        orientation: "Axial", "Sagittal" or "Coronal", in any case.
        size: width and height in pixels.
        name: name of the view; by default Slicer's own for the orientation ("Red", ...), so that
            a scene saved afterwards opens with the same slices.
    """

    def __init__(
        self,
        scene: slicer.vtkMRMLScene | None = None,
        orientation: str = "Axial",
        size: tuple[int, int] = (512, 512),
        name: str | None = None,
    ) -> None:
        orientation = orientation.capitalize()
        core = start_core(scene)
        self.name = name or ORIENTATIONS[orientation]
        self.logic = _slice_logic(core, self.name)
        self.node = self.logic.GetSliceNode()
        self.composite = self.logic.GetSliceCompositeNode()
        self.node.SetOrientation(orientation)
        self._create_window()
        self.resize(*size)
        _announce_legends(core.scene)
        self._layersChanged = True
        self.composite.AddObserver("ModifiedEvent", self._onLayersChanged)
        self._scene = core.scene
        self._imported = core.scene.AddObserver(core.scene.EndImportEvent, self._onImported)

    def _onImported(self, caller, event) -> None:
        """The displayable managers place what a scene file has brought when the slice changes."""
        self.node.Modified()

    def _onLayersChanged(self, caller, event) -> None:
        self._layersChanged = True

    def _create_window(self) -> None:
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(True)
        self.window.SetMultiSamples(0)
        self.window.SetNumberOfLayers(2)
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(_FULL_COLOR_RANGE)
        self._mapper.SetColorLevel(_FULL_COLOR_RANGE / 2)
        self._image = vtk.vtkActor2D()
        self._image.SetMapper(self._mapper)
        background = vtk.vtkRenderer()
        background.AddActor(self._image)
        self.overlay = vtk.vtkRenderer()
        self.overlay.SetLayer(1)
        self.overlay.GetActiveCamera().ParallelProjectionOn()
        self.corner = vtk.vtkCornerAnnotation()
        self.corner.SetMaximumFontSize(14)
        self.overlay.AddViewProp(self.corner)
        self.window.AddRenderer(background)
        self.window.AddRenderer(self.overlay)
        self.interactor = vtk.vtkGenericRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        # VTK's default style would swallow the mouse before Slicer's own sees it.
        self.interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())
        self.interactorStyle = slicer.vtkMRMLSliceViewInteractorStyle()
        self.interactorStyle.SetInteractor(self.interactor)
        self.interactorStyle.SetSliceLogic(self.logic)
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        self.managers = factory.InstantiateDisplayableManagers(self.overlay)
        self.managers.SetMRMLDisplayableNode(self.node)
        self.interactorStyle.SetDisplayableManagers(self.managers)
        self.logic.SetDisplayableManagerGroup(self.managers)
        self.interactor.Initialize()

    def resize(self, width: int, height: int) -> None:
        """Give the view another size in pixels; the centre and the zoom stay."""
        self.window.SetSize(width, height)
        self.interactor.SetSize(width, height)
        self.logic.ResizeSliceNode(width, height)

    def set_layers(
        self,
        background: slicer.vtkMRMLVolumeNode | None = None,
        foreground: slicer.vtkMRMLVolumeNode | None = None,
        opacity: float = 0.5,
        label: slicer.vtkMRMLVolumeNode | None = None,
    ) -> None:
        """Show these volumes in this view; None leaves a layer empty. `opacity` is 0..1."""
        self.composite.SetBackgroundVolumeID(background.GetID() if background else None)
        self.composite.SetForegroundVolumeID(foreground.GetID() if foreground else None)
        self.composite.SetLabelVolumeID(label.GetID() if label else None)
        self.composite.SetForegroundOpacity(opacity)

    def show_segmentation(
        self,
        segmentation: slicer.vtkMRMLSegmentationNode,
        visible: bool = True,
        fill: float = 0.4,
        outline: float = 1.0,
    ) -> None:
        """Show or hide a segmentation in all slice views, with opacities 0..1."""
        segmentation.CreateDefaultDisplayNodes()
        display = segmentation.GetDisplayNode()
        display.SetVisibility(visible)
        display.SetVisibility2DFill(True)
        display.SetVisibility2DOutline(True)
        display.SetOpacity2DFill(fill)
        display.SetOpacity2DOutline(outline)

    def show_legend(
        self, volume: slicer.vtkMRMLVolumeNode, title: str = "", visible: bool = True
    ) -> slicer.vtkMRMLColorLegendDisplayNode:
        """Show or hide the colour legend of a volume; returned for further settings."""
        legend = slicer.modules.colors.logic().AddDefaultColorLegendDisplayNode(volume)
        legend.SetVisibility(visible)
        legend.SetSize(*_LEGEND_SIZE)
        if title:
            legend.SetTitleText(title)
        return legend

    def set_corner_text(self, text: str) -> None:
        """Write text into the lower left corner, as Slicer's views do."""
        self.corner.SetText(0, text)

    def fit(self) -> None:
        """Zoom so that the volumes that are shown fill the view."""
        self.logic.FitSliceToBackground()

    def jump_to(self, ras: Sequence[float]) -> None:
        """Show the slice through a point (RAS, mm); the view's centre stays where it is."""
        self.node.JumpSliceByOffsetting(*(float(value) for value in ras))

    def centre_on(self, ras: Sequence[float]) -> None:
        """Show the slice through a point (RAS, mm) with that point in the middle."""
        self.node.JumpSliceByCentering(*(float(value) for value in ras))

    def zoom(self, factor: float) -> None:
        """Enlarge by a factor about the view's centre."""
        width, height, depth = self.node.GetFieldOfView()
        self.node.SetFieldOfView(width / factor, height / factor, depth)

    def render(self) -> None:
        """Draw the scene as it is now."""
        self.logic.UpdatePipeline()
        connection = self.logic.GetImageDataConnection()
        self._mapper.SetInputConnection(connection)
        self._image.SetVisibility(connection is not None)
        self.window.Render()

    def image(self) -> np.ndarray:
        """The view as an array (height, width, 3) of uint8, top row first."""
        self.frame()
        return self.frame()  # displayable managers complete what they show after a first frame

    def frame(self) -> np.ndarray:
        """One frame of `image`, which may lack what has just been added."""
        if self._layersChanged:
            # Legends heed their own changes only, and show themselves with their volume.
            self._layersChanged = False
            for legend in slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode"):
                legend.Modified()
        self.render()
        width, height = self.window.GetSize()
        pixels = vtk.vtkUnsignedCharArray()
        self.window.GetRGBACharPixelData(0, 0, width - 1, height - 1, 0, pixels)
        return vtk_to_numpy(pixels).reshape(height, width, 4)[::-1, :, :3].copy()

    def save_png(self, path: str | Path) -> Path:
        """Draw the view and write it as a PNG; returns the path."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = self.image()[::-1]
        picture = vtk.vtkImageData()
        picture.SetDimensions(rows.shape[1], rows.shape[0], 1)
        colors = vtk.util.numpy_support.numpy_to_vtk(rows.reshape(-1, 3), deep=True)
        picture.GetPointData().SetScalars(colors)
        writer = vtk.vtkPNGWriter()
        writer.SetFileName(str(path))
        writer.SetInputData(picture)
        writer.Write()
        return path

    def close(self) -> None:
        """Free the window; the view's nodes stay in the scene."""
        self._scene.RemoveObserver(self._imported)
        self.managers.SetMRMLDisplayableNode(None)
        self.interactorStyle.SetDisplayableManagers(None)
        self.logic.SetDisplayableManagerGroup(None)
        self.window.Finalize()


def _slice_logic(core: SlicerCore, name: str) -> slicer.vtkMRMLSliceLogic:
    """The slice logic of that view, made on first use with its slice and composite nodes."""
    existing = core.applicationLogic.GetSliceLogicByLayoutName(name)
    if existing:
        return existing
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(core.applicationLogic)
    logic.SetMRMLScene(core.scene)
    node = logic.AddSliceNode(name)
    node.SetLayoutLabel(name[0])
    node.SetLayoutColor(*VIEW_COLORS.get(name, (0.5, 0.5, 0.5)))
    core.sliceLogics.AddItem(logic)
    return logic


def _announce_legends(scene: slicer.vtkMRMLScene) -> None:
    """Tell a new view of colour legends that are older: its manager heeds new nodes only."""
    warnings = vtk.vtkObject.GetGlobalWarningDisplay()
    vtk.vtkObject.GlobalWarningDisplayOff()  # views that know the legend already say so
    for legend in slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode"):
        scene.InvokeEvent(scene.NodeAddedEvent, legend)
    vtk.vtkObject.SetGlobalWarningDisplay(warnings)
