"""Scans through the running services and the trained network, as a sender sees it."""

from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import pytest
from hostile_files import HOSTILE
from live_stack import LiveStack
from page import chromium, visiting
from PIL import Image

from deploy.local.settings import ROOT
from metseg.imaging.nifti import write_nifti
from metseg.imaging.volume import Volume
from metseg.schemas.job import JobState
from metseg_client import ApiError, MetsegClient

pytestmark = [pytest.mark.stack, pytest.mark.slow]

DEMO = ROOT / "samples" / "phantom_demo.nii.gz"
EIGHT = ["RAS", "LPS", "LAS", "PSR", "ASL", "SRA", "IPL", "RSP"]


@pytest.fixture
def client(stack: LiveStack):
    with MetsegClient(stack.api_url) as speaking:
        yield speaking


def segmented(client: MetsegClient, path: Path, folder: Path, *names: str):
    """The report of a scan, its named artefacts taken to a folder."""
    job = client.wait(client.submit(path).id)
    assert job.state is JobState.SUCCEEDED, job.error
    for name in names:
        client.download(job.id, name, folder / name)
    return client.report(job.id)


def test_a_512_png_yields_a_mask_of_512(client, real_images, tmp_path):
    source = real_images / "cheng_t1c_axial" / "images" / "cheng_0001.png"
    report = segmented(client, source, tmp_path, "mask.png", "overlay.png")
    with Image.open(tmp_path / "mask.png") as image:
        mask = np.asarray(image)
    assert mask.shape == (512, 512)
    assert set(np.unique(mask)) <= {0, 255}
    assert report.source.spacing_mm is None
    assert all(lesion.longest_diameter_mm is None for lesion in report.lesions)


def test_a_nifti_yields_a_mask_on_the_identical_grid(client, real_images, tmp_path):
    source = real_images / "btp_t1c_nifti" / "btp01_post_t1c.nii.gz"
    segmented(client, source, tmp_path, "mask.nii.gz", "lesions.nii.gz", "probability.nii.gz")
    scan = nib.load(source)
    for name in ("mask.nii.gz", "lesions.nii.gz", "probability.nii.gz"):
        result = nib.load(tmp_path / name)
        assert result.shape == scan.shape
        np.testing.assert_array_equal(result.affine, scan.affine)
        for field in ("sform_code", "qform_code", "xyzt_units"):
            assert result.header[field] == scan.header[field]


def test_the_lesions_drawn_into_the_sample_are_found_where_they_were_drawn(client, tmp_path):
    report = segmented(client, DEMO, tmp_path, "mask.nii.gz")
    drawn = np.asarray(nib.load(ROOT / "samples" / "phantom_demo_mask.nii.gz").dataobj) > 0
    found = np.asarray(nib.load(tmp_path / "mask.nii.gz").dataobj) > 0
    assert report.lesion_count >= 3
    assert 2 * (drawn & found).sum() / (drawn.sum() + found.sum()) > 0.6


def test_one_phantom_in_eight_orientations_gives_one_mask(client, tmp_path):
    image = nib.load(DEMO).slicer[:, :, 16:40]  # four lesions; more slices would only take longer
    volume = Volume(np.asarray(image.dataobj).astype(np.int16), image.affine)
    first = None
    for codes in EIGHT:
        path = tmp_path / f"{codes}.nii.gz"
        turn = nib.orientations.ornt_transform(
            nib.orientations.io_orientation(volume.affine), nib.orientations.axcodes2ornt(tuple(codes))
        )
        array = nib.orientations.apply_orientation(volume.array, turn)
        affine = volume.affine @ nib.orientations.inv_ornt_aff(turn, volume.shape)
        write_nifti(path, Volume(np.ascontiguousarray(array), affine))
        segmented(client, path, tmp_path, "mask.nii.gz")
        mask = nib.load(tmp_path / "mask.nii.gz")
        assert nib.aff2axcodes(mask.affine) == tuple(codes)
        in_world = np.asarray(nib.as_closest_canonical(mask).dataobj) > 0
        first = in_world if first is None else first
        assert first.any()
        assert 2 * (first & in_world).sum() / (first.sum() + in_world.sum()) >= 0.97


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_ends_in_its_code_and_leaves_no_artefact(client, stack, tmp_path, name):
    make, code = HOSTILE[name]
    (tmp_path / "scan.nii.gz").write_bytes(make())
    if code == "input_empty":
        with pytest.raises(ApiError) as refused:
            client.submit(tmp_path / "scan.nii.gz")
        assert refused.value.code == code
        return
    job = client.wait(client.submit(tmp_path / "scan.nii.gz").id)
    assert (job.state, job.error.code) == (JobState.FAILED, code)
    assert len(job.error.message) > 20
    attempt = stack.store / "jobs" / job.id / "attempts" / "1"
    assert sorted(path.name for path in attempt.iterdir()) == ["end.json", "lease.json"]
    assert client.ready()


