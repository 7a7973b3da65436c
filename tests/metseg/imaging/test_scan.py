import gzip

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from metseg.errors import DamagedInputError, EmptyInputError, UnknownFormatError
from metseg.imaging.scan import ScanKind, load_scan, read_scan, save_scan


def test_the_content_decides_and_not_the_name(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((20, 20, 3), np.uint8), np.eye(4)), tmp_path / "a.nii.gz")
    (tmp_path / "a.nii.gz").rename(tmp_path / "a.png")
    assert read_scan(tmp_path / "a.png").kind is ScanKind.NIFTI
    Image.new("L", (40, 40)).save(tmp_path / "b.png")
    (tmp_path / "b.png").rename(tmp_path / "b.nii.gz")
    assert read_scan(tmp_path / "b.nii.gz").kind is ScanKind.PICTURE


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", EmptyInputError),
        (b"Dear colleague, find the scan attached.", UnknownFormatError),
        (gzip.compress(b"not an image", mtime=0), UnknownFormatError),
        (b"\x1f\x8b", UnknownFormatError),
        (b"\x1f\x8b" + bytes(400), UnknownFormatError),
        (b"\x89PNG\r\n\x1a\n", DamagedInputError),
        (b"DICM" * 200, UnknownFormatError),
    ],
)
def test_what_is_no_image_is_refused(tmp_path, content, error):
    (tmp_path / "scan.nii.gz").write_bytes(content)
    with pytest.raises(error, match="expected"):
        read_scan(tmp_path / "scan.nii.gz")


def test_whoever_sends_something_else_is_told_all_that_is_read(tmp_path):
    (tmp_path / "scan").write_bytes(b"Dear colleague, find the scan attached.")
    with pytest.raises(UnknownFormatError) as refused:
        read_scan(tmp_path / "scan")
    assert [
        name for name in ("DICOM", "NIfTI", "PNG", "JPEG", "TIFF", "zip") if name not in str(refused.value)
    ] == []


def test_a_picture_has_spacing_only_where_it_is_told(tmp_path):
    Image.new("L", (40, 40)).save(tmp_path / "a.png")
    assert not read_scan(tmp_path / "a.png").has_spacing
    assert read_scan(tmp_path / "a.png", spacing_mm=(0.5, 0.5)).has_spacing


def test_a_scan_is_handed_over_unchanged(tmp_path):
    nib.save(
        nib.Nifti1Image(np.arange(1200, dtype=np.int16).reshape(20, 20, 3), np.diag([-1, 2, 3, 1])),
        tmp_path / "a.nii",
    )
    scan = read_scan(tmp_path / "a.nii")
    save_scan(scan, tmp_path)
    taken = load_scan(tmp_path)
    np.testing.assert_array_equal(taken.volume.array, scan.volume.array)
    np.testing.assert_array_equal(taken.volume.affine, scan.volume.affine)
    assert (taken.kind, taken.nifti_header, taken.warnings) == (scan.kind, scan.nifti_header, scan.warnings)
