"""Programs of others read SEG, SR and RTSTRUCT: a validator, dcmtk, dcmqi and a PACS."""

import subprocess
from io import BytesIO
from pathlib import Path

import nibabel
import numpy as np
import pytest
from dicom_results import Made, lesions, make, series
from dicom_series import to_bytes
from orthanc import program, running_pacs
from pydicom import Dataset, config, dcmread

NAMES = ("seg.dcm", "sr.dcm", "rtstruct.dcm")
STUDY = {"StudyDate": "20251224", "StudyTime": "120000", "StudyID": "1", "PatientSex": "F"}


@pytest.fixture(scope="module", params=["an image a slice", "one image"])
def made(request, tmp_path_factory) -> Made:
    images = series("oblique", request.param)
    for image in images:
        for name, value in STUDY.items():
            setattr(image, name, value)
    return make(tmp_path_factory.mktemp("made"), images, lesions())


@pytest.mark.parametrize("name", NAMES)
def test_dciodvfy_finds_no_error(made: Made, name: str):
    done = subprocess.run([program("dciodvfy"), made.folder / name], capture_output=True, text=True, timeout=60)
    said = done.stdout + done.stderr
    assert [line for line in said.splitlines() if line.startswith(("Error", "Warning"))] == []
    assert done.returncode == 0


def test_dciodvfy_finds_no_error_in_a_report_of_no_lesion(tmp_path: Path):
    none = make(tmp_path, series("axial"), np.zeros_like(lesions()))
    done = subprocess.run(
        [program("dciodvfy"), none.folder / "sr.dcm"], capture_output=True, text=True, timeout=60
    )
    assert "Error" not in done.stdout + done.stderr


@pytest.mark.filterwarnings("ignore:Invalid value")
@pytest.mark.filterwarnings("ignore:The value length")
@pytest.mark.filterwarnings("ignore:A value of type")
def test_dciodvfy_finds_no_error_where_items_of_the_source_break_their_type(tmp_path: Path):
    with config.disable_value_validation():
        broken = make(tmp_path, with_broken_identity(), lesions())
    for name in NAMES:
        assert complaints(broken.folder / name) == []
    told = broken.read("seg.dcm")
    assert [one.CodeValue for one in told.ProcedureCodeSequence] == ["30657-1"]
    assert [one.PatientID for one in told.OtherPatientIDsSequence] == ["A"]
    left_out = ("IssuerOfAccessionNumberSequence", "DeidentificationMethodCodeSequence", "PatientIdentityRemoved")
    assert [one for one in (*left_out, "StudyDescription", "QualityControlSubject") if one in told] == []


def with_broken_identity() -> list[Dataset]:
    """The source with one sound item in some sequences, and some that PS3.3 or PS3.5 forbid in each."""
    codes = [
        {"CodeValue": "30657-1", "CodingSchemeDesignator": "LN", "CodeMeaning": "sound"},
        {"CodeValue": "12345678901234567890", "CodingSchemeDesignator": "LN", "CodeMeaning": "too long"},
        {"CodeValue": "T2", "CodingSchemeDesignator": "LN"},
        {"CodeValue": "T3", "CodeMeaning": "of no scheme"},
        {"CodeValue": "T4", "CodingSchemeDesignator": "LN", "CodeMeaning": "9" * 70},
    ]
    identifiers = [
        {"PatientID": "A", "TypeOfPatientID": "TEXT"},
        {"PatientID": "B"},
        {"PatientID": "C", "TypeOfPatientID": "CARD"},
        {"PatientID": "D" * 70, "TypeOfPatientID": "TEXT"},
    ]
    identity = STUDY | {
        "ProcedureCodeSequence": [item(**one) for one in codes],
        "DeidentificationMethodCodeSequence": [item(**codes[1]), item(**codes[2])],
        "PatientIdentityRemoved": "YES",
        "OtherPatientIDsSequence": [item(**one) for one in identifiers],
        "IssuerOfAccessionNumberSequence": [item(UniversalEntityID="x"), item(LocalNamespaceEntityID="")],
        "StudyDescription": ["one", "two"],
        "QualityControlSubject": "MAYBE",
        "TypeOfPatientID": "CARD",
    }
    images = series("axial")
    for image in images:
        for name, value in identity.items():
            setattr(image, name, value)
    return images


def item(**attributes: str) -> Dataset:
    made = Dataset()
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def complaints(path: Path) -> list[str]:
    done = subprocess.run([program("dciodvfy"), path], capture_output=True, text=True, timeout=60)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith(("Error", "Warning"))]


@pytest.mark.parametrize("name", NAMES)
def test_dcmtk_reads_them_whole(made: Made, name: str):
    done = subprocess.run([program("dcmdump"), made.folder / name], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Muster^Erika" in done.stdout


def test_dcmqi_gives_the_mask_back_bit_for_bit_where_it_was(made: Made, tmp_path: Path):
    command = [program("segimage2itkimage"), "--inputDICOM", made.folder / "seg.dcm"]
    command += ["--outputDirectory", tmp_path, "-t", "nifti", "--mergeSegments"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    [path] = tmp_path.glob("*.nii.gz")
    image = nibabel.load(path)
    indices = np.argwhere(np.asarray(image.dataobj) > 0)
    values = np.asarray(image.dataobj)[tuple(indices.T)]
    places = nibabel.affines.apply_affine(np.linalg.inv(made.affine) @ image.affine, indices)
    whole = np.rint(places).astype(int)
    np.testing.assert_allclose(places, whole, atol=0.01)
    back = np.zeros_like(made.labels)
    back[tuple(whole.T)] = values
    np.testing.assert_array_equal(back, made.labels)


def test_a_pacs_stores_them_with_their_study_and_gives_them_back(made: Made, tmp_path: Path):
    sources = [to_bytes(image) for image in made.images.values()]
    objects = {name: (made.folder / name).read_bytes() for name in NAMES}
    with running_pacs(tmp_path) as pacs:
        answer = pacs.store([*sources, *objects.values()])
        assert not answer.get("00081198", {}).get("Value")  # what failed
        assert len(answer["00081199"]["Value"]) == len(sources) + len(objects)
        known = [made.read(name) for name in NAMES]
        assert set(pacs.series(known[0].StudyInstanceUID)) == {"MR", "SEG", "SR", "RTSTRUCT"}
        for one, content in zip(known, objects.values(), strict=True):
            back = pacs.fetch(one.StudyInstanceUID, one.SeriesInstanceUID, one.SOPInstanceUID)
            assert dcmread(BytesIO(back)) == dcmread(BytesIO(content))
