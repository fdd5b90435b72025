"""DICOM pixels: rescaled as each frame says, without padding, however they are compressed."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG4HP41,
    DeflatedExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    RLELossless,
)

from engine.images.files.dicom_samples import compress, multi_frame, rescale
from factorizer_engine.images.files import read_scan
from factorizer_engine.images.scan import Scan

COMPRESSORS = ("JPEG2000", "JPEGLS", "JPEG")


@pytest.fixture
def scan(oblique_scan) -> Scan:
    """Without negative values, so that every encoder takes it."""
    return oblique_scan.with_array(oblique_scan.array + np.int16(500))


@pytest.mark.parametrize("packing", ["plain", "RLE", "JPEG2000"])
def test_every_frame_of_a_multi_frame_file_is_rescaled_by_its_own_rule(tmp_path, scan, packing):
    data = multi_frame(scan)
    rules = [(1.0 + index, -10.0 * index) for index in range(scan.shape[2])]
    for frame, rule in zip(data.PerFrameFunctionalGroupsSequence, rules, strict=True):
        frame.update(rescale(*rule))
    pack(data, packing, tmp_path)
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    slope, intercept = np.array(rules[::-1]).T
    for path in (tmp_path / "a.dcm", tmp_path):
        np.testing.assert_allclose(read_scan(path).array, scan.array * slope + intercept)


@pytest.mark.parametrize("packing", ["plain", "JPEG2000"])
def test_a_rule_for_all_frames_or_for_the_file_is_applied(tmp_path, scan, packing):
    for place in ("shared", "file"):
        data = multi_frame(scan)
        if place == "shared":
            data.SharedFunctionalGroupsSequence[0].update(rescale(0.5, 7))
        else:
            data.RescaleSlope, data.RescaleIntercept = 0.5, 7
        pack(data, packing, tmp_path)
        data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
        np.testing.assert_allclose(read_scan(tmp_path / "a.dcm").array, scan.array * 0.5 + 7)


@pytest.mark.parametrize("slope", [0, ""])
def test_a_slope_of_zero_or_none_leaves_values_as_they_are(tmp_path, scan, write_dicom, slope):
    write_dicom(tmp_path, scan, change=lambda data: setattr(data, "RescaleSlope", slope))
    np.testing.assert_array_equal(read_scan(tmp_path).array, scan.array)


def test_a_table_of_values_is_applied(tmp_path, scan, write_dicom):
    def add_table(data):
        table = pydicom.Dataset()
        table.LUTDescriptor, table.ModalityLUTType = [2000, 0, 16], "US"
        table.add_new("LUTData", "OW", (np.arange(2000, dtype="<u2") * 3).tobytes())
        data.ModalityLUTSequence = [table]

    write_dicom(tmp_path, scan, change=add_table)
    np.testing.assert_array_equal(read_scan(tmp_path).array, scan.array * 3.0)


@pytest.mark.parametrize("packing", ["RLE", *COMPRESSORS])
def test_compressed_series_give_the_values_that_itk_gives(tmp_path, scan, write_dicom, packing):
    def change(data):
        data.PixelRepresentation = 0
        pack(data, packing, tmp_path)
        data.RescaleSlope, data.RescaleIntercept = 2, -100

    write_dicom(tmp_path / "series", scan, change=change)
    found = read_scan(tmp_path / "series")
    if packing != "JPEG":  # which loses a little
        np.testing.assert_array_equal(found.array, scan.array * 2.0 - 100)
    for path in (tmp_path / "series").iterdir():
        itk = sitk.GetArrayFromImage(sitk.ReadImage(str(path), sitk.sitkFloat32))[0].T
        index = pydicom.dcmread(path).InstanceNumber - 1
        np.testing.assert_array_equal(found.array[:, :, index], itk)


@pytest.mark.parametrize("syntax", [HTJ2KLossless, MPEG4HP41])
def test_a_compression_that_cannot_be_read_is_named(tmp_path, scan, write_dicom, refused, syntax):
    def change(data):
        data.file_meta.TransferSyntaxUID = syntax
        data.PixelData = encapsulate([data.PixelData])
        data["PixelData"].is_undefined_length = True

    write_dicom(tmp_path, scan, change=change)
    assert syntax.name in refused(read_scan, tmp_path)


def test_values_of_fewer_bits_than_are_stored_keep_their_sign(tmp_path, scan, write_dicom):
    def change(data):
        data.BitsStored, data.HighBit = 12, 11
        values = np.frombuffer(data.PixelData, "<i2") - np.int16(600)
        data.PixelData = (values.astype("<i2") & 0x0FFF).tobytes()

    write_dicom(tmp_path, scan, change=change)
    np.testing.assert_array_equal(read_scan(tmp_path).array, scan.array - 600.0)


def test_values_in_the_upper_bits_are_refused(tmp_path, scan, write_dicom, refused):
    """ITK would take the lower ones alone."""

    def change(data, shift):
        data.BitsStored, data.HighBit, data.PixelRepresentation = 12, 15, 0
        values = np.frombuffer(data.PixelData, "<u2") << np.uint16(shift)
        data.PixelData = values.astype("<u2").tobytes()

    write_dicom(tmp_path / "upper", scan, change=lambda data: change(data, 4))
    assert "upper bits" in refused(read_scan, tmp_path / "upper")
    write_dicom(tmp_path / "said only", scan, change=lambda data: change(data, 0))
    np.testing.assert_array_equal(read_scan(tmp_path / "said only").array, scan.array)


@pytest.mark.parametrize(
    ("signed", "value", "limit"),
    [
        (1, -32768, None),
        (1, -2000, -1900),
        (0, 63536, None),
        (0, 65000, 65535),
        (0, 65535, 65000),
    ],
)
@pytest.mark.parametrize("packing", ["plain", "RLE"])
def test_padding_becomes_zero(tmp_path, scan, write_dicom, signed, value, limit, packing):
    """Whatever the rescaling, of one value or a range, compressed or not."""

    def pad(data):
        kind = "<i2" if signed else "<u2"
        pixels = np.frombuffer(data.PixelData, "<i2").astype(kind)
        pixels[:3], pixels[3:5] = value, value if limit is None else (value + limit) // 2
        data.PixelData, data.PixelRepresentation = pixels.tobytes(), signed
        data.add_new("PixelPaddingValue", "SS" if signed else "US", value)
        if limit is not None:
            data.add_new("PixelPaddingRangeLimit", "SS" if signed else "US", limit)
        data.RescaleSlope, data.RescaleIntercept = 2, 100
        pack(data, packing, tmp_path)

    write_dicom(tmp_path / "series", scan, change=pad)
    expected = scan.array * 2.0 + 100
    expected[:5, 0] = 0
    np.testing.assert_array_equal(read_scan(tmp_path / "series").array, expected)


def test_padding_given_with_the_wrong_sign_is_known(tmp_path, scan, write_dicom):
    def pad(data):
        pixels = np.frombuffer(data.PixelData, "<i2").copy()
        pixels[:5] = -2000
        data.PixelData = pixels.tobytes()
        data.add_new("PixelPaddingValue", "US", 65536 - 2000)

    write_dicom(tmp_path, scan, change=pad)
    assert read_scan(tmp_path).array.min() >= 0


def test_padding_in_ct_becomes_the_lowest_value_of_the_rest(tmp_path, scan, write_dicom):
    def pad(data):
        pixels = np.frombuffer(data.PixelData, "<i2").copy()
        pixels[:5] = -2000
        data.PixelData, data.Modality = pixels.tobytes(), "CT"
        data.PixelPaddingValue, data.RescaleSlope, data.RescaleIntercept = -2000, 1, -1024

    write_dicom(tmp_path, scan, change=pad)
    found = read_scan(tmp_path).array
    image = np.ones(found.shape, dtype=bool)
    image[:5, 0] = False
    np.testing.assert_array_equal(found[image], scan.array[image] - 1024.0)
    assert (found[~image] == found[image].min()).all()


@pytest.mark.parametrize("kind", ["Float", "DoubleFloat"])
def test_padding_of_pixels_with_fractions_becomes_zero(tmp_path, scan, write_dicom, kind):
    bits = 32 if kind == "Float" else 64

    def change(data):
        pixels = np.frombuffer(data.PixelData, "<i2").astype(f"<f{bits // 8}") + 0.25
        pixels[:5] = -1e6
        del data.PixelData
        setattr(data, f"{kind}PixelData", pixels.tobytes())
        setattr(data, f"{kind}PixelPaddingValue", -1e6)
        data.BitsAllocated = data.BitsStored = bits
        data.HighBit = bits - 1

    write_dicom(tmp_path, scan, change=change)
    expected = scan.array + 0.25
    expected[:5, 0] = 0
    np.testing.assert_array_equal(read_scan(tmp_path).array, expected)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_padding_is_known_however_headers_are_written(tmp_path, scan, write_dicom, syntax):
    def change(data):
        pixels = np.frombuffer(data.PixelData, "<i2").copy()
        pixels[:5] = -2000
        data.PixelData, data.file_meta.TransferSyntaxUID = pixels.tobytes(), syntax
        data.add_new("PixelPaddingValue", "SS", -2000)

    write_dicom(tmp_path, scan, change=change)
    assert read_scan(tmp_path).array.min() == 0


def test_padding_of_a_multi_frame_file_becomes_zero(tmp_path, scan):
    data = multi_frame(scan)
    pixels = np.frombuffer(data.PixelData, "<i2").copy()
    pixels[:40] = -30000
    data.PixelData, data.PixelPaddingValue = pixels.tobytes(), -30000
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    found = read_scan(tmp_path / "a.dcm").array
    assert (found[:, :4, -1] == 0).all() and found.min() == 0


def pack(data: pydicom.Dataset, packing: str, folder) -> None:
    """Compress the pixels as `packing` says; "plain" leaves them."""
    if packing == "RLE":
        data.compress(RLELossless, generate_instance_uid=False)
    elif packing != "plain":
        data.PixelRepresentation = 0  # ITK's encoders take no other
        compress(data, folder, packing)


@pytest.mark.parametrize(
    ("packing", "bits", "signed"),
    [("plain", 12, 0), ("plain", 16, 0), ("plain", 16, 1), ("RLE", 12, 0), ("JPEG2000", 12, 0)],
)
def test_images_in_which_low_is_bright_are_turned_around_as_itk_does(
    tmp_path, scan, write_dicom, packing, bits, signed
):
    def change(data):
        data.PhotometricInterpretation, data.PixelRepresentation = "MONOCHROME1", signed
        data.BitsStored, data.HighBit = bits, bits - 1
        data.RescaleSlope, data.RescaleIntercept = 2, -100
        pack(data, packing, tmp_path)
        data.PhotometricInterpretation = "MONOCHROME1"

    write_dicom(tmp_path / "series", scan, change=change)
    found = read_scan(tmp_path / "series")
    for path in (tmp_path / "series").iterdir():
        itk = sitk.GetArrayFromImage(sitk.ReadImage(str(path), sitk.sitkFloat32))[0].T
        index = pydicom.dcmread(path).InstanceNumber - 1
        np.testing.assert_array_equal(found.array[:, :, index], itk)


@pytest.mark.parametrize(
    "unsaid",
    [
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
    ],
)
def test_what_slicer_does_without_may_be_missing(tmp_path, scan, write_dicom, unsaid):
    write_dicom(tmp_path, scan, change=lambda data: delattr(data, unsaid))
    np.testing.assert_array_equal(read_scan(tmp_path).array, scan.array)


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
def test_a_slope_that_is_no_number_is_refused(tmp_path, scan, write_dicom, refused, keyword):
    write_dicom(tmp_path, scan, change=lambda data: data.add_new(keyword, "LO", "nan"))
    assert "damaged" in refused(read_scan, tmp_path)
