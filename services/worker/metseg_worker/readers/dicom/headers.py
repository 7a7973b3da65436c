"""What is read of a DICOM file's header: an allow-list, before any pixel and before anything is unpacked.

Names of attributes follow PS3.6; places are LPS millimetres, as DICOM has them (PS3.3, C.7.6.2). Whose image it is
stays here as a digest, to tell two patients apart; the headers that results must carry are read again, from the
file, when those results are written.
"""

import hashlib
import itertools
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom import Dataset, uid
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.multival import MultiValue
from pydicom.pixels.decoders.base import get_decoder
from pydicom.tag import BaseTag

from metseg.errors import CompressionError, DamagedInputError, InputError, UnsupportedInputError
from metseg_worker.readers.dicom.files import read_elements, read_file_meta, transfer_syntax_of
from metseg_worker.readers.dicom.planes import GEOMETRY, Plane, macros_of, planes_of

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
    *("EchoPulseSequence", "InversionRecovery", "EchoPlanarPulseSequence"),
)
TIMES: Final = {
    "RepetitionTime": ("RepetitionTime",),
    "EchoTime": ("EchoTime", "EffectiveEchoTime"),
    "InversionTime": ("InversionTime", "InversionTimes"),
}
"""By the keyword of a classic image also that of an enhanced one (PS3.3, C.8.13.5)."""
IDENTITY: Final = ("PatientID", "PatientName", "PatientBirthDate")
PIXELS: Final = (
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated"),
    *("BitsStored", "HighBit", "PixelRepresentation", "PlanarConfiguration", "LossyImageCompression"),
)
OTHERS: Final = (
    *("SOPClassUID", "Modality", "SeriesInstanceUID", "SeriesNumber", "ContrastBolusAgentSequence"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("SOPInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"),
)
SERIES_TAGS: Final = [0x0020_000E, 0x0020_0011]
"""SeriesInstanceUID and SeriesNumber."""
SIEMENS_CREATOR: Final = "SIEMENS MR HEADER"
SIEMENS_GROUP: Final = 0x0019
SIEMENS_TILES: Final = 0x0A
"""The private element that counts the slices of a mosaic."""
SIEMENS_TAGS: Final = (SIEMENS_GROUP << 16 | 0x10, SIEMENS_GROUP << 16 | 0x1000 | SIEMENS_TILES)
DICOM_ERRORS: Final = (
    *(ArithmeticError, AttributeError, EOFError, InvalidDicomError, LookupError, RuntimeError, TypeError),
    *(BytesLengthException, ValueError, struct.error),
)
"""What pydicom raises on bytes that are not what they should be; sequences without end are a `RuntimeError`."""


@dataclass(frozen=True)
class ImageFile:
    """A DICOM file with images of a magnetic resonance scanner.

    Attributes:
        path: The file.
        patient: Digest of what tells patients apart.
        series_uid: Which series it belongs to.
        series_number: The number a scanner shows for the series; None if it has none.
        texts: Free and coded texts on how the image was made, by keyword, in lower case.
        times_ms: Repetition, echo and inversion time, by keyword of `TIMES`.
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
    times_ms: dict[str, float]
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
class UnusableFile:
    """An MR image that cannot be used, which matters only if its series is the one to segment.

    Attributes:
        error: What is wrong with it.
        series_uid: Which series it belongs to; None where not even that can be read.
        series_number: As of `ImageFile`.
    """

    error: InputError
    series_uid: str | None = None
    series_number: int | None = None


@dataclass(frozen=True)
class OtherFile:
    """A DICOM file that is no MR image; its modality is a code of PS3.3, or empty."""

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


def read_header(path: Path) -> ImageFile | UnusableFile | OtherFile:
    """Read what is needed of a header."""
    try:
        with blaming_the_file("expected a sound DICOM file, but a header cannot be read"):
            meta = read_file_meta(path)
            class_uid = meta.get("MediaStorageSOPClassUID") or _value(path, meta, "SOPClassUID")
            if class_uid not in MR_CLASSES:
                return OtherFile(_modality(path, meta))
            _check_syntax(transfer_syntax_of(path))
            return _image_file(path, read_elements(path, _WANTED))
    except InputError as exc:
        return _unusable(path, exc)


_WANTED: Final[tuple[str | int, ...]] = (
    *(*TEXTS, *itertools.chain(*TIMES.values()), *IDENTITY, *GEOMETRY, *PIXELS, *OTHERS),
    *SIEMENS_TAGS,
)


def _value(path: Path, meta: Dataset, name: str) -> object:
    """An element of the data set; None where it cannot be read."""
    if meta.get("TransferSyntaxUID", uid.ImplicitVRLittleEndian) not in SYNTAXES:
        return None
    try:
        return read_elements(path, [name]).get(name)
    except DICOM_ERRORS:
        return None


def _modality(path: Path, meta: Dataset) -> str:
    modality = _value(path, meta, "Modality")
    return modality if isinstance(modality, str) and modality.isalpha() and len(modality) <= 16 else ""


def _unusable(path: Path, error: InputError) -> UnusableFile:
    """Name the series of an unusable image, if that much of the header is sound."""
    try:
        with blaming_the_file(str(error)), path.open("rb") as file:
            if transfer_syntax_of(path) == uid.DeflatedExplicitVRLittleEndian:
                return UnusableFile(error)
            start = read_partial(file, _is_past_series, force=True, specific_tags=SERIES_TAGS)
            series_uid = str(start.get("SeriesInstanceUID", "")) or None
            return UnusableFile(error, series_uid, _whole(start.get("SeriesNumber")))
    except DamagedInputError:
        return UnusableFile(error)


def _is_past_series(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return int(tag) > max(SERIES_TAGS)


def _check_syntax(syntax: uid.UID) -> None:
    if syntax not in SYNTAXES:
        known = syntax.name if syntax.name != syntax else "of a private or unknown kind"
        raise CompressionError(f"expected a DICOM transfer syntax that is read here, got one that is not: {known}")
    if syntax.is_compressed and not get_decoder(syntax).is_available:
        raise CompressionError(
            f"expected a DICOM transfer syntax that is read here, got {syntax.name}: its decoder is not installed"
        )


def _image_file(path: Path, header: Dataset) -> ImageFile:
    _check_pixels(header)
    _check_is_slice(header)
    identity = "\0".join(str(header.get(name, "")).strip(" ^").casefold() for name in IDENTITY)
    return ImageFile(
        path=path,
        patient=hashlib.sha256(identity.encode()).hexdigest(),
        series_uid=str(header.get("SeriesInstanceUID", "")),
        series_number=_whole(header.get("SeriesNumber")),
        texts={name: _text(header.get(name)) for name in TEXTS} | _agent(header),
        times_ms=_times_ms(header),
        size=(int(header.Columns), int(header.Rows)),
        planes=tuple(planes_of(path, header)),
        is_lossy=str(header.get("LossyImageCompression", "")) == "01",
        instance_uid=str(header.get("SOPInstanceUID", "")),
        belongs_to=(
            str(header.get("StudyInstanceUID", "")),
            str(header.get("SeriesInstanceUID", "")),
            str(header.get("FrameOfReferenceUID", "")),
        ),
    )


def _check_pixels(header: Dataset) -> None:
    if any(name not in header for name in PIXELS[:2]):
        raise DamagedInputError("expected an image, got a header without pixels")
    if int(header.SamplesPerPixel) != 1 or header.PhotometricInterpretation != "MONOCHROME2":
        raise UnsupportedInputError("expected grey images (MONOCHROME2), got other ones")
    bits, stored = int(header.BitsAllocated), int(header.BitsStored)
    if bits not in (8, 16) or not 1 <= stored <= bits or int(header.HighBit) != stored - 1:
        raise UnsupportedInputError(
            f"expected pixels of 8 or 16 bits that end with the lowest, got {stored} of {bits} bits up to bit "
            f"{header.HighBit}"
        )
    if min(int(header.Rows), int(header.Columns)) < 1:
        raise DamagedInputError("expected images of one row and column at least, got none")


def _check_is_slice(header: Dataset) -> None:
    """Raise where the slices of a volume are tiled in one image."""
    tiles: object = None
    with suppress(KeyError):
        tiles = header.private_block(SIEMENS_GROUP, SIEMENS_CREATOR)[SIEMENS_TILES].value
    if "mosaic" in _text(header.get("ImageType")) or (isinstance(tiles, int) and tiles > 1):
        raise UnsupportedInputError(
            "expected images of one slice each, got a mosaic: many slices tiled in one image"
        )


def _times_ms(header: Dataset) -> dict[str, float]:
    """Times of an image, or of the first frame of an enhanced one; one that is not stated is left out."""
    places = [header]
    for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in (header.get(name) or [])[:1]:
            places += macros_of(group)
    times = {}
    for name, keywords in TIMES.items():
        stated = [value for place in places for key in keywords if (value := place.get(key)) is not None]
        values = [value[0] if isinstance(value, MultiValue) and value else value for value in stated]
        if values and values[0] != "":
            times[name] = float(values[0])
    return times


def _whole(value: object) -> int | None:
    return None if value is None or value == "" else int(str(value))


def _text(value: object) -> str:
    parts = value if isinstance(value, MultiValue) else [value or ""]
    return " ".join(str(part) for part in parts).casefold()


def _agent(header: Dataset) -> dict[str, str]:
    """The contrast agent as an enhanced image names it, in a sequence (PS3.3, C.7.6.4b)."""
    agents = header.get("ContrastBolusAgentSequence")
    return {"ContrastBolusAgent": "named in a sequence"} if agents else {}
