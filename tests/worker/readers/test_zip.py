"""Zip files are unpacked within limits, and their names lead nowhere."""

import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from dicom_series import classic, noise_volume, to_bytes, zipped
from hostile_files import changed, nifti, picture
from odd_studies import as_zip64, with_hidden_entries

from metseg.errors import InputError
from metseg.imaging.scan import ScanKind
from metseg_worker.readers.open import ReadOptions, open_scan
from metseg_worker.readers.zip import UnpackLimits, unpack

DEFAULT = UnpackLimits()


def refusal(content: bytes, folder: Path, limits: UnpackLimits = DEFAULT) -> str:
    (folder / "zip").write_bytes(content)
    with pytest.raises(InputError) as refused:
        unpack([folder / "zip"], folder / "unpacked", limits)
    assert len(str(refused.value).split()) >= 5
    return refused.value.code


def contents(content: bytes, folder: Path) -> list[bytes]:
    (folder / "zip").write_bytes(content)
    return [path.read_bytes() for path in unpack([folder / "zip"], folder / "unpacked").files]


def opened(content: bytes, folder: Path):
    (folder / "zip").write_bytes(content)
    return open_scan([folder / "zip"], folder / "unpacked", ReadOptions())


def entry(name: str, mode: int = 0o644) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.external_attr = mode << 16
    return made


def test_a_zip_of_a_series_beside_other_files_is_that_series(tmp_path: Path):
    images = {f"DICOM/IM{number}": to_bytes(image) for number, image in enumerate(classic(noise_volume()))}
    scan = opened(zipped(images | {"README.txt": b"insert disk", "preview.png": picture()}), tmp_path)
    assert (scan.kind, scan.volume.shape) == (ScanKind.DICOM, noise_volume().shape)
    assert scan.warnings == ("Left out 2 files that are no image of the scan.",)
    assert all(one.path.parent == tmp_path / "unpacked" for one in scan.slices)


def test_a_zip_of_one_nifti_is_that_nifti(tmp_path: Path):
    scan = opened(zipped({"a/b/scan.bin": nifti(), "scan.json": b"{}"}), tmp_path)
    assert (scan.kind, scan.volume.shape) == (ScanKind.NIFTI, (32, 32, 8))


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"a.nii": nifti(), "b.nii": changed(344, "<4s", b"n+1\0", size=16)}, "input_unsupported"),
        ({"a.nii": nifti(), "b": to_bytes(classic(noise_volume())[0])}, "input_unsupported"),
        ({"a.png": picture(), "b.png": picture(size=(80, 80))}, "input_unsupported"),
        ({"a.txt": b"one", "b.txt": b"two"}, "input_format_unknown"),
        ({"a.txt": b"one"}, "input_format_unknown"),
        ({}, "input_empty"),
    ],
)
def test_a_zip_without_exactly_one_scan_is_refused(tmp_path: Path, files, code):
    with pytest.raises(InputError) as refused:
        opened(zipped(files), tmp_path)
    assert refused.value.code == code


def test_names_that_climb_lead_nowhere(tmp_path: Path):
    names = ("../../evil", "/etc/evil", "C:\\evil", "a/../../../evil", "same", "same ")
    assert len(contents(zipped(dict.fromkeys(names, b"x")), tmp_path)) == len(names)
    assert sorted(path.name for path in (tmp_path / "unpacked").iterdir()) == [f"{n:05d}" for n in range(1, 7)]
    assert [path.name for path in tmp_path.rglob("*evil*")] == []


