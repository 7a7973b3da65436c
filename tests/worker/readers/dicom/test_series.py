"""What is refused of a series, and which of several series is segmented."""

from pathlib import Path

import numpy as np
import pytest
from dicom_series import NOISE_SHAPE as SHAPE
from dicom_series import SERIES_UID, as_syntax, classic, enhanced, to_bytes, write
from dicom_series import noise_volume as volume
from phantoms import affine_of
from pydicom import Dataset, uid

from metseg.errors import InputError
from metseg.imaging.limits import ReadLimits
from metseg.imaging.scan import Scan
from metseg.imaging.series_errors import SeriesUnclearError
from metseg.imaging.volume import Volume
from metseg_worker.readers.open import ReadOptions, open_scan


def opened(images: list[Dataset], folder: Path, **asked: object) -> Scan:
    return open_scan(write(images, folder / "in"), folder / "unpacked", ReadOptions(**asked))


def refusal(images: list[Dataset], folder: Path, **asked: object) -> InputError:
    with pytest.raises(InputError) as refused:
        opened(images, folder, **asked)
    assert len(str(refused.value).split()) >= 5
    return refused.value


def series(number: int, slices: int = 12, **attributes: object) -> list[Dataset]:
    made = volume(number, (*SHAPE[:2], slices))
    return classic(made, SeriesInstanceUID=f"{SERIES_UID}.{number}", SeriesNumber=number, **attributes)


def moved(images: list[Dataset], index: int, millimetres: float, axis: int = 2) -> list[Dataset]:
    place = [float(value) for value in images[index].ImagePositionPatient]
    place[axis] += millimetres
    images[index].ImagePositionPatient = place
    return images


def test_two_missing_slices_are_counted(tmp_path: Path):
    images = [image for index, image in enumerate(classic(volume())) if index not in (4, 7)]
    error = refusal(images, tmp_path)
    assert error.code == "series_gap"
    assert "every 5.00 mm, but 2 of them" in str(error)


def test_an_image_that_lies_where_another_one_does_is_a_duplicate(tmp_path: Path):
    images = [*classic(volume()), classic(volume(1))[3]]
    error = refusal(images, tmp_path)
    assert error.code == "series_duplicate"
    assert "1 of 13" in str(error)


def test_uneven_slices_are_refused_with_their_distances(tmp_path: Path):
    error = refusal(moved(classic(volume()), 5, 1.5), tmp_path)
    assert error.code == "series_uneven"
    assert "3.50 to 6.50 mm" in str(error)


def test_positions_that_were_rounded_are_even(tmp_path: Path):
    scan = opened(moved(classic(volume()), 5, 0.04), tmp_path)
    assert scan.volume.spacing_mm[2] == pytest.approx(5, abs=1e-3)


def rounded(step_mm: float, slices: int, *, without: int | None = None) -> list[Dataset]:
    """A series on oblique slices whose coordinates are rounded to a tenth of a millimetre."""
    x, z = np.radians((25, 10))
    about_x = np.array(((1, 0, 0), (0, np.cos(x), -np.sin(x)), (0, np.sin(x), np.cos(x))))
    about_z = np.array(((np.cos(z), -np.sin(z), 0), (np.sin(z), np.cos(z), 0), (0, 0, 1)))
    array = volume(shape=(*SHAPE[:2], slices)).array
    images = classic(Volume(array, affine_of(("L", "A", "S"), (8, 8, step_mm), about_z @ about_x)))
    for image in images:
        image.ImagePositionPatient = [round(float(one), 1) for one in image.ImagePositionPatient]
    return [image for index, image in enumerate(images) if index != without]


@pytest.mark.parametrize(("step_mm", "slices"), [(0.5, 60), (0.94, 40), (1.0, 3), (1.2, 24), (3.0, 5)])
def test_positions_that_were_rounded_to_a_tenth_of_a_millimetre_lie_on_a_line(tmp_path: Path, step_mm, slices):
    scan = opened(rounded(step_mm, slices), tmp_path)
    assert scan.volume.shape[2] == slices
    assert scan.volume.spacing_mm[2] == pytest.approx(step_mm, abs=0.2 / slices)


@pytest.mark.parametrize("without", [1, 20, 38])
def test_a_slice_that_is_missing_among_rounded_positions_is_counted(tmp_path: Path, without):
    error = refusal(rounded(0.94, 40, without=without), tmp_path)
    assert error.code == "series_gap"
    assert "every 0.94 mm, but 1 of them" in str(error)


def test_distances_that_differ_by_less_than_a_slice_are_no_gap(tmp_path: Path):
    images = classic(volume())
    for index in range(6, 12):
        moved(images, index, 0.4)
    error = refusal(images, tmp_path)
    assert error.code == "series_uneven"
    assert " 0 of them" not in str(error)


