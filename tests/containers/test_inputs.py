"""One scan in the forms in which hospitals keep it: the images hold what each form is read with."""

from collections import Counter
from io import BytesIO
from pathlib import Path

import highdicom
import nibabel as nib
import numpy as np
import pytest
from dicom_series import SERIES_UID, as_syntax, classic, enhanced, write, zipped
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from PIL import Image
from pydicom import Dataset, dcmread, uid

from deploy.local.settings import ROOT
from metseg.imaging.volume import Volume
from metseg.schemas.job import Job, JobState
from metseg_client import MetsegClient

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]

SCAN = ROOT / "samples" / "phantom_demo.nii.gz"
SLICE = ROOT / "samples" / "phantom_slice.png"
SLICES = slice(24, 32)
"""Through the two largest lesions; a whole scan in so many forms would take minutes."""
SYNTAXES = (uid.ExplicitVRLittleEndian, uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.RLELossless)
SPACING_MM = (0.94, 0.94, 2.0)
SERIES = (uid.JPEGLSLossless.name, "enhanced")
"""Forms of which the DICOM objects are looked at: an image a slice, and all in one."""


def turned(scan: nib.Nifti1Image, codes: str) -> nib.Nifti1Image:
    """The same voxels, stored along other axes."""
    return scan.as_reoriented(ornt_transform(io_orientation(scan.affine), axcodes2ornt(codes)))


def forms(folder: Path) -> dict[str, list[Path]]:
    """Part of the sample, form by form; the DICOM images hold it without being compressed, and in three codecs."""
    scan = turned(nib.load(SCAN).slicer[:, :, SLICES], "LAS")
    volume = Volume(np.asarray(scan.dataobj).astype(np.uint16), np.round(scan.affine, 6))
    nib.save(scan, folder / "one.nii")
    nib.save(nib.Nifti2Image(scan.dataobj, scan.affine), folder / "two.nii.gz")
    nib.save(turned(scan, "PSR"), folder / "turned.nii.gz")
    (folder / "scan.zip").write_bytes(zipped({"disk/scan.nii": (folder / "one.nii").read_bytes()}))
    names = ("one.nii", "two.nii.gz", "turned.nii.gz", "scan.zip")
    found = {name: [folder / name] for name in names}
    for syntax in SYNTAXES:
        images = [as_syntax(image, syntax) for image in classic(volume)]
        found[syntax.name] = write(images, folder / syntax.name.replace(" ", "-"))
    return found | {"enhanced": write([enhanced(volume)], folder / "enhanced")}


@pytest.fixture(scope="module")
def jobs(client: MetsegClient, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Job]:
    """The ended jobs of all forms."""
    sent = {form: client.submit(paths).id for form, paths in forms(tmp_path_factory.mktemp("forms")).items()}
    return {form: client.wait(job_id, timeout_s=300) for form, job_id in sent.items()}


def volumes_mm3(client: MetsegClient, job: Job) -> list[float]:
    return [lesion.volume_mm3 for lesion in client.report(job.id).lesions]


def test_a_scan_has_the_same_lesions_in_whatever_form_it_comes(client: MetsegClient, jobs: dict[str, Job]) -> None:
    assert {form: job.error for form, job in jobs.items() if job.state is not JobState.SUCCEEDED} == {}
    found = {form: volumes_mm3(client, job) for form, job in jobs.items()}
    expected = found["one.nii"]
    assert expected
    assert found == {form: pytest.approx(expected, rel=1e-3) for form in jobs}


def segmented_mm3(seg: Dataset) -> list[float]:
    """The volume of each segment, by its voxels."""
    voxels: Counter[int] = Counter()
    for group, pixels in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True):
        voxels[group.SegmentIdentificationSequence[0].ReferencedSegmentNumber] += int(pixels.sum())
    return [voxels[segment.SegmentNumber] * float(np.prod(SPACING_MM)) for segment in seg.SegmentSequence]


def told_mm3(report: Dataset) -> list[float]:
    """The volume of each lesion, by the words of a structured report."""
    content = highdicom.sr.Comprehensive3DSR.from_dataset(report).content
    measures = [group.get_measurements() for group in content.get_volumetric_roi_measurement_groups()]
    return [float(one.value) for each in measures for one in each if one.name.meaning == "Volume"]


def outlined_mm3(structures: Dataset) -> list[float]:
    """The volume of each region, by the areas within its contours."""
    outlined = []
    for region in structures.ROIContourSequence:
        corners = [np.array(one.ContourData, float).reshape(-1, 3).T for one in region.ContourSequence]
        areas_mm2 = [abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2 for x, y, _ in corners]
        outlined.append(sum(areas_mm2) * SPACING_MM[2])
    return outlined


HELD = {"seg.dcm": segmented_mm3, "sr.dcm": told_mm3, "rtstruct.dcm": outlined_mm3}


@pytest.mark.parametrize("form", SERIES)
@pytest.mark.parametrize("name", HELD)
def test_a_dicom_object_holds_the_lesions_in_the_patients_study(
    name: str, form: str, client: MetsegClient, jobs: dict[str, Job]
) -> None:
    made = dcmread(BytesIO(client.fetch(jobs[form].id, name)))
    assert (made.PatientID, made.StudyInstanceUID) == ("4711", f"{SERIES_UID}.8")
    assert HELD[name](made) == pytest.approx(volumes_mm3(client, jobs[form]), rel=1e-3)


@pytest.mark.parametrize("name", ["slice.jpg", "slice.tif"])
def test_a_picture_of_another_kind_is_read_too(name: str, client: MetsegClient, tmp_path: Path) -> None:
    with Image.open(SLICE) as image:
        image.save(tmp_path / name)
    job = client.wait(client.submit(tmp_path / name).id, timeout_s=300)
    assert job.state is JobState.SUCCEEDED, job.error
    assert client.fetch(job.id, "mask.png").startswith(b"\x89PNG")