def post(stack: LiveStack, **parts: object) -> httpx.Response:
    with httpx.Client(base_url=stack.api_url, timeout=30, trust_env=False) as http:
        return http.post("/v1/jobs", **parts)


@pytest.mark.parametrize(
    ("fields", "with_file", "status", "code"),
    [
        ({"threshold": "7"}, True, 422, "request_invalid"),
        ({"model": "no_such_model"}, True, 422, "model_unknown"),
        ({"model": "attention_unet"}, False, 422, "file_missing"),
    ],
)
def test_a_wrong_request_is_refused_and_leaves_nothing(stack, fields, with_file, status, code):
    before = sorted((stack.store / "jobs").iterdir()) if (stack.store / "jobs").exists() else []
    parts = {name: (None, value) for name, value in fields.items()}
    answer = post(stack, files=parts | ({"file": DEMO.read_bytes()} if with_file else {}))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    after = sorted((stack.store / "jobs").iterdir()) if (stack.store / "jobs").exists() else []
    assert after == before


@pytest.mark.parametrize(("service", "code"), [("serving", "serving_unavailable"), ("redis", "queue_unavailable")])
def test_a_service_that_is_down_is_said_and_its_return_is_noticed(stack, client, tmp_path, service, code):
    stack.stop(service)
    try:
        answer = post(stack, files={"file": DEMO.read_bytes()})
        assert (answer.status_code, answer.json()["code"]) == (503, code)
        assert int(answer.headers["retry-after"]) > 0
        assert not client.ready()
    finally:
        stack.start(service)
        stack.wait_until_ready()
    segmented(client, DEMO, tmp_path)


REAL = {
    "a real volume": ("btp_t1c_nifti", "btp01_post_t1c.nii.gz"),
    "a real slice": ("cheng_t1c_axial", "images", "cheng_0001.png"),
}


@pytest.mark.browser
@pytest.mark.parametrize("kind", ["the sample volume", "the sample slice", *REAL])
def test_the_page_shows_the_lesions_of_a_dropped_file(stack, request, tmp_path, kind):
    if kind in REAL:
        source = request.getfixturevalue("real_images").joinpath(*REAL[kind])
    else:
        source = DEMO if kind == "the sample volume" else ROOT / "samples" / "phantom_slice.png"
    label = "Mask (PNG)" if source.suffix == ".png" else "Mask (NIfTI)"
    with chromium() as browser, visiting(stack.page_url, browser) as page:
        page.open()
        page.upload(source)
        page.wait_done()
        assert page.lesion_rows()
        assert "Research use only" in page.text()
        taken = page.download(label, tmp_path)
        assert page.strange_requests == []
        assert page.console_errors == []
    if source.suffix == ".png":
        with Image.open(taken) as mask, Image.open(source) as picture:
            assert mask.size == picture.size
    else:
        mask, scan = nib.load(taken), nib.load(source)
        assert mask.shape == scan.shape
        np.testing.assert_array_equal(mask.affine, scan.affine)