def test_a_slice_of_another_orientation_is_refused(tmp_path: Path):
    images = classic(volume())
    images[3].ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    assert refusal(images, tmp_path).code == "series_mixed"


@pytest.mark.parametrize("attribute", ["PixelSpacing", "Columns"])
def test_a_slice_of_another_size_is_refused(tmp_path: Path, attribute):
    images = classic(volume())
    setattr(images[3], attribute, [8, 7.5] if attribute == "PixelSpacing" else 20)
    assert refusal(images, tmp_path).code == "series_mixed"


def test_a_slice_that_stands_aside_is_refused(tmp_path: Path):
    assert refusal(moved(classic(volume()), 5, 3.0, axis=0), tmp_path).code == "series_mixed"


def test_a_tilted_gantry_is_refused_with_its_angle(tmp_path: Path):
    images = classic(volume())
    for index in range(len(images)):
        moved(images, index, 5 * index * np.tan(np.radians(8)), axis=1)
    error = refusal(images, tmp_path)
    assert error.code == "series_tilted"
    assert "8.0 degrees" in str(error)


@pytest.mark.parametrize("change", [{"PatientID": "4712"}, {"PatientBirthDate": "19450204"}])
def test_images_of_two_patients_are_refused_even_in_two_series(tmp_path: Path, change):
    error = refusal([*series(1), *series(2, **change)], tmp_path)
    assert error.code == "series_patients"
    assert not any(secret in str(error) for secret in ("Muster", "4711", "4712", "1945"))


def test_a_name_that_is_written_in_other_letters_is_the_same_patient(tmp_path: Path):
    images = classic(volume())
    images[0].PatientName = "MUSTER^ERIKA^"
    assert opened(images, tmp_path).volume.shape == SHAPE


