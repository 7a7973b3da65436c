"""Studies as hospitals hand them out: a sound T1 series with contrast agent beside one file that is odd."""

import io
import struct
import zipfile
from collections.abc import Callable

import numpy as np
from dicom_series import SERIES_UID, classic, noise_volume, to_bytes, zipped
from pydicom import Dataset, uid
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

OTHER_SERIES = {"SeriesInstanceUID": f"{SERIES_UID}.90", "SeriesNumber": 90}
CACHE_BYTES = 3_000_000


def t1_files() -> list[bytes]:
    return [to_bytes(image) for image in classic(noise_volume())]


def odd_image(kind: str, **attributes: object) -> bytes:
    """One MR image that cannot be used, for the reason that is one of `ODD`; of another series than `t1_files`."""
    image = classic(noise_volume(seed=9), **(OTHER_SERIES | attributes))[0]
    image.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    ODD[kind](image)
    return to_bytes(image)


def in_colour(image: Dataset) -> None:
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "RGB", 0
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit = 7
    image.PixelData = bytes(3 * image.Rows * image.Columns)


def without_place(image: Dataset) -> None:
    del image.ImagePositionPatient, image.ImageOrientationPatient


def inverted(image: Dataset) -> None:
    image.PhotometricInterpretation = "MONOCHROME1"


def with_high_bit(image: Dataset) -> None:
    image.BitsStored = 12


def without_pixels(image: Dataset) -> None:
    for name in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"):
        delattr(image, name)


def in_unread_syntax(image: Dataset) -> None:
    image.file_meta.TransferSyntaxUID = uid.JPEGExtended12Bit
    image.PixelData = encapsulate([b"\xff\xd8" + bytes(98)])
    image["PixelData"].VR = "OB"


def as_mosaic(image: Dataset) -> None:
    image.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]


def with_private_count_of_tiles(image: Dataset) -> None:
    image.private_block(0x19, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 25)


ODD: dict[str, Callable[[Dataset], None]] = {
    "in colour": in_colour,
    "without a place": without_place,
    "inverted": inverted,
    "with unused low bits": with_high_bit,
    "without pixels": without_pixels,
    "in an unread transfer syntax": in_unread_syntax,
    "a mosaic": as_mosaic,
    "a mosaic by its private count": with_private_count_of_tiles,
}


def damaged(content: bytes) -> bytes:
    """A file that ends in the middle of an element before its series is named."""
    return content[: content.index(SERIES_UID.encode() + b".90") - 60]


def sparse_segmentation() -> bytes:
    """A segmentation of another program: 180 frames of 512 × 512 with hardly a voxel set."""
    image = classic(noise_volume(), **OTHER_SERIES, Modality="SEG")[0]
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = uid.SegmentationStorage
    image.Rows = image.Columns = 512
    image.NumberOfFrames = 180
    image.BitsAllocated = image.BitsStored = 1
    image.HighBit = 0
    bits = np.zeros(512 * 512 * 180 // 8, np.uint8)
    bits[3_000_000:3_000_040] = 0xFF
    image.PixelData = bits.tobytes()
    return to_bytes(image)


def disk(**beside: bytes) -> bytes:
    """A zip file of the series, and of other files by name."""
    return zipped({f"DICOM/{number:05d}": one for number, one in enumerate(t1_files())} | beside)


def office_file(name: str = "word/document.xml") -> bytes:
    return zipped({name: b"x"})


def as_zip64(content: bytes) -> bytes:
    """The archive with the end records that streaming writers use: all true numbers in the ZIP64 record."""
    at = content.rindex(b"PK\5\6")
    count, size, start = struct.unpack("<HII", content[at + 10 : at + 20])
    record = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, at, 1)
    end = struct.pack("<4s4H2IH", b"PK\5\6", *[0xFFFF] * 4, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return content[:at] + record + locator + end


def with_hidden_entries(count: int) -> bytes:
    """An archive whose 32-bit end record counts one entry, and whose ZIP64 record all."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(count):
            archive.writestr(str(number), b"")
    content = bytearray(as_zip64(buffer.getvalue()))
    struct.pack_into("<4H2I", content, content.rindex(b"PK\5\6") + 4, 0, 0, 1, 1, 46, 0)
    return bytes(content)


def without_class(image: Dataset) -> bytes:
    """Group 0002 with the transfer syntax alone."""
    del image.file_meta.MediaStorageSOPClassUID, image.file_meta.MediaStorageSOPInstanceUID
    return _loosely(image)


def without_syntax(image: Dataset) -> bytes:
    """Group 0002 without the transfer syntax; the data set is explicit little endian."""
    content = _loosely(image)
    at = content.index(b"\x02\x00\x10\x00UI")
    length = 8 + struct.unpack("<H", content[at + 6 : at + 8])[0]
    return content[:at] + content[at + length :]


def without_preamble(image: Dataset) -> bytes:
    """The file from group 0002 on."""
    return to_bytes(image)[132:]


def bare(image: Dataset, *, implicit: bool) -> bytes:
    """The data set alone, in little endian."""
    del image.file_meta
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, implicit
    write_dataset(buffer, image)
    return bytes(buffer.getvalue())


INCOMPLETE: dict[str, Callable[[Dataset], bytes]] = {
    "without a class": without_class,
    "without a transfer syntax": without_syntax,
    "without a preamble": without_preamble,
    "bare, implicit": lambda image: bare(image, implicit=True),
    "bare, explicit": lambda image: bare(image, implicit=False),
}


def _loosely(image: Dataset) -> bytes:
    image.preamble = bytes(128)
    buffer = io.BytesIO()
    image.save_as(buffer, enforce_file_format=False)
    return buffer.getvalue()
