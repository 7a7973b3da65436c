import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from metseg.errors import DamagedInputError, InputTooLargeError, InputTooSmallError, UnsupportedInputError
from metseg.imaging.limits import ReadLimits
from metseg.imaging.picture import read_picture, write_picture

LIMITS = ReadLimits(max_pixels=10_000)
JPEG_AT_BEST = {"a.jpg": {"quality": 100}}
RAMP = np.arange(40 * 60, dtype=np.uint16).reshape(40, 60)


def test_a_mask_of_a_picture_has_its_rows_and_columns(tmp_path):
    Image.fromarray((RAMP % 256).astype(np.uint8)).save(tmp_path / "a.png")
    volume = read_picture(tmp_path / "a.png", LIMITS)
    assert volume.shape == (60, 40, 1)
    write_picture(tmp_path / "b.png", volume.array[:, :, 0])
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "b.png")), RAMP % 256)


def test_the_left_of_a_picture_is_the_patients_right_and_its_top_the_front(tmp_path):
    Image.fromarray((RAMP % 256).astype(np.uint8)).save(tmp_path / "a.png")
    volume = read_picture(tmp_path / "a.png", LIMITS, (0.5, 0.8))
    assert volume.orientation == ("L", "P", "S")
    assert volume.spacing_mm[:2] == (0.5, 0.8)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bit_grey_keeps_all_its_bits(tmp_path, name):
    Image.fromarray(RAMP * 27).save(tmp_path / name)
    np.testing.assert_array_equal(read_picture(tmp_path / name, LIMITS).array[:, :, 0].T, RAMP * 27)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_8_bit_grey_and_rgb_give_the_same_grey(tmp_path, name, mode):
    grey = Image.fromarray((RAMP // 10).astype(np.uint8))
    grey.convert(mode).save(tmp_path / name, quality=100) if name == "a.jpg" else grey.convert(mode).save(
        tmp_path / name
    )
    read = read_picture(tmp_path / name, LIMITS).array[:, :, 0].T
    assert read.dtype == np.uint8
    assert np.abs(read.astype(int) - RAMP // 10).max() <= 3


def test_an_opaque_alpha_channel_is_ignored_and_a_transparent_one_refused(tmp_path):
    image = Image.fromarray((RAMP % 256).astype(np.uint8)).convert("RGBA")
    image.save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png", LIMITS).shape == (60, 40, 1)
    image.putalpha(100)
    image.save(tmp_path / "a.png")
    with pytest.raises(UnsupportedInputError, match="transparent"):
        read_picture(tmp_path / "a.png", LIMITS)


def test_pictures_beyond_the_limits_are_refused(tmp_path):
    Image.new("L", (200, 200)).save(tmp_path / "a.png")
    with pytest.raises(InputTooLargeError):
        read_picture(tmp_path / "a.png", LIMITS)
    Image.new("L", (1, 1)).save(tmp_path / "a.png")
    with pytest.raises(InputTooSmallError):
        read_picture(tmp_path / "a.png", LIMITS)


def test_400_megapixels_are_refused_before_they_are_unpacked(tmp_path):
    Image.new("1", (20_000, 20_000)).save(tmp_path / "a.png")
    with pytest.raises(InputTooLargeError):
        read_picture(tmp_path / "a.png", ReadLimits())


def test_animations_and_pages_are_refused(tmp_path):
    frames = [Image.new("L", (40, 40), grey) for grey in (0, 90, 180)]
    for name in ("a.png", "a.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        with pytest.raises(UnsupportedInputError, match="several"):
            read_picture(tmp_path / name, LIMITS)


@pytest.mark.parametrize(("mode", "name"), [("CMYK", "a.jpg"), ("CMYK", "a.tif"), ("P", "a.png"), ("F", "a.tif")])
def test_other_colours_are_refused(tmp_path, mode, name):
    Image.new(mode, (40, 40)).save(tmp_path / name)
    with pytest.raises(UnsupportedInputError, match="grey or RGB"):
        read_picture(tmp_path / name, LIMITS)


def test_a_rotation_asked_for_by_exif_is_refused(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (40, 40)).save(tmp_path / "a.jpg", exif=exif)
    with pytest.raises(UnsupportedInputError, match="upright"):
        read_picture(tmp_path / "a.jpg", LIMITS)


@pytest.mark.parametrize("orientation", [0, 1, 9, 65535])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_an_exif_orientation_that_asks_for_nothing_is_upright(tmp_path, name, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray((RAMP // 10).astype(np.uint8)).save(tmp_path / name, exif=exif, **JPEG_AT_BEST.get(name, {}))
    read = read_picture(tmp_path / name, LIMITS).array[:, :, 0].T
    assert np.abs(read.astype(int) - RAMP // 10).max() <= 3


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "deflate"])
def test_a_tiff_in_which_zero_is_white_is_inverted(tmp_path, order, bits, packed):
    grey = (RAMP * 27).astype(np.uint16) if bits == 16 else (RAMP // 10).astype(np.uint8)
    stored = (2**bits - 1 - grey).astype(grey.dtype.newbyteorder(order)).tobytes()
    (tmp_path / "a.tif").write_bytes(tiff(stored, order, bits, packed=packed))
    read = read_picture(tmp_path / "a.tif", LIMITS).array[:, :, 0].T
    assert read.dtype == grey.dtype
    np.testing.assert_array_equal(read, grey)


def tiff(pixels: bytes, order: str, bits: int, *, packed: bool) -> bytes:
    """One page of the ramp's size in one strip, in which 0 is white."""
    strip = zlib.compress(pixels) if packed else pixels
    shorts = {256: 60, 257: 40, 258: bits, 259: 8 if packed else 1, 262: 0, 277: 1, 278: 40}
    entries = [(tag, 3, value) for tag, value in shorts.items()] + [(273, 4, 256), (279, 4, len(strip))]
    listed = b"".join(
        struct.pack(f"{order}HHI", tag, kind, 1)
        + struct.pack(f"{order}{'HH' if kind == 3 else 'I'}", *((value, 0) if kind == 3 else (value,)))
        for tag, kind, value in sorted(entries)
    )
    start = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(entries))
    return (start + listed + bytes(4)).ljust(256, b"\0") + strip


def test_what_pillow_stumbles_over_is_a_damaged_picture(tmp_path):
    """A second page without a width is a `TypeError` to it."""
    whole = bytearray(tiff(RAMP.astype("<u2").tobytes(), "<", 16, packed=False))
    struct.pack_into("<I", whole, 8 + 2 + 9 * 12, 200)
    struct.pack_into("<HHHII", whole, 200, 1, 258, 3, 1, 16)
    (tmp_path / "a.tif").write_bytes(whole)
    with pytest.raises(DamagedInputError):
        read_picture(tmp_path / "a.tif", LIMITS)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_a_picture_that_breaks_off_is_refused(tmp_path, name):
    noise = np.random.default_rng(1).integers(0, 255, (90, 90), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedInputError):
        read_picture(tmp_path / name, LIMITS)
