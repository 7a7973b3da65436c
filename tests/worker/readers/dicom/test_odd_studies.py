"""One odd file does not refuse a study: only the chosen series is judged, and the rest is named as left out."""

from pathlib import Path

import numpy as np
import pytest
from dicom_series import NOISE_SHAPE, SERIES_UID, classic, noise_volume, to_bytes, zipped
from odd_studies import (
    CACHE_BYTES,
    INCOMPLETE,
    ODD,
    OTHER_SERIES,
    damaged,
    disk,
    odd_image,
    office_file,
    sparse_segmentation,
    t1_files,
)

from metseg.errors import InputError
from metseg.imaging.scan import Scan
from metseg_worker.readers.open import ReadOptions, open_scan


def opened(contents: list[bytes], folder: Path, **asked: object) -> Scan:
    paths = [folder / f"{number:03d}" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return open_scan(paths, folder / "unpacked", ReadOptions(**asked))


def refusal(contents: list[bytes], folder: Path, **asked: object) -> InputError:
    with pytest.raises(InputError) as refused:
        opened(contents, folder, **asked)
    return refused.value


def assert_is_the_series(scan: Scan) -> None:
    np.testing.assert_array_equal(scan.volume.array, noise_volume().array)
    assert len(scan.slices) == NOISE_SHAPE[2]


@pytest.mark.parametrize("asked", [{}, {"series_uid": SERIES_UID}], ids=["by headers", "by UID"])
@pytest.mark.parametrize("kind", ODD)
def test_an_odd_image_of_another_series_is_left_out_and_told_with_its_reason(tmp_path: Path, kind, asked):
    scan = opened([odd_image(kind), *t1_files()], tmp_path, **asked)
    assert_is_the_series(scan)
    chosen, left_out = scan.warnings[0].split(" Left out: ")
    assert chosen == "Of 2 series, number 4 (T1 with contrast agent, 12 images) was segmented."
    assert left_out.startswith("number 90 (1 unusable image: expected ")


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_image_of_the_chosen_series_refuses_it(tmp_path: Path, kind):
    odd = odd_image(kind, SeriesInstanceUID=SERIES_UID)
    alone = refusal([odd], tmp_path)
    (tmp_path / "2").mkdir()
    beside = refusal([*t1_files(), odd], tmp_path / "2")
    assert (beside.code, str(beside)) == (alone.code, str(alone))


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_series_that_is_asked_for_is_refused_with_its_reason(tmp_path: Path, kind):
    error = refusal([*t1_files(), odd_image(kind)], tmp_path, series_uid=f"{SERIES_UID}.90")
    (tmp_path / "2").mkdir()
    assert str(error) == str(refusal([odd_image(kind)], tmp_path / "2"))


@pytest.mark.parametrize("kind", ["a mosaic", "a mosaic by its private count"])
def test_a_mosaic_is_refused_by_name(tmp_path: Path, kind):
    error = refusal([odd_image(kind)], tmp_path)
    assert error.code == "input_unsupported"
    assert "mosaic" in str(error)


def test_a_file_whose_series_cannot_be_read_is_left_out_and_told(tmp_path: Path):
    scan = opened([*t1_files(), damaged(odd_image("inverted"))], tmp_path)
    assert_is_the_series(scan)
    assert [one for one in scan.warnings if "1 DICOM file whose series cannot be told" in one]


def test_a_localizer_does_not_stand_in_for_a_scan_that_cannot_be_read(tmp_path: Path):
    plain = {"ContrastBolusAgent": "", "SeriesDescription": "localizer"}
    localizer = [to_bytes(image) for image in classic(noise_volume(shape=(24, 20, 3)), **plain)]
    scan = [
        odd_image("in an unread transfer syntax", SOPInstanceUID=f"{SERIES_UID}.90.{number}")
        for number in range(12)
    ]
    assert refusal([*localizer, *scan], tmp_path).code == "input_compression"


def test_the_series_that_is_asked_for_alone_must_be_of_one_patient(tmp_path: Path):
    other = [to_bytes(one) for one in classic(noise_volume(seed=9), **OTHER_SERIES, PatientID="4712")]
    assert refusal([*t1_files(), *other], tmp_path).code == "series_patients"
    (tmp_path / "2").mkdir()
    assert_is_the_series(opened([*t1_files(), *other], tmp_path / "2", series_uid=SERIES_UID))
    (tmp_path / "3").mkdir()
    mixed = to_bytes(classic(noise_volume(), PatientID="4712")[0])
    assert refusal([*t1_files()[1:], mixed], tmp_path / "3", series_uid=SERIES_UID).code == "series_patients"


@pytest.mark.parametrize(
    ("beside", "told"),
    [
        ({"viewer/lib/core.jar": office_file("META-INF/MANIFEST.MF")}, "1 file that is a zip file within another"),
        ({"report.docx": office_file()}, "1 file that is a zip file within another"),
        ({"viewer/cache.bin": bytes(CACHE_BYTES)}, "1 file that is no image of the scan"),
        ({"DICOM/SEG": sparse_segmentation()}, "1 DICOM file that is no MR image (SEG)"),
    ],
    ids=["a jar", "a docx", "zeros", "a segmentation"],
)
def test_a_hospital_s_disk_is_read_and_what_is_no_image_is_told(tmp_path: Path, beside, told):
    scan = opened([disk(**beside)], tmp_path)
    assert_is_the_series(scan)
    assert [one for one in scan.warnings if told in one]


def test_a_zip_file_of_zip_files_alone_is_refused(tmp_path: Path):
    error = refusal([zipped({"a.zip": office_file()})], tmp_path)
    assert (error.code, "zip file within" in str(error)) == ("input_unsupported", True)


def test_copies_of_the_same_bytes_count_once_and_are_told(tmp_path: Path):
    files = t1_files()
    content = {f"{folder}/{number}": one for folder in ("DICOM", "IMAGES") for number, one in enumerate(files)}
    scan = opened([zipped(content)], tmp_path)
    assert_is_the_series(scan)
    assert scan.warnings == ("Left out 12 files that are the same as others.",)


def test_other_pixels_at_the_same_place_are_no_copy(tmp_path: Path):
    assert refusal([*t1_files(), to_bytes(classic(noise_volume(seed=1))[3])], tmp_path).code == "series_duplicate"


@pytest.mark.parametrize("kind", INCOMPLETE)
def test_an_incomplete_file_header_is_read(tmp_path: Path, kind):
    scan = opened([INCOMPLETE[kind](image) for image in classic(noise_volume())], tmp_path)
    assert_is_the_series(scan)
    assert scan.warnings == ()
