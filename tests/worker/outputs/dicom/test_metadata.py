"""What DICOM objects say of patient, study and making, and when there are none."""

from pathlib import Path

import numpy as np
import pytest
from dicom_results import Made, lesions, make, series
from dicom_series import write
from highdicom.sr import srread
from pydicom import Dataset, config

from metseg.imaging.limits import DEFAULT_LIMITS
from metseg.schemas.job import RESEARCH_USE_ONLY
from metseg_worker.outputs.dicom.sandboxed import MOST_LESIONS
from metseg_worker.readers.dicom.read import read_dicom

IDENTITY = {
    "PatientSex": "F",
    "PatientComments": "none",
    "StudyDate": "20251224",
    "StudyTime": "235959",
    "ReferringPhysicianName": "Dr^House",
    "AccessionNumber": "A-1",
    "StudyID": "17",
    "StudyDescription": "Schädel",
    "PatientAge": "081Y",
    "InstitutionName": "Hospital",
    "StationName": "MR1",
    "OperatorsName": "Op^Erator",
}
"""Of which the last three are of other modules than Patient and Study."""


def images(**attributes: object) -> list[Dataset]:
    made = series("axial")
    for image in made:
        for name, value in attributes.items():
            setattr(image, name, value)
    return made


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    source = images(SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Änne", **IDENTITY)
    return make(tmp_path_factory.mktemp("made"), source, lesions())


@pytest.mark.parametrize("name", ["seg.dcm", "sr.dcm", "rtstruct.dcm"])
def test_patient_and_study_are_the_source_s_and_nothing_else_is(made: Made, name: str):
    told = made.read(name)
    assert told.PatientName == "Müller^Änne"
    kept = list(IDENTITY)[:-3]
    assert {one: str(told[one].value) for one in kept} == {one: IDENTITY[one] for one in kept}
    assert not [one for one in list(IDENTITY)[-3:] if IDENTITY[one] in str(told)]


@pytest.mark.parametrize("name", ["seg.dcm", "sr.dcm", "rtstruct.dcm"])
def test_every_object_says_what_made_it_when_and_for_what_use(made: Made, name: str):
    told, report = made.read(name), made.report
    held = (made.folder / name).read_bytes()
    wanted = (report.job_id, report.model.digest, report.provenance.weights_sha256, "a test", RESEARCH_USE_ONLY)
    assert [one for one in wanted if one.encode() not in held] == []
    assert (told.InstanceCreationDate, told.InstanceCreationTime) == ("20260304", "050607")
    assert told.DeviceSerialNumber == report.model.digest
    assert report.software["metseg-worker"] in str(told.SoftwareVersions)


def test_the_segmentation_codes_metastases_of_the_brain_and_the_report_is_not_verified(made: Made):
    segment = made.read("seg.dcm").SegmentSequence[0]
    codes = (segment.SegmentedPropertyCategoryCodeSequence, segment.SegmentedPropertyTypeCodeSequence)
    codes += (segment.AnatomicRegionSequence,)
    assert [(one[0].CodeValue, one[0].CodingSchemeDesignator) for one in codes] == [
        *(("49755003", "SCT"), ("14799000", "SCT"), ("12738006", "SCT")),
    ]
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    report = made.read("sr.dcm")
    assert (report.VerificationFlag, report.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    assert made.read("rtstruct.dcm").ApprovalStatus == "UNAPPROVED"


def test_values_that_break_their_type_are_left_out(tmp_path: Path):
    with config.disable_value_validation():
        source = images(PatientBirthDate="tomorrow", PatientSex="X", StudyTime="99", StudyID="9" * 40)
        told = make(tmp_path, source, lesions()).read("seg.dcm")
    assert (told.PatientName, told.PatientID) == ("Muster^Erika", "4711")
    assert not any((told.PatientBirthDate, told.PatientSex, told.StudyTime, told.StudyID))


def test_no_lesion_is_told_by_the_report_alone(tmp_path: Path):
    made = make(tmp_path, series("axial"), np.zeros_like(lesions()))
    assert [path.name for path in made.folder.iterdir()] == ["sr.dcm"]
    [group] = srread(made.folder / "sr.dcm").content.get_image_measurement_groups()
    assert [(one.name.meaning, one.value) for one in group.get_measurements()] == [("Quantity", 0), ("Volume", 0)]


def test_more_lesions_than_anyone_could_read_make_no_objects_and_the_report_says_so(tmp_path: Path):
    many = np.zeros_like(lesions())
    many[::2, ::2, ::3] = True
    made = make(tmp_path, series("axial"), many)
    assert len(made.report.lesions) > MOST_LESIONS
    assert list(made.folder.iterdir()) == []
    assert [one for one in made.report.warnings if "no DICOM objects were made" in one]


@pytest.mark.parametrize("lacking", ["FrameOfReferenceUID", "StudyInstanceUID", "SOPInstanceUID"])
def test_images_that_cannot_be_referred_to_make_no_objects_and_the_report_says_so(tmp_path: Path, lacking: str):
    source = images()
    del source[3][lacking]
    scan = read_dicom(write(source, tmp_path / "series"), None, DEFAULT_LIMITS)
    assert scan.slices == ()
    assert [one for one in scan.warnings if "no DICOM objects were made" in one]
