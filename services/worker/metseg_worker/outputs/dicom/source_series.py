"""Whose images a result was found in: what DICOM objects copy from the source, read again from its files.

Identity is kept here and in no other place, by the confined process that writes the objects, and stands in nothing
but them. A value that breaks its own type (PS3.5, section 6.2) is left out, for a PACS may refuse the object; in a
sequence its whole item is left out, and a sequence that has no item left.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from pydicom import DataElement, Dataset, config
from pydicom.datadict import dictionary_VM
from pydicom.multival import MultiValue
from pydicom.valuerep import validate_value

from metseg.imaging.scan import SourceSlice
from metseg.imaging.volume import Volume
from metseg_worker.readers.dicom.files import read_elements
from metseg_worker.readers.dicom.headers import blaming_the_file

PATIENT: Final = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "TypeOfPatientID"),
    *("PatientBirthDate", "PatientBirthTime", "PatientSex", "OtherPatientIDsSequence", "OtherPatientNames"),
    *("EthnicGroup", "PatientComments", "QualityControlSubject", "PatientIdentityRemoved"),
    *("DeidentificationMethod", "DeidentificationMethodCodeSequence"),
)
"""The Patient module (PS3.3, C.7.1.1)."""
STUDY: Final = (
    *("StudyInstanceUID", "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"),
    *("IssuerOfAccessionNumberSequence", "StudyDescription", "PhysiciansOfRecord", "ProcedureCodeSequence"),
    *("PatientAge", "PatientSize", "PatientWeight", "AdmissionID", "AdmittingDiagnosesDescription"),
)
"""The General Study and Patient Study modules (PS3.3, C.7.2.1 and C.7.2.2)."""
NEVER_ABSENT: Final = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"),
    *("ReferringPhysicianName", "StudyID", "AccessionNumber"),
)
"""Those of type 2, which may be empty but not missing."""
CODE_STRINGS: Final = {
    "PatientSex": ("M", "F", "O"),
    "TypeOfPatientID": ("TEXT", "RFID", "BARCODE"),
    "QualityControlSubject": ("YES", "NO"),
    "PatientIdentityRemoved": ("YES", "NO"),
    "UniversalEntityIDType": ("DNS", "EUI64", "ISO", "URI", "UUID", "X400", "X500"),
}
"""Those of which PS3.3 enumerates the values."""
REFERENCES: Final = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "NumberOfFrames"),
    "LossyImageCompression",
)
UTF_8: Final = "ISO_IR 192"
DEEPEST: Final = 3
"""Items within items of a copied sequence, as codes within identifiers need them."""
_BROKEN: Final = object()
"""In place of a value that is left out; None is an empty one."""


@dataclass(frozen=True)
class SourceImage:
    """The image of one slice; `frame` counts from 1, and is None where the image has no others."""

    class_uid: str
    instance_uid: str
    frame: int | None

    @property
    def whole(self) -> "SourceImage":
        """The image with all its frames."""
        return replace(self, frame=None)


@dataclass(frozen=True, eq=False)
class SourceSeries:
    """What objects say of the series they belong to.

    Attributes:
        identity: The patient and the study, in UTF-8; every attribute of type 2 is there.
        series_uid: Its SeriesInstanceUID.
        frame_of_reference_uid: Of its coordinates.
        is_lossy: Whether it was ever compressed with loss.
        images: One a slice along axis 2.
        labels: The lesions' numbers on its grid, 0 outside.
    """

    identity: Dataset
    series_uid: str
    frame_of_reference_uid: str
    is_lossy: bool
    images: tuple[SourceImage, ...]
    labels: Volume

    @cached_property
    def instances(self) -> list[SourceImage]:
        """Each image once, with all its frames, in the order of the slices."""
        return list(dict.fromkeys(image.whole for image in self.images))


def read_source(slices: Sequence[SourceSlice], labels: Volume) -> SourceSeries:
    """Read the headers of the files once more.

    Args:
        slices: Where each slice along axis 2 came from; `Scan.slices` that is not empty.
        labels: The lesions' numbers on the grid of that scan.

    Raises:
        DamagedInputError: a header cannot be read.
    """
    with blaming_the_file("expected a sound DICOM file, but a header cannot be read"):
        headers = {path: read_elements(path, REFERENCES) for path in dict.fromkeys(one.path for one in slices)}
        first = headers[slices[0].path]
        return SourceSeries(
            identity=_identity(read_elements(slices[0].path, (*PATIENT, *STUDY, "SpecificCharacterSet"))),
            series_uid=str(first.SeriesInstanceUID),
            frame_of_reference_uid=str(first.FrameOfReferenceUID),
            is_lossy=any(str(one.get("LossyImageCompression", "")) == "01" for one in headers.values()),
            images=tuple(_image(headers[one.path], one.frame) for one in slices),
            labels=labels,
        )


def referring(image: SourceImage) -> Dataset:
    """An item that refers to the image, or to its frame (PS3.3, 10.3)."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.class_uid, image.instance_uid
    if image.frame is not None:
        item.ReferencedFrameNumber = image.frame
    return item


