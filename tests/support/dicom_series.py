"""Writes a volume as DICOM, in every way in which scanners and archives store one."""

import io
import random
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from phantoms import affine_of
from PIL import Image
from pydicom import Dataset, FileMetaDataset, uid
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence

from metseg.imaging.volume import Volume

LPS = np.array((-1.0, -1.0, 1.0))
SERIES_UID = "1.2.826.0.1.3680043.8.498.7"
CONTRAST = {"SeriesDescription": "T1 MPRAGE +Gd", "ContrastBolusAgent": "Gadobutrol"}
NOISE_SHAPE = (24, 20, 12)
PLUGINS = {uid.JPEGLSLossless: "pyjpegls", uid.JPEG2000Lossless: "pylibjpeg", uid.RLELossless: "pydicom"}


def noise_volume(seed: int = 0, shape: tuple[int, int, int] = NOISE_SHAPE) -> Volume:
    """Axial slices of noise, of which no two are alike."""
    array = np.random.default_rng(seed).integers(0, 900, shape).astype(np.uint16)
    return Volume(array, affine_of(("L", "A", "S"), (8, 8, 5)))


def classic(volume: Volume, **attributes: object) -> list[Dataset]:
    """One image a slice; attributes are set in each. `volume` lies as the reader gives one back."""
    images = []
    for index in range(volume.shape[2]):
        image = _image(uid.MRImageStorage, volume)
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"{SERIES_UID}.{index + 1}"
        image.InstanceNumber = index + 1
        image.ImagePositionPatient = _position(volume, index)
        image.ImageOrientationPatient = _orientation(volume)
        image.PixelSpacing = [volume.spacing_mm[1], volume.spacing_mm[0]]
        image.SliceThickness = volume.spacing_mm[2]
        image.PixelData = _pixels(volume, index).tobytes()
        images.append(_with(image, attributes))
    return images


def enhanced(volume: Volume, **attributes: object) -> Dataset:
    """All slices in one image of many frames."""
    image = _image(uid.EnhancedMRImageStorage, volume)
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"{SERIES_UID}.1"
    image.NumberOfFrames = volume.shape[2]
    measures, orientation = Dataset(), Dataset()
    measures.PixelSpacing = [volume.spacing_mm[1], volume.spacing_mm[0]]
    measures.SliceThickness = volume.spacing_mm[2]
    orientation.ImageOrientationPatient = _orientation(volume)
    shared = Dataset()
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([measures]), Sequence([orientation])
    image.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    for index in range(volume.shape[2]):
        place, group = Dataset(), Dataset()
        place.ImagePositionPatient = _position(volume, index)
        group.PlanePositionSequence = Sequence([place])
        groups.append(group)
    image.PerFrameFunctionalGroupsSequence = Sequence(groups)
    image.PixelData = b"".join(_pixels(volume, index).tobytes() for index in range(volume.shape[2]))
    return _with(image, attributes)


def as_syntax(image: Dataset, syntax: uid.UID) -> Dataset:
    """The same image in another transfer syntax; JPEG baseline only for 8 bits."""
    if syntax in PLUGINS:
        image.compress(syntax, encoding_plugin=PLUGINS[syntax], generate_instance_uid=False)
    elif syntax == uid.JPEGBaseline8Bit:
        buffer = io.BytesIO()
        Image.fromarray(image.pixel_array).save(buffer, format="JPEG", quality=100)
        image.PixelData = encapsulate([buffer.getvalue()])
        image.LossyImageCompression = "01"
    elif syntax == uid.ExplicitVRBigEndian and image.BitsAllocated == 16:
        image.PixelData = np.frombuffer(image.PixelData, "<u2").astype(">u2").tobytes()
    image.file_meta.TransferSyntaxUID = syntax
    image["PixelData"].VR = "OB" if syntax.is_compressed else "OW"
    return image


def to_bytes(image: Dataset) -> bytes:
    """The image as a DICOM file."""
    buffer = io.BytesIO()
    image.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def write(images: Iterable[Dataset], folder: Path) -> list[Path]:
    """Write images as files, in an order that tells nothing."""
    contents = [to_bytes(image) for image in images]
    random.Random(7).shuffle(contents)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:04d}" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return paths


def zipped(contents: dict[str, bytes]) -> bytes:
    """A zip file of entries by name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _image(kind: uid.UID, volume: Volume) -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.MediaStorageSOPClassUID = kind
    image.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    image.SOPClassUID = kind
    image.Modality = "MR"
    image.PatientName, image.PatientID, image.PatientBirthDate = "Muster^Erika", "4711", "19450203"
    image.StudyInstanceUID, image.SeriesInstanceUID = f"{SERIES_UID}.8", SERIES_UID
    image.FrameOfReferenceUID = f"{SERIES_UID}.9"
    image.SeriesNumber = 4
    image.Columns, image.Rows = volume.shape[:2]
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    bits = 8 * volume.array.dtype.itemsize
    image.BitsAllocated, image.BitsStored, image.HighBit = bits, bits, bits - 1
    image.PixelRepresentation = int(volume.array.dtype.kind == "i")
    return _with(image, CONTRAST)


def _with(image: Dataset, attributes: dict[str, object]) -> Dataset:
    for name, value in attributes.items():
        setattr(image, name, value)
    return image


def _position(volume: Volume, index: int) -> list[float]:
    return [round(value, 6) for value in LPS * volume.world(np.array([(0, volume.shape[1] - 1, index)]))[0]]


def _orientation(volume: Volume) -> list[float]:
    directions = (volume.affine[:3, :3] / volume.spacing_mm).T * LPS
    return [round(float(value), 9) for value in (*directions[0], *-directions[1])]


def _pixels(volume: Volume, index: int) -> np.ndarray:
    """Rows × columns, the first row being the last of axis 1."""
    return np.ascontiguousarray(volume.array[:, ::-1, index].T)
