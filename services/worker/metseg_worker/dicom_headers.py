"""What is read of a DICOM file's header: an allow-list, before any pixel and before anything is unpacked.

Names of attributes follow PS3.6; places are LPS millimetres, as DICOM has them (PS3.3, C.7.6.2). Whose image it is
stays here as a digest, to tell two patients apart; the headers that results must carry are read again, from the
file, by whoever writes those results.
"""

import hashlib
import math
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydicom import Dataset, dcmread, uid
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.multival import MultiValue
from pydicom.pixels.decoders.base import get_decoder

from metseg.errors import CompressionError, DamagedInputError, GeometryError, UnsupportedInputError

MR_CLASSES: Final = (uid.MRImageStorage, uid.EnhancedMRImageStorage, uid.LegacyConvertedEnhancedMRImageStorage)
SYNTAXES: Final = (
    *(uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian),
    *(uid.JPEGBaseline8Bit, uid.JPEGLSLossless, uid.JPEGLSNearLossless, uid.JPEG2000Lossless, uid.JPEG2000),
    *(uid.RLELossless, uid.JPEGLossless, uid.JPEGLosslessSV1),
)
"""Transfer syntaxes that are read. No deflated one: pydicom unpacks those whole before it looks at them."""
TEXTS: Final = (
    *("SeriesDescription", "ProtocolName", "SequenceName", "ScanningSequence", "PulseSequenceName"),
    *("AcquisitionContrast", "ContrastBolusAgent", "ImageType", "BodyPartExamined"),
)
NUMBERS: Final = ("RepetitionTime", "EchoTime", "InversionTime")
IDENTITY: Final = ("PatientID", "PatientName", "PatientBirthDate")
GEOMETRY: Final = (
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"),
    *("SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept"),
)
PIXELS: Final = (
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated"),
    *("BitsStored", "HighBit", "PixelRepresentation", "PlanarConfiguration", "LossyImageCompression"),
)
OTHERS: Final = (
    *("SOPClassUID", "Modality", "SeriesInstanceUID", "SeriesNumber", "ContrastBolusAgentSequence"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("SOPInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"),
)
DICOM_ERRORS: Final = (
    *(ArithmeticError, AttributeError, EOFError, InvalidDicomError, LookupError, RuntimeError, TypeError),
    *(ValueError, struct.error),
)
"""What pydicom raises on bytes that are not what they should be; sequences without end are a `RuntimeError`."""


@dataclass(frozen=True)
class Plane:
    """One slice and where its header puts it.

    Attributes:
        path: Its file.
        frame: Its number in that file, from 0.
        position_mm: LPS place of the centre of the first pixel.
        row_direction: Unit vector (LPS) along which the columns follow each other.
        column_direction: Unit vector (LPS) along which the rows follow each other.
        spacing_mm: Distance between columns and between rows.
        step_mm: Distance to the next slice as the header tells it, else the slice's thickness; None if neither.
        slope: Stored values times this, plus `intercept`, are the slice's values.
        intercept: See `slope`.
    """

    path: Path
    frame: int
    position_mm: tuple[float, ...]
    row_direction: tuple[float, ...]
    column_direction: tuple[float, ...]
    spacing_mm: tuple[float, float]
    step_mm: float | None
    slope: float
    intercept: float


@dataclass(frozen=True)
class ImageFile:
    """A DICOM file with images of a magnetic resonance scanner.

    Attributes:
        path: The file.
        patient: Digest of what tells patients apart.
        series_uid: Which series it belongs to.
        series_number: The number a scanner shows for the series; None if it has none.
        texts: Free and coded texts on how the image was made, by keyword, in lower case.
        numbers: Times in ms, by keyword.
        size: Columns and rows.
        planes: Its slices.
        is_lossy: Whether it was ever compressed with loss.
        instance_uid: What other objects refer to it by.
        belongs_to: UIDs of its study, its series and the frame of reference of its places.
    """

    path: Path
    patient: str
    series_uid: str
    series_number: int | None
    texts: dict[str, str]
    numbers: dict[str, float]
    size: tuple[int, int]
    planes: tuple[Plane, ...]
    is_lossy: bool
    instance_uid: str
    belongs_to: tuple[str, str, str]

    @property
    def can_be_referred_to(self) -> bool:
        """Whether all of its UIDs are there and of the form of PS3.5, section 9."""
        return all(uid.UID(one).is_valid for one in (self.instance_uid, *self.belongs_to))


@dataclass(frozen=True)
class OtherFile:
    """A DICOM file without an image that could be segmented; its modality is a code of PS3.3, or empty."""

    modality: str


@contextmanager
def blaming_the_file(said: str) -> Iterator[None]:
    """Let what pydicom and its decoders raise say that the file is damaged, and what they only warn of pass.

    Raises:
        DamagedInputError: something failed; an `OSError` of this machine, which has a number, comes through.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what matters of it is checked here
        try:
            yield
        except DICOM_ERRORS as exc:
            raise DamagedInputError(said) from exc
        except OSError as exc:
            if exc.errno is not None:
                raise
            raise DamagedInputError(said) from exc


def read_header(path: Path) -> ImageFile | OtherFile:
    """Read what is needed of a header.

    Raises:
        CompressionError: its pixels, or all of it, are packed in a way that is not read.
        DamagedInputError: it is no sound DICOM file.
        GeometryError: an image does not say where it lies.
        UnsupportedInputError: its pixels are no plain grey values.
    """
    with blaming_the_file("expected a sound DICOM file, but a header cannot be read"):
        meta = read_file_meta_info(path)
        if meta.get("MediaStorageSOPClassUID") not in MR_CLASSES:
            return OtherFile(_modality(path, meta))
        _check_syntax(meta.get("TransferSyntaxUID"))
        header = dcmread(path, stop_before_pixels=True, specific_tags=[*_WANTED])
        return _image_file(path, header)


def transfer_syntax_of(path: Path) -> uid.UID:
    """How a file that `read_header` took is packed."""
    return uid.UID(read_file_meta_info(path).TransferSyntaxUID)


_WANTED: Final = (*TEXTS, *NUMBERS, *IDENTITY, *GEOMETRY, *PIXELS, *OTHERS)


def _modality(path: Path, meta: Dataset) -> str:
    if meta.get("TransferSyntaxUID") not in SYNTAXES:
        return ""
    modality = dcmread(path, stop_before_pixels=True, specific_tags=["Modality"]).get("Modality", "")
    return modality if isinstance(modality, str) and modality.isalpha() and len(modality) <= 16 else ""


def _check_syntax(syntax: object) -> None:
    if not isinstance(syntax, uid.UID):
        raise DamagedInputError("expected a DICOM file that names its transfer syntax, got one that does not")
    if syntax not in SYNTAXES:
        known = syntax.name if syntax.name != syntax else "of a private or unknown kind"
        raise CompressionError(f"expected a DICOM transfer syntax that is read here, got one that is not: {known}")
    if syntax.is_compressed and not get_decoder(syntax).is_available:
        raise CompressionError(
            f"expected a DICOM transfer syntax that is read here, got {syntax.name}: its decoder is not installed"
        )


def _image_file(path: Path, header: Dataset) -> ImageFile:
    _check_pixels(header)
    identity = "\0".join(str(header.get(name, "")).strip(" ^").casefold() for name in IDENTITY)
    return ImageFile(
        path=path,
        patient=hashlib.sha256(identity.encode()).hexdigest(),
        series_uid=str(header.get("SeriesInstanceUID", "")),
        series_number=_whole(header.get("SeriesNumber")),
        texts={name: _text(header.get(name)) for name in TEXTS} | _agent(header),
        numbers={name: float(header[name].value) for name in NUMBERS if header.get(name) is not None},
        size=(int(header.Columns), int(header.Rows)),
        planes=tuple(_planes(path, header)),
        is_lossy=str(header.get("LossyImageCompression", "")) == "01",
        instance_uid=str(header.get("SOPInstanceUID", "")),
        belongs_to=(
            str(header.get("StudyInstanceUID", "")),
            str(header.get("SeriesInstanceUID", "")),
            str(header.get("FrameOfReferenceUID", "")),
        ),
    )


def _check_pixels(header: Dataset) -> None:
    if int(header.SamplesPerPixel) != 1 or header.PhotometricInterpretation != "MONOCHROME2":
        raise UnsupportedInputError("expected grey images (MONOCHROME2), got other ones")
    bits, stored = int(header.BitsAllocated), int(header.BitsStored)
    if bits not in (8, 16) or not 1 <= stored <= bits or int(header.HighBit) != stored - 1:
        raise UnsupportedInputError(f"expected pixels of 8 or 16 bits, got {stored} of {bits} bits")
    if min(int(header.Rows), int(header.Columns)) < 1:
        raise DamagedInputError("expected images of one row and column at least, got none")


def _planes(path: Path, header: Dataset) -> Iterator[Plane]:
    frames = int(header.get("NumberOfFrames") or 1)
    groups = header.get("PerFrameFunctionalGroupsSequence")
    if groups is None and frames > 1:
        raise GeometryError("expected each of several frames to say where it lies, but they do not")
    if groups is not None and len(groups) != frames:
        raise DamagedInputError(f"expected one functional group a frame, got {len(groups)} for {frames} frames")
    shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    for frame in range(frames):
        yield _plane(path, frame, [header] if groups is None else [*_items(groups[frame]), *_items(shared)])


def _items(group: Dataset) -> Iterator[Dataset]:
    """The macros of a functional group (PS3.3, C.7.6.16), of which each is a sequence of one item."""
    for element in group:
        if element.VR == "SQ" and len(element.value) == 1:
            yield element.value[0]


def _plane(path: Path, frame: int, places: list[Dataset]) -> Plane:
    found: dict[str, Any] = {}
    for name in GEOMETRY:
        found[name] = next((one.get(name) for one in places if one.get(name) is not None), None)
    position, spacing = _floats(found["ImagePositionPatient"], 3), _floats(found["PixelSpacing"], 2)
    directions = _floats(found["ImageOrientationPatient"], 6)
    step = found["SpacingBetweenSlices"] or found["SliceThickness"]
    return Plane(
        path=path,
        frame=frame,
        position_mm=position,
        row_direction=directions[:3],
        column_direction=directions[3:],
        spacing_mm=(spacing[1], spacing[0]),
        step_mm=None if step is None else abs(float(step)),
        slope=1.0 if found["RescaleSlope"] is None else float(found["RescaleSlope"]),
        intercept=0.0 if found["RescaleIntercept"] is None else float(found["RescaleIntercept"]),
    )


def _floats(value: object, count: int) -> tuple[float, ...]:
    if not isinstance(value, MultiValue) or len(value) != count:
        raise GeometryError("expected each slice to state its position, orientation and pixel spacing")
    floats = tuple(float(one) for one in value)
    if not all(map(math.isfinite, floats)):
        raise GeometryError("expected a finite position, orientation and pixel spacing, got another")
    return floats


def _whole(value: object) -> int | None:
    return None if value is None or value == "" else int(str(value))


def _text(value: object) -> str:
    parts = value if isinstance(value, MultiValue) else [value or ""]
    return " ".join(str(part) for part in parts).casefold()


def _agent(header: Dataset) -> dict[str, str]:
    """The contrast agent as an enhanced image names it, in a sequence (PS3.3, C.7.6.4b)."""
    agents = header.get("ContrastBolusAgentSequence")
    return {"ContrastBolusAgent": "named in a sequence"} if agents else {}
