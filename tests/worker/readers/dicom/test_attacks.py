"""DICOM files that ask for more than they hold, or lie: each with the code it ends in."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicom_series import as_syntax, classic, enhanced, noise_volume, to_bytes
from pydicom import Dataset, uid

from metseg.errors import InputError
from metseg.imaging.scan import Scan
from metseg.imaging.volume import Volume
from metseg_worker.readers.open import ReadOptions, open_scan
from metseg_worker.readers.sandboxed import read_in_child
from metseg_worker.sandbox.parent import ChildLimits

FUNCTIONAL_GROUPS, REFERENCED = b"\x00\x52\x29\x92", b"\x08\x00\x10\x11"
PIXEL_DATA = b"\xe0\x7f\x10\x00"
ENDLESS = b"\xff\xff\xff\xff"


def volume() -> Volume:
    return noise_volume(shape=(48, 40, 14))


def slice_() -> Dataset:
    return classic(volume())[0]


def with_element(tag: bytes, vr: bytes, length: bytes, value: bytes = b"") -> bytes:
    """A slice into whose header an element of four-byte length was put."""
    whole = to_bytes(slice_())
    at = 132 + 12 + struct.unpack("<I", whole[140:144])[0]
    return whole[:at] + tag + vr + b"\0\0" + length + value + whole[at:]


def nested(tag: bytes) -> bytes:
    return with_element(tag, b"SQ", ENDLESS, (b"\xfe\xff\x00\xe0" + ENDLESS + tag + b"SQ\0\0" + ENDLESS) * 20_000)


def deflated() -> bytes:
    """Some 100 MB of zeros behind a sound slice, in 100 kB."""
    whole = to_bytes(as_syntax(slice_(), uid.DeflatedExplicitVRLittleEndian))
    at = 132 + 12 + struct.unpack("<I", whole[140:144])[0]
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    content = packer.compress(to_bytes(slice_())[at:])
    return whole[:at] + content + b"".join(packer.compress(bytes(1 << 20)) for _ in range(100)) + packer.flush()


def resized(syntax: uid.UID) -> bytes:
    """Frames of 40 × 48 pixels whose header says 3000 × 3000."""
    return to_bytes(with_size(as_syntax(enhanced(volume()), syntax), 3000))


def with_size(image: Dataset, side: int) -> Dataset:
    image.Rows = image.Columns = side
    return image


def vast_jpeg2000() -> bytes:
    """A frame that says of itself that it has 60,000 × 60,000 pixels."""
    content = bytearray(to_bytes(as_syntax(slice_(), uid.JPEG2000Lossless)))
    at = content.index(b"\xff\x4f\xff\x51")
    struct.pack_into(">II", content, at + 8, 60_000, 60_000)
    struct.pack_into(">II", content, at + 24, 60_000, 60_000)
    return bytes(content)


def pdf() -> bytes:
    image = slice_()
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = uid.EncapsulatedPDFStorage
    image.Modality = "DOC"
    return to_bytes(image)


ATTACKS: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing behind the prefix": (lambda: bytes(128) + b"DICM", "input_format_unknown"),
    "noise": (lambda: bytes(128) + b"DICM" + np.random.default_rng(1).bytes(5000), "input_format_unknown"),
    "a document": (pdf, "input_not_mr"),
    "sequences 20,000 deep": (lambda: nested(FUNCTIONAL_GROUPS), "input_damaged"),
    "sequences 20,000 deep that nobody reads": (lambda: nested(REFERENCED), "input_damaged"),
    "an element without end": (lambda: with_element(b"\x08\x00\x40\x11", b"UN", ENDLESS), "input_damaged"),
    "JPEG 2000 of another size": (lambda: resized(uid.JPEG2000Lossless), "input_damaged"),
    "JPEG-LS of another size": (lambda: resized(uid.JPEGLSLossless), "input_damaged"),
    "RLE of another size": (lambda: resized(uid.RLELossless), "input_damaged"),
    "JPEG 2000 of 3.6 gigapixels": (vast_jpeg2000, "input_damaged"),
    "no frame behind a packed header": (
        lambda: to_bytes(as_syntax(slice_(), uid.JPEGLSLossless)).replace(b"\xff\xd8\xff\xf7", b"\0\0\0\0"),
        "input_damaged",
    ),
    "two thousand million frames": (
        lambda: to_bytes(classic(volume(), NumberOfFrames=2**31 - 1)[0]),
        "input_geometry",
    ),
    "no frames": (lambda: to_bytes(enhanced(volume(), NumberOfFrames=-1)), "input_damaged"),
    "65,535 × 65,535 pixels": (lambda: to_bytes(with_size(enhanced(volume()), 65_535)), "input_too_large"),
    "a spacing that is no number": (
        lambda: to_bytes(slice_()).replace(b"8.0\\8.0 ", b"nan\\nan "),
        "input_geometry",
    ),
    "a slope that is no number": (lambda: to_bytes(classic(volume(), RescaleSlope="inf")[0]), "input_not_finite"),
    "a number of another length": (
        lambda: to_bytes(slice_()).replace(b"\x28\0\2\0US\2\0\1\0", b"\x28\0\2\0US\3\0\1\0\0"),
        "input_damaged",
    ),
    "an unknown transfer syntax": (
        lambda: to_bytes(as_syntax(slice_(), uid.JPEGLSLossless)).replace(b".1.2.4.80", b".1.9.9.99"),
        "input_compression",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ATTACKS)
@pytest.mark.filterwarnings("ignore::UserWarning")  # of pydicom, at making such files
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of numpy, at multiplying by infinity
def test_a_hostile_dicom_file_ends_in_its_code(tmp_path: Path, kind: str):
    make, code = ATTACKS[kind]
    (tmp_path / "file").write_bytes(make())
    with pytest.raises(InputError) as refused:
        open_scan([tmp_path / "file"], tmp_path / "unpacked", ReadOptions())
    assert refused.value.code == code
    assert len(str(refused.value).split()) >= 5


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (deflated, "input_compression"),
        (lambda: with_element(b"\x08\x00\x08\x00", b"UN", b"\xf0\xff\xff\xff"), "input_too_large"),
        (lambda: to_bytes(with_size(as_syntax(slice_(), uid.RLELossless), 11_585)), "input_damaged"),
    ],
    ids=["a deflated bomb", "an element of 4 GB", "one RLE frame of 134 megapixels"],
)
def test_a_bomb_stays_within_the_readers_memory(tmp_path: Path, make: Callable[[], bytes], code: str):
    with pytest.raises(InputError) as refused:
        read_in_little_memory(make(), tmp_path)
    assert refused.value.code == code


def test_a_sound_slice_needs_no_more_than_a_bomb_gets(tmp_path: Path):
    assert read_in_little_memory(to_bytes(slice_()), tmp_path).volume.shape == (48, 40, 1)


def read_in_little_memory(content: bytes, folder: Path) -> Scan:
    for name in ("in", "out"):
        (folder / name).mkdir()
    (folder / "in" / "0").write_bytes(content)
    limits = ChildLimits(memory_bytes=512 << 20)
    return read_in_child(folder / "in", folder / "out", ReadOptions(), check=lambda: None, limits=limits)


def test_what_stands_in_the_preamble_is_not_looked_at(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"MZ" + bytes(126) + to_bytes(slice_())[128:])
    assert open_scan([tmp_path / "file"], tmp_path / "unpacked", ReadOptions()).volume.shape == (48, 40, 1)
