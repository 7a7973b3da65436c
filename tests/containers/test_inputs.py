"""One scan in the forms in which hospitals keep it: the images hold what each form is read with."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_series import as_syntax, classic, enhanced, write, zipped
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from PIL import Image
from pydicom import uid

from deploy.local.settings import ROOT
from metseg.jobs import JobState
from metseg.volume import Volume
from metseg_client import MetsegClient

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]

SCAN = ROOT / "samples" / "phantom_demo.nii.gz"
SLICE = ROOT / "samples" / "phantom_slice.png"
SLICES = slice(22, 38)
"""Those of the two largest lesions; a whole scan in so many forms would take minutes."""
SYNTAXES = (uid.ExplicitVRLittleEndian, uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.RLELossless)


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


def test_a_scan_has_the_same_lesions_in_whatever_form_it_comes(client: MetsegClient, tmp_path: Path) -> None:
    jobs = {form: client.submit(paths).id for form, paths in forms(tmp_path).items()}
    ends = {form: client.wait(job_id, timeout_s=300) for form, job_id in jobs.items()}
    assert {form: job.error for form, job in ends.items() if job.state is not JobState.SUCCEEDED} == {}
    found = {form: [one.volume_mm3 for one in client.report(job_id).lesions] for form, job_id in jobs.items()}
    expected = found["one.nii"]
    assert expected
    assert found == {form: pytest.approx(expected, rel=1e-3) for form in jobs}


@pytest.mark.parametrize("name", ["slice.jpg", "slice.tif"])
def test_a_picture_of_another_kind_is_read_too(name: str, client: MetsegClient, tmp_path: Path) -> None:
    with Image.open(SLICE) as image:
        image.save(tmp_path / name)
    job = client.wait(client.submit(tmp_path / name).id, timeout_s=300)
    assert job.state is JobState.SUCCEEDED, job.error
    assert client.fetch(job.id, "mask.png").startswith(b"\x89PNG")