def test_folders_links_and_what_systems_add_are_skipped(tmp_path: Path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(entry("folder/"), b"")
        archive.writestr(entry("link", stat.S_IFLNK | 0o777), b"/etc/passwd")
        archive.writestr("__MACOSX/._scan", b"fork")
        archive.writestr("DICOMDIR", b"index")
        archive.writestr("CD/DICOMDIR", b"index")
        archive.writestr("scan", b"the scan")
    assert contents(buffer.getvalue(), tmp_path) == [b"the scan"]


def test_an_entry_without_a_name_is_unpacked(tmp_path: Path):
    content = bytearray(zipped({"a": b"the scan"}))
    directory = content.rindex(b"PK\1\2")
    for at, name in ((26, 30), (directory + 28, directory + 46)):
        struct.pack_into("<H", content, at, 0)
        struct.pack_into("<H", content, at + 2, 1)  # the byte of the name becomes the extra field
        assert content[name] == ord("a")
    assert contents(bytes(content), tmp_path) == [b"the scan"]


def test_an_entry_that_unpacks_to_far_more_than_an_image_is_a_bomb(tmp_path: Path):
    assert refusal(zipped({"bomb": bytes(64 << 20)}), tmp_path) == "input_too_large"


def test_an_entry_that_hides_its_size_is_stopped_while_it_unpacks(tmp_path: Path):
    content = bytearray(zipped({"bomb": bytes(64 << 20)}))
    at = content.rindex(b"PK\1\2")
    struct.pack_into("<I", content, at + 24, 1000)
    assert refusal(bytes(content), tmp_path) in ("input_too_large", "input_damaged")
    assert sum(path.stat().st_size for path in (tmp_path / "unpacked").iterdir()) <= 2 << 20


def test_more_bytes_in_all_than_are_allowed_are_refused(tmp_path: Path):
    files = {str(number): bytes(range(256)) * 400 for number in range(12)}
    assert refusal(zipped(files), tmp_path, UnpackLimits(total_bytes=1_000_000)) == "input_too_large"


def test_a_zip_file_within_another_stays_packed(tmp_path: Path):
    inner = zipped({"scan": nifti()})
    assert contents(zipped({"inner.zip": inner, "scan": b"the scan"}), tmp_path) == [inner, b"the scan"]


def test_what_unpacks_to_far_more_than_an_image_is_left_out_unless_it_is_dicom(tmp_path: Path):
    (tmp_path / "zip").write_bytes(
        zipped({"cache": bytes(8 << 20), "scan": b"the scan", "dicom": bytes(128) + b"DICM" + bytes(8 << 20)})
    )
    found = unpack([tmp_path / "zip"], tmp_path / "unpacked")
    assert [path.stat().st_size for path in found.files] == [8, 132 + (8 << 20)]
    assert found.too_dense == 1


def test_a_bomb_that_looks_like_dicom_stops_at_what_may_come_out(tmp_path: Path):
    bomb = zipped({str(number): bytes(128) + b"DICM" + bytes(4 << 20) for number in range(4)})
    assert refusal(bomb, tmp_path, UnpackLimits(total_bytes=6 << 20)) == "input_too_large"
    assert sum(path.stat().st_size for path in (tmp_path / "unpacked").iterdir()) <= 6 << 20


def test_a_small_zip64_archive_is_read(tmp_path: Path):
    assert contents(as_zip64(zipped({"a": b"one", "b": b"two"})), tmp_path) == [b"one", b"two"]


def test_more_entries_than_are_allowed_are_refused_with_their_number(tmp_path: Path):
    content = zipped({str(number): b"" for number in range(40)})
    (tmp_path / "zip").write_bytes(as_zip64(content))
    with pytest.raises(InputError, match="at most 30 files in zip files, got 40"):
        unpack([tmp_path / "zip"], tmp_path / "unpacked", UnpackLimits(entries=30))


def test_a_directory_that_a_false_end_record_hides_is_not_read(tmp_path: Path):
    assert refusal(with_hidden_entries(40), tmp_path, UnpackLimits(directory_bytes=1000)) == "input_too_large"


@pytest.mark.parametrize("as_claimed", [as_zip64, bytes], ids=["ZIP64", "32 bit"])
def test_a_directory_larger_than_allowed_is_not_read(tmp_path: Path, as_claimed):
    content = as_claimed(zipped({str(number): b"" for number in range(40)}))
    assert refusal(content, tmp_path, UnpackLimits(directory_bytes=1000)) == "input_too_large"


def test_a_directory_is_measured_where_the_end_record_holds_its_own_signature(tmp_path: Path):
    content = bytearray(zipped({str(number): b"" for number in range(40)}))
    end = content.rindex(b"PK\5\6")
    content[end + 4 : end + 8] = b"PK\5\6"  # in the numbers of disks, which nobody looks at
    assert refusal(bytes(content), tmp_path, UnpackLimits(directory_bytes=1500)) == "input_too_large"
    (tmp_path / "2").mkdir()
    assert len(contents(bytes(content), tmp_path / "2")) == 40


def test_entries_of_several_zip_files_count_together(tmp_path: Path):
    paths = [tmp_path / "1", tmp_path / "2"]
    for path in paths:
        path.write_bytes(zipped(dict.fromkeys("abc", b"x")))
    assert len(unpack(paths, tmp_path / "all").files) == 6
    with pytest.raises(InputError, match="at most 5 files"):
        unpack(paths, tmp_path / "some", UnpackLimits(entries=5))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("encrypted", "input_unsupported"),
        ("packed by lzma", "input_unsupported"),
        ("a wrong sum", "input_damaged"),
        ("cut", "input_damaged"),
        ("a directory that leads nowhere", "input_damaged"),
    ],
)
def test_what_cannot_be_unpacked_is_refused(tmp_path: Path, change, code):
    assert refusal(hostile(change), tmp_path) == code


def hostile(change: str) -> bytes:
    content = bytearray(zipped({"scan": nifti()}))
    directory = content.rindex(b"PK\1\2")
    if change == "encrypted":
        content[6] |= 1
        content[directory + 8] |= 1
    elif change == "packed by lzma":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
            archive.writestr("scan", nifti())
        return buffer.getvalue()
    elif change == "a wrong sum":
        content[directory + 16] ^= 0xFF
    elif change == "cut":
        return bytes(content[: len(content) // 2])
    else:
        struct.pack_into("<I", content, len(content) - 6, 1 << 30)
    return bytes(content)