PLAIN = {"SeriesDescription": "ax T2 FLAIR", "ContrastBolusAgent": ""}
NATIVE = {"SeriesDescription": "T1 MPRAGE native", "ContrastBolusAgent": "NONE"}
LOCALIZER = {"SeriesDescription": "3-plane localizer post Gd", "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}


def test_the_one_t1_series_with_contrast_agent_is_taken_and_told(tmp_path: Path):
    others = [*series(1, **LOCALIZER), *series(2, **NATIVE), *series(3, **PLAIN), *series(9, slices=1)]
    scan = opened([*others, *series(7)], tmp_path)
    np.testing.assert_array_equal(scan.volume.array, volume(7).array)
    assert scan.warnings == (
        "Of 5 series, number 7 (T1 with contrast agent, 12 images) was segmented. Left out: number 1 (other, 12 "
        "images), number 2 (T1, 12 images), number 3 (other, 12 images), number 9 (T1 with contrast agent, "
        "1 image).",
    )


@pytest.mark.parametrize(
    "attributes",
    [
        {"SeriesDescription": "t1_mprage_sag_p2_KM", "ContrastBolusAgent": ""},
        {"SeriesDescription": "AX BRAVO C+", "ContrastBolusAgent": ""},
        {"SeriesDescription": "anatomy", "AcquisitionContrast": "T1"},
        {"SeriesDescription": "", "RepetitionTime": "600", "EchoTime": "9"},
        {"SeriesDescription": "", "RepetitionTime": "2300", "EchoTime": "2.9", "InversionTime": "900"},
    ],
)
def test_a_t1_with_contrast_agent_is_known_by_words_or_by_numbers(tmp_path: Path, attributes):
    scan = opened([*series(1, **NATIVE), *series(2, **attributes)], tmp_path)
    assert "number 2" in scan.warnings[0]


@pytest.mark.parametrize("other", [{}, {"SeriesDescription": "T1 cor post contrast"}])
def test_two_series_that_could_be_meant_are_listed_without_a_word_of_theirs(tmp_path: Path, other):
    error = refusal([*series(2), *series(5, slices=10, **other), *series(6, **NATIVE)], tmp_path)
    assert error.code == "series_unclear"
    assert (
        "3 series: number 2 (T1 with contrast agent, 12 images), number 5 (T1 with contrast agent, 10 images), "
        "number 6 (T1, 12 images)" in str(error)
    )
    assert not any(word in str(error) for word in ("MPRAGE", "post", SERIES_UID))


def test_the_series_of_a_refusal_can_be_named_by_their_uids(tmp_path: Path):
    error = refusal([*series(2), *series(5, slices=10, **PLAIN), *series(6, **NATIVE)], tmp_path, series_uid="1.2")
    assert isinstance(error, SeriesUnclearError)
    told = [(one.uid, one.number, one.images, one.is_t1, one.has_agent) for one in error.series]
    assert told == [
        (f"{SERIES_UID}.2", 2, 12, True, True),
        (f"{SERIES_UID}.5", 5, 10, False, None),
        (f"{SERIES_UID}.6", 6, 12, True, False),
    ]


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_a_series_whose_uid_is_none_cannot_be_named(tmp_path: Path):
    odd = series(5)
    for image in odd:
        image.SeriesInstanceUID = "MUSTER 4711"
    error = refusal([*series(2), *odd], tmp_path)
    assert isinstance(error, SeriesUnclearError)
    assert [one.number for one in error.series] == [2]


def test_series_without_a_known_contrast_agent_are_not_guessed(tmp_path: Path):
    error = refusal([*series(1, **PLAIN), *series(2, **NATIVE)], tmp_path)
    assert error.code == "series_unclear"


def test_a_lone_series_is_taken_whatever_it_is(tmp_path: Path):
    assert opened(series(3, **PLAIN), tmp_path).volume.shape == SHAPE


def test_the_series_that_is_asked_for_is_taken(tmp_path: Path):
    scan = opened([*series(2), *series(5), *series(6, **PLAIN)], tmp_path, series_uid=f"{SERIES_UID}.6")
    np.testing.assert_array_equal(scan.volume.array, volume(6).array)
    assert "Of 3 series, number 6" in scan.warnings[0]


def test_a_siemens_mprage_is_proposed_and_its_reformat_is_not(tmp_path: Path):
    names = {"SeriesDescription": "t1_mpr_sag_p2_iso", "ContrastBolusAgent": "Gadobutrol"}
    derived = {"SeriesDescription": "t1_mpr_sag_p2_iso_MPR_tra", "ImageType": ["DERIVED", "SECONDARY", "MPR"]}
    scan = opened([*series(3, **names), *series(8, **derived)], tmp_path)
    np.testing.assert_array_equal(scan.volume.array, volume(3).array)
    assert "number 8 (T1 with contrast agent, reformatted, 12 images)" in scan.warnings[0]


def test_a_series_that_did_not_come_is_refused(tmp_path: Path):
    assert refusal(series(2), tmp_path, series_uid="1.2.3").code == "series_unknown"


def test_images_of_another_modality_are_refused_by_name(tmp_path: Path):
    images = classic(volume(), Modality="CT", SOPClassUID=uid.CTImageStorage)
    for image in images:
        image.file_meta.MediaStorageSOPClassUID = uid.CTImageStorage
    error = refusal(images, tmp_path)
    assert error.code == "input_not_mr"
    assert "CT" in str(error)


def test_dicom_files_without_images_do_not_disturb_a_series(tmp_path: Path):
    report = Dataset()
    report.file_meta = classic(volume())[0].file_meta
    report.file_meta.MediaStorageSOPClassUID = report.SOPClassUID = uid.BasicTextSRStorage
    report.PatientID, report.Modality, report.SOPInstanceUID = "other", "SR", "1.2.3"
    assert opened([*classic(volume()), report], tmp_path).volume.shape == SHAPE


@pytest.mark.parametrize("syntax", [uid.JPEGLosslessSV1, uid.JPEGExtended12Bit, uid.MPEG2MPML])
def test_a_transfer_syntax_without_decoder_is_refused_by_name(tmp_path: Path, syntax):
    images = [as_syntax(image, uid.JPEGLSLossless) for image in classic(volume())[:1]]
    images[0].file_meta.TransferSyntaxUID = syntax
    error = refusal(images, tmp_path)
    assert error.code == "input_compression"
    assert syntax.name in str(error)


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"PhotometricInterpretation": "MONOCHROME1"}, "input_unsupported"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "input_unsupported"),
        ({"BitsStored": 12, "HighBit": 15}, "input_unsupported"),
        ({"Rows": 0}, "input_damaged"),
        ({"Rows": 4000}, "input_damaged"),
        ({"NumberOfFrames": 4}, "input_geometry"),
        ({"PixelSpacing": None}, "input_geometry"),
        ({"ImagePositionPatient": None}, "input_geometry"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "input_geometry"),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, "input_geometry"),
        ({"PixelSpacing": [0, 0]}, "input_geometry"),
    ],
)
def test_headers_that_cannot_be_used_are_refused(tmp_path: Path, attributes, code):
    assert refusal(classic(volume(), **attributes), tmp_path).code == code


def test_a_file_with_fewer_places_than_frames_is_damaged(tmp_path: Path):
    assert refusal([enhanced(volume(), NumberOfFrames=60_000)], tmp_path).code == "input_damaged"


def test_more_voxels_than_are_allowed_are_refused_before_any_is_decoded(tmp_path: Path):
    path = tmp_path / "one"
    path.write_bytes(to_bytes(enhanced(volume(), Rows=60_000, Columns=60_000)))
    with pytest.raises(InputError) as refused:
        open_scan([path], tmp_path / "unpacked", ReadOptions(), ReadLimits())
    assert refused.value.code == "input_too_large"
