"""The 3D view drawn by Slicer's own displayable managers, without any display."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from host.core import start_core

MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager3D",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLVolumeRenderingDisplayableManager",
)


class ThreeDView:
    """One 3D view: real view logic and displayable managers in an offscreen window.

    Attributes: `logic` (vtkMRMLViewLogic), `node` (vtkMRMLViewNode), `managers`, `window`,
    `renderer`, `interactor` and `interactorStyle`.
    """

    def __init__(self, scene=None, size: tuple[int, int] = (512, 512), name: str = "1") -> None:
        core = start_core(scene)
        factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
        factory.SetMRMLApplicationLogic(core.applicationLogic)
        for manager in MANAGERS:
            if not factory.IsDisplayableManagerRegistered(manager):
                factory.RegisterDisplayableManager(manager)
        self.name = name
        self.logic = slicer.vtkMRMLViewLogic()
        self.logic.SetMRMLApplicationLogic(core.applicationLogic)
        self.logic.SetMRMLScene(core.scene)
        known = core.scene.GetSingletonNode(name, "vtkMRMLViewNode")
        self.node = known or self.logic.AddViewNode(name)
        self.node.SetLayoutLabel(name)
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(True)
        self.window.SetMultiSamples(0)
        self.renderer = vtk.vtkRenderer()
        self.window.AddRenderer(self.renderer)
        self.interactor = vtk.vtkGenericRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self.interactorStyle = slicer.vtkMRMLThreeDViewInteractorStyle()
        self.interactorStyle.SetInteractor(self.interactor)
        self.managers = factory.InstantiateDisplayableManagers(self.renderer)
        self.managers.SetMRMLDisplayableNode(self.node)
        self.interactorStyle.SetDisplayableManagers(self.managers)
        self.logic.SetDisplayableManagerGroup(self.managers)
        self.interactor.Initialize()
        self.resize(*size)

    def resize(self, width: int, height: int) -> None:
        """Give the view another size in pixels."""
        self.window.SetSize(width, height)
        self.interactor.SetSize(width, height)

    def reset_camera(self) -> None:
        """Look at all that is shown; the box around the origin does not count."""
        box, labels = self.node.GetBoxVisible(), self.node.GetAxisLabelsVisible()
        self.node.SetBoxVisible(False)
        self.node.SetAxisLabelsVisible(False)
        self.window.Render()
        self.renderer.ResetCamera()
        self.node.SetBoxVisible(box)
        self.node.SetAxisLabelsVisible(labels)
        self.renderer.ResetCameraClippingRange()

    def image(self) -> np.ndarray:
        """See `frame`."""
        return self.frame()

    def frame(self) -> np.ndarray:
        """The view as an array (height, width, 3) of uint8, top row first."""
        self.window.Render()
        width, height = self.window.GetSize()
        pixels = vtk.vtkUnsignedCharArray()
        self.window.GetRGBACharPixelData(0, 0, width - 1, height - 1, 0, pixels)
        return vtk_to_numpy(pixels).reshape(height, width, 4)[::-1, :, :3].copy()