def _image(header: Dataset, frame: int) -> SourceImage:
    has_frames = "NumberOfFrames" in header
    return SourceImage(str(header.SOPClassUID), str(header.SOPInstanceUID), frame + 1 if has_frames else None)


def _identity(header: Dataset) -> Dataset:
    header.decode()
    identity = Dataset()
    for name in (*PATIENT, *STUDY):
        if name in header and (value := _sound_value(header[name], DEEPEST)) is not _BROKEN:
            setattr(identity, name, value)
    for name in NEVER_ABSENT:
        if name not in identity:
            setattr(identity, name, None)
    if not {"DeidentificationMethod", "DeidentificationMethodCodeSequence"} & {*identity.dir()}:
        identity.pop("PatientIdentityRemoved", None)  # which would demand one of both
    identity.SpecificCharacterSet = UTF_8
    return identity


def _sound_value(element: DataElement, deepest: int) -> Any:
    """A copy of a value; `_BROKEN` for one that breaks its type, or a sequence of which no item is sound."""
    if element.VR == "SQ":
        items = [_sound_item(item, element.keyword, deepest - 1) for item in element.value] if deepest else []
        return [item for item in items if item is not None] or _BROKEN
    values = _values(element.value)
    if len(values) > 1 and dictionary_VM(element.tag) == "1":
        return _BROKEN
    allowed = CODE_STRINGS.get(element.keyword)
    if allowed is not None and values[0] and values[0] not in allowed:
        return _BROKEN
    try:
        for value in values:
            validate_value(element.VR, _plain(value), config.RAISE)
    except (TypeError, ValueError):
        return _BROKEN
    return _plain(element.value)


def _sound_item(item: Dataset, sequence: str, deepest: int) -> Dataset | None:
    """A copy of an item of a sequence; None where a value is broken, or one that it must have is missing."""
    copy = Dataset()
    for name in item.dir():
        value = _sound_value(item[name], deepest)
        if value is not _BROKEN:
            setattr(copy, name, value)
        elif item[name].VR != "SQ":
            return None
    return copy if _is_complete(copy, sequence) else None


def _is_complete(item: Dataset, sequence: str) -> bool:
    """Whether an item has what PS3.3 demands of it (8.8 for codes, 10.14 and C.2.2 for identifiers)."""
    if sequence.endswith("CodeSequence"):
        has_scheme = bool(item.get("CodingSchemeDesignator"))
        has_code = has_scheme and bool(item.get("CodeValue") or item.get("LongCodeValue"))
        return bool(item.get("CodeMeaning")) and (has_code or bool(item.get("URNCodeValue")))
    if sequence == "OtherPatientIDsSequence":
        return bool(item.get("PatientID") and item.get("TypeOfPatientID"))
    if item.get("UniversalEntityID") and not item.get("UniversalEntityIDType"):
        return False
    return sequence != "IssuerOfAccessionNumberSequence" or bool(
        item.get("LocalNamespaceEntityID") or item.get("UniversalEntityID")
    )


def _values(value: Any) -> list[Any]:
    return [*value] if isinstance(value, MultiValue) else [value]


def _plain(value: Any) -> Any:
    """Numbers and bytes as they are, all else as decoded text: names keep the bytes of their old encoding."""
    if isinstance(value, MultiValue):
        return [_plain(one) for one in value]
    return value if value is None or isinstance(value, int | float | bytes) else str(value)
