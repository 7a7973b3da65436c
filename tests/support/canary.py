"""A made-up patient's name, hidden wherever a file or a request can hold one, and the search for it."""

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from dicom_series import classic, noise_volume, to_bytes, zipped
from hostile_files import nifti, picture
from nibabel import Nifti1Image
from nibabel.nifti1 import Nifti1Extension
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from redis import Redis

NAME = "Quarantina"
PATIENT = f"{NAME}^Zoe"
BEARERS = ("seg.dcm", "sr.dcm", "rtstruct.dcm")
"""The artefacts that say whose scan it is, as a PACS needs; what they hold is for `test_dicom_identity.py`."""

HEADERS = {
    "User-Agent": PATIENT,
    "Referer": f"http://{NAME}.example/{NAME}",
    "Cookie": f"patient={NAME}",
    "X-Request-ID": NAME,
    "X-Patient": PATIENT,
    "tracestate": f"patient={NAME.lower()}",
    "If-None-Match": f'"{NAME}"',
}
"""Sent with every request."""


def nifti_of_patient(content: bytes | None = None) -> bytes:
    """A NIfTI file with the name in each of its texts and in an extension of its header."""
    image = Nifti1Image.from_bytes(content or nifti())
    for field in ("descrip", "aux_file", "intent_name", "db_name"):
        image.header[field] = PATIENT.encode()
    image.header.extensions.append(Nifti1Extension("comment", PATIENT.encode()))
    return image.to_bytes()


def gzip_of_patient() -> bytes:
    """The same behind a gzip header that tells a file name."""
    buffer = io.BytesIO()
    with gzip.GzipFile(f"{NAME}.nii", "wb", fileobj=buffer) as file:
        file.write(nifti_of_patient())
    return buffer.getvalue()


def png_of_patient() -> bytes:
    """A PNG with the name in its three kinds of text and in its EXIF data."""
    texts = PngInfo()
    texts.add_text("Comment", PATIENT)
    texts.add_text("Description", PATIENT, zip=True)
    texts.add_itxt("Patient", PATIENT)
    return _spotted(format="PNG", pnginfo=texts, exif=_exif())


def tiff_of_patient() -> bytes:
    """A TIFF with the name in its description, its document's and its artist's name, software and host."""
    return _spotted(format="TIFF", tiffinfo=dict.fromkeys((270, 269, 315, 305, 316), PATIENT))


def jpeg_of_patient() -> bytes:
    """A JPEG with the name as its comment and in its EXIF data."""
    return _spotted(format="JPEG", comment=PATIENT.encode(), exif=_exif())


def dicom_of_patient() -> bytes:
    """A zip of a DICOM series, its files named after the patient, with the name in many elements."""
    texts = ("PatientName", "ReferringPhysicianName", "OperatorsName", "InstitutionName", "StudyDescription")
    texts += ("SeriesDescription", "ProtocolName", "PatientComments", "ImageComments", "StationName")
    images = classic(noise_volume(shape=(32, 32, 4)), PatientID=NAME, **dict.fromkeys(texts, PATIENT))
    return zipped({f"{NAME}/{number}.dcm": to_bytes(image) for number, image in enumerate(images)})


def _spotted(**how: object) -> bytes:
    pixels = Image.new("L", (64, 64), 90)
    pixels.paste(250, (20, 20, 26, 26))
    pixels.paste(0, (0, 0, 64, 8))
    buffer = io.BytesIO()
    pixels.save(buffer, **how)
    return buffer.getvalue()


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010E] = exif[0x013B] = PATIENT
    return exif


SUCCEEDING = {
    "nifti": nifti_of_patient,
    "gzip": gzip_of_patient,
    "png": png_of_patient,
    "tiff": tiff_of_patient,
    "jpeg": jpeg_of_patient,
    "dicom": dicom_of_patient,
}
FAILING = {
    "read": lambda: nifti_of_patient()[:-900],
    "format": lambda: PATIENT.encode() * 50,
    "picture": lambda: png_of_patient()[:200] + picture()[-30:],
}
"""Files that end their job while they are read, by different errors."""


def holds_name(data: bytes) -> bool:
    """Whether the name stands in some bytes, in any letters, or in what is packed in them."""
    needles = [NAME.lower().encode(code) for code in ("ascii", "utf-16-le")]
    return any(needle in form.lower() for form in _forms(data) for needle in needles)


def _forms(data: bytes) -> Iterator[bytes]:
    yield data
    for unpack in (gzip.decompress, zlib.decompress, _picture_texts, _members):
        try:
            yield unpack(data)
        except Exception:  # noqa: BLE001  # it is not of that form
            continue


def _picture_texts(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return repr([image.info, dict(image.getexif()), getattr(image, "text", None)]).encode()


def _members(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return b"\n".join(name.encode() + b"\n" + archive.read(name) for name in archive.namelist())


def redis_content(connection: Redis) -> Iterator[tuple[str, bytes]]:
    """Every key and value, RQ's packed ones included."""
    readers = {
        b"string": lambda key: [connection.get(key) or b""],
        b"hash": lambda key: [part for pair in connection.hgetall(key).items() for part in pair],
        b"list": lambda key: connection.lrange(key, 0, -1),
        b"set": lambda key: list(connection.smembers(key)),
        b"zset": lambda key: connection.zrange(key, 0, -1),
        b"stream": lambda key: [repr(connection.xrange(key)).encode()],
    }
    for key in connection.scan_iter():
        yield "a key of Redis", key
        kind = connection.type(key)
        if kind != b"none":
            yield from ((f"Redis at {key!r}", value) for value in readers[kind](key))


UPLOADED = {"input", "previous"}


def folder_content(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file below a folder; of what was uploaded, and of `BEARERS`, the name alone."""
    for path in folder.rglob("*"):
        yield "a file's name", str(path.relative_to(folder)).encode()
        if path.is_file() and path.name not in BEARERS and not UPLOADED & set(path.relative_to(folder).parts):
            yield str(path.relative_to(folder)), path.read_bytes()
