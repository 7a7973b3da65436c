"""A DICOM series becomes the volume that it was made from, however it is stored."""

import subprocess
import sysconfig
from pathlib import Path

import nibabel
import numpy as np
import pytest
from dicom_series import SERIES_UID, as_syntax, classic, enhanced, to_bytes, write, zipped
from phantoms import affine_of, centred, head_with_ball
from pydicom import uid

from metseg.errors import InputError
from metseg.imaging.scan import Scan, ScanKind
from metseg.imaging.volume import Volume
from metseg_worker.readers.open import ReadOptions, open_scan

DCM2NIIX = Path(sysconfig.get_path("scripts")) / "dcm2niix"
SHAPE = (48, 40, 14)
PLANES = {"axial": ("L", "A", "S"), "coronal": ("L", "S", "P"), "sagittal": ("P", "S", "R")}


def rotation() -> np.ndarray:
    """A turn by 20° about x and then by 12° about z."""
    x, z = np.radians((20, 12))
    about_x = np.array(((1, 0, 0), (0, np.cos(x), -np.sin(x)), (0, np.sin(x), np.cos(x))))
    about_z = np.array(((np.cos(z), -np.sin(z), 0), (np.sin(z), np.cos(z), 0), (0, 0, 1)))
    return about_z @ about_x


def phantom(plane: str = "axial", *, oblique: bool = False, dtype: type = np.uint16) -> Volume:
    """A head with a ball off its middle, stored as a scanner stores that plane, with texture everywhere."""
    affine = affine_of(PLANES[plane], (4, 4.5, 6), rotation() if oblique else None)
    affine = centred(affine, SHAPE, np.array((3.0, -20, 11)))
    head = head_with_ball(SHAPE, affine, np.array((30.0, 10, 20)), 14, 75)
    noise = np.random.default_rng(3).integers(0, 40, SHAPE)
    top = 255 if dtype is np.uint8 else 1040
    return Volume(np.minimum(head.array + noise, top).astype(dtype), affine)


def opened(paths: list[Path], folder: Path, **asked: object) -> Scan:
    return open_scan(paths, folder / "unpacked", ReadOptions(**asked))


def assert_same(scan: Scan, volume: Volume) -> None:
    assert scan.kind is ScanKind.DICOM
    np.testing.assert_allclose(scan.volume.affine, volume.affine, atol=1e-4)
    np.testing.assert_array_equal(scan.volume.array, volume.array)


@pytest.mark.parametrize("oblique", [False, True])
@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("kind", ["classic", "enhanced"])
def test_a_series_gives_its_volume_back(tmp_path: Path, kind, plane, oblique):
    volume = phantom(plane, oblique=oblique)
    images = classic(volume) if kind == "classic" else [enhanced(volume)]
    assert_same(opened(write(images, tmp_path / "in"), tmp_path), volume)


@pytest.mark.parametrize("oblique", [False, True])
@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("kind", ["classic", "enhanced"])
def test_the_grid_is_that_of_dcm2niix(tmp_path: Path, kind, plane, oblique):
    volume = phantom(plane, oblique=oblique)
    images = classic(volume) if kind == "classic" else [enhanced(volume)]
    scan = opened(write(images, tmp_path / "in"), tmp_path)
    assert_same_as_dcm2niix(scan, tmp_path / "in", tmp_path)


@pytest.mark.parametrize("plane", PLANES)
def test_the_grid_of_a_3_d_acquisition_is_that_of_dcm2niix_without_turning(tmp_path: Path, plane):
    mprage = {"MRAcquisitionType": "3D", "ScanningSequence": ["GR", "IR"], "Manufacturer": "SIEMENS"}
    mprage |= {"RepetitionTime": 2000, "EchoTime": 3, "InversionTime": 900, "ProtocolName": "t1 mprage"}
    scan = opened(write(classic(phantom(plane), **mprage), tmp_path / "in"), tmp_path)
    assert_same(scan, phantom(plane))
    assert_same_as_dcm2niix(scan, tmp_path / "in", tmp_path)


def test_a_real_series_has_the_grid_and_the_values_of_dcm2niix(tmp_path: Path, real_images: Path):
    folder = real_images / "dicom_t1_head"
    scan = opened(sorted(folder.iterdir()), tmp_path)
    assert_same_as_dcm2niix(scan, folder, tmp_path)
    content = zipped({f"{path.name}": path.read_bytes() for path in folder.iterdir()})
    (tmp_path / "zip").write_bytes(content)
    (tmp_path / "2").mkdir()
    assert_same(opened([tmp_path / "zip"], tmp_path / "2"), scan.volume)


