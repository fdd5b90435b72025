"""Slice views drawn without a display."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import numpy as np
import pytest

slicer = pytest.importorskip("slicer")

import vtk  # noqa: E402

from host.views import SliceView, start_core  # noqa: E402

SIZE = (160, 120)


@pytest.fixture
def scene():
    scene = start_core().scene
    scene.Clear(False)
    yield scene
    scene.Clear(False)


@pytest.fixture
def volume(scene):
    """A cube of 40 mm around the origin, bright where R, A and S are positive."""
    voxels = np.zeros((40, 40, 40), np.float32)
    voxels[20:, 20:, 20:] = 100
    return add_volume(voxels, "octant")


@pytest.fixture
def view():
    views = []

    def make(orientation="Axial", size=SIZE):
        views.append(SliceView(slicer.mrmlScene, orientation, size))
        return views[-1]

    yield make
    for made in views:
        made.close()


def add_volume(voxels: np.ndarray, name: str):
    """A volume node of 1 mm voxels (k, j, i) that grow to the right, front and top."""
    node = slicer.util.addVolumeFromArray(voxels, name=name)
    matrix = np.eye(4)
    matrix[:3, 3] = -19.5
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    return node


def add_segment(volume, mask: np.ndarray, color: tuple[float, float, float]):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "found")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment = node.GetSegmentation().AddEmptySegment("found", "found", color)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segment, volume)
    return node


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or find_spec("triton") is None, reason="has no Triton"
)
def test_triton_is_loaded_before_anything_is_drawn():
    """The other way round, their two copies of LLVM end the process."""
    assert "triton._C.libtriton" in sys.modules


def bright(image: np.ndarray, horizontal: float, vertical: float) -> bool:
    """Whether the point at these parts of the width and height (from the top) is bright."""
    return image[int(vertical * image.shape[0]), int(horizontal * image.shape[1])].min() > 128


# Slicer shows the patient's right on the picture's left, front and top upwards.
@pytest.mark.parametrize(
    ("orientation", "ras", "corner"),
    [
        ("axial", (0, 0, 10), (0.4, 0.4)),
        ("coronal", (0, 10, 0), (0.4, 0.4)),
        ("sagittal", (10, 0, 0), (0.4, 0.4)),
    ],
)
def test_a_volume_appears_on_the_side_where_it_lies(view, volume, orientation, ras, corner):
    shown = view(orientation)
    shown.set_layers(volume)
    shown.fit()
    shown.jump_to(ras)
    image = shown.image()

    assert image.shape == (SIZE[1], SIZE[0], 3)
    across, down = corner
    assert bright(image, across, down)
    assert not bright(image, 1 - across, down)
    assert not bright(image, across, 1 - down)


def test_the_other_half_is_dark(view, volume):
    shown = view()
    shown.set_layers(volume)
    shown.fit()
    shown.jump_to((0, 0, -10))

    assert shown.image().max() < 30


def test_a_segment_is_painted_in_its_color(view, volume):
    mask = np.zeros((40, 40, 40), np.uint8)
    mask[:, :18, :18] = 1
    shown = view()
    shown.set_layers(volume)
    shown.fit()
    before = shown.image()
    segmentation = add_segment(volume, mask, (1.0, 0.0, 0.0))
    shown.show_segmentation(segmentation, fill=1.0)
    after = shown.image()
    shown.show_segmentation(segmentation, visible=False)

    red = (after[..., 0] > 150) & (after[..., 1] < 60)
    assert 0.05 < red.mean() < 0.4
    assert (shown.image() == before).all()


def test_a_heatmap_covers_the_scan_by_its_opacity(view, volume):
    heat = add_volume(np.full((40, 40, 40), 5, np.float32), "heat")
    heat.GetDisplayNode().SetAutoWindowLevel(False)
    heat.GetDisplayNode().SetWindowLevelMinMax(0, 5)
    shown = view()
    means = []
    for opacity in (0.0, 0.5, 1.0):
        shown.set_layers(volume, heat, opacity)
        shown.fit()
        means.append(shown.image().mean())

    assert means[0] < means[1] < means[2]


@pytest.mark.parametrize("orientation", ["axial", "coronal", "sagittal"])
def test_the_color_legend_appears_also_in_views_that_are_newer(view, volume, orientation):
    earlier = view("axial")
    earlier.set_layers(volume, volume)
    legend = earlier.show_legend(volume, "Activation")
    shown = view(orientation)
    shown.set_layers(volume, volume)
    shown.fit()
    shown.jump_to((-10, -10, -10))
    with_legend = shown.image()
    legend.SetVisibility(False)

    assert with_legend.max() > 200
    assert shown.image().max() < 30


def test_a_picture_is_written_as_png(view, volume, tmp_path):
    shown = view()
    shown.set_layers(volume)
    shown.set_corner_text("octant")

    path = shown.save_png(tmp_path / "pictures" / "axial.png")

    reader = vtk.vtkPNGReader()
    reader.SetFileName(str(path))
    reader.Update()
    assert reader.GetOutput().GetDimensions()[:2] == SIZE


def test_another_scene_in_the_same_process_is_refused(scene):
    with pytest.raises(ValueError):
        start_core(slicer.vtkMRMLScene())


def test_segments_appear_in_3d(volume):
    from host.three_d_view import ThreeDView

    mask = np.zeros((40, 40, 40), np.uint8)
    mask[10:30, 10:30, 10:30] = 1
    segmentation = add_segment(volume, mask, (0.0, 1.0, 0.0))
    segmentation.CreateDefaultDisplayNodes()
    segmentation.CreateClosedSurfaceRepresentation()
    view = ThreeDView(slicer.mrmlScene, SIZE)
    segmentation.GetDisplayNode().SetVisibility3D(False)
    before = view.image()
    segmentation.GetDisplayNode().SetVisibility3D(True)
    view.reset_camera()
    after = view.image().astype(int)

    def green(image):
        return (image[..., 1] > image[..., 0] + 60) & (image[..., 1] > image[..., 2] + 60)

    assert not green(before.astype(int)).any()
    assert green(after).mean() > 0.05