def assert_same_as_dcm2niix(scan: Scan, folder: Path, work: Path) -> None:
    (work / "dcm2niix").mkdir()
    options = ["-x", "i", "-z", "n", "-b", "n", "-f", "out", "-o", str(work / "dcm2niix")]  # -x i: do not turn
    command = [str(DCM2NIIX), *options, str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    [made] = (work / "dcm2niix").glob("*.nii")
    image = nibabel.load(made)
    np.testing.assert_allclose(scan.volume.affine, image.affine, atol=1e-3)
    np.testing.assert_array_equal(scan.volume.array, np.asarray(image.dataobj))


SYNTAXES = [
    *(uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian),
    *(uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.RLELossless),
]


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.keyword)
def test_every_lossless_transfer_syntax_gives_the_same_values(tmp_path: Path, syntax):
    volume = phantom(oblique=True)
    images = [as_syntax(image, syntax) for image in classic(volume)]
    scan = opened(write(images, tmp_path / "in"), tmp_path)
    assert_same(scan, volume)
    assert scan.warnings == ()


@pytest.mark.parametrize("syntax", SYNTAXES[3:], ids=lambda syntax: syntax.keyword)
def test_packed_frames_of_one_file_give_the_same_values(tmp_path: Path, syntax):
    volume = phantom()
    image = as_syntax(enhanced(volume), syntax)
    assert_same(opened(write([image], tmp_path / "in"), tmp_path), volume)


def test_lossy_jpeg_is_read_and_told(tmp_path: Path):
    volume = phantom(dtype=np.uint8)
    images = [as_syntax(image, uid.JPEGBaseline8Bit) for image in classic(volume)]
    scan = opened(write(images, tmp_path / "in"), tmp_path)
    assert np.abs(scan.volume.array.astype(int) - volume.array).max() <= 4
    assert any("compressed with loss" in warning for warning in scan.warnings)


def test_each_slice_is_scaled_by_its_own_header(tmp_path: Path):
    volume = phantom()
    images = classic(volume)
    for index, image in enumerate(images):
        image.RescaleSlope, image.RescaleIntercept = 1 + index, -index
    scan = opened(write(images, tmp_path / "in"), tmp_path)
    index = np.arange(SHAPE[2])
    np.testing.assert_allclose(scan.volume.array, volume.array * (1.0 + index) - index)
    assert scan.volume.array.dtype == np.float32


def test_signed_values_of_twelve_bits_keep_their_sign_and_lose_what_lies_above(tmp_path: Path):
    values = phantom().array.astype(np.int16) - 500
    volume = Volume(values, phantom().affine)
    images = classic(volume, BitsStored=12, HighBit=11)
    for image in images:
        stored = np.frombuffer(image.PixelData, np.int16)
        image.PixelData = ((stored & 0x0FFF) | 0x5000).astype(np.int16).tobytes()
    assert_same(opened(write(images, tmp_path / "in"), tmp_path), volume)


def test_a_lone_slice_takes_its_thickness_from_its_header(tmp_path: Path):
    volume = phantom()
    [path] = write(classic(volume)[5:6], tmp_path / "in")
    scan = opened([path], tmp_path)
    np.testing.assert_array_equal(scan.volume.array, volume.array[:, :, 5:6])
    assert scan.volume.spacing_mm[2] == pytest.approx(6)


def test_each_slice_knows_the_image_it_came_from(tmp_path: Path):
    paths = write(classic(phantom()), tmp_path / "in")
    scan = opened(paths, tmp_path)
    assert sorted(one.path for one in scan.slices) == paths
    numbers = [int(dcm_number(one.path)) for one in scan.slices]
    assert numbers == list(range(1, SHAPE[2] + 1))
    many = opened(write([enhanced(phantom())], tmp_path / "many"), tmp_path / "many")
    assert [one.frame for one in many.slices] == list(range(SHAPE[2]))


def dcm_number(path: Path) -> int:
    from pydicom import dcmread

    return int(dcmread(path, stop_before_pixels=True).InstanceNumber)


@pytest.mark.parametrize("damage", ["cut within the pixels", "cut within the header"])
def test_a_file_that_breaks_off_is_damaged(tmp_path: Path, damage):
    content = to_bytes(enhanced(phantom()))
    path = tmp_path / "cut"
    path.write_bytes(content[:-3000] if damage == "cut within the pixels" else content[:700])
    with pytest.raises(InputError) as refused:
        opened([path], tmp_path)
    assert refused.value.code in ("input_damaged", "input_geometry")


def test_nothing_of_the_patient_leaves_with_the_scan(tmp_path: Path):
    scan = opened(write(classic(phantom()), tmp_path / "in"), tmp_path)
    told = repr((scan.kind, scan.warnings, scan.slices, scan.nifti_header))
    for secret in ("Muster", "4711", "1945", SERIES_UID):
        assert secret not in told
