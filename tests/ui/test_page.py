"""The page's states, without a browser: what a visitor reads when all is well and when it is not."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from fake_api import FakeApi
from phantoms import card
from results import Made, picture_result, volume_result
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.testing.v1 import AppTest

from deploy.local.release import read_version
from metseg.schemas.job import Failure, WaitsFor
from metseg_client import MetsegClient
from metseg_ui.text import BANNER, plain
from metseg_ui.viewer.captions import NO_MILLIMETRES

CARD = card(
    threshold=0.4,
    training_data=[{"name": "Heads *of* phantoms", "licence": "CC BY 4.0", "attribution": "us", "cases": 12,
                    "disease": "synthetic"}],
    scores=[{"dataset": "held out", "metric": "mean Dice", "value": 0.57, "low": 0.5, "high": 0.6, "cases": 9,
             "command": "metseg-train evaluate"}],
    limits=["Children were never seen."],
    operating_points=[
        {"name": "screening", "rule": "most lesions", "threshold": 0.25, "sensitivity": 0.9,
         "false_lesions_per_scan": 1.75, "mean_dice": 0.5, "scans": 16, "measured_on": "validation cases: heads"},
        {"name": "planning", "rule": "best Dice", "threshold": 0.4, "sensitivity": None,
         "false_lesions_per_scan": 0.5, "mean_dice": 0.6, "scans": 16, "measured_on": "validation cases: heads"},
    ],
)  # fmt: skip


def page(client: "MetsegClient") -> None:  # the text alone is run, so no name of this module is known there
    """What AppTest runs."""
    from metseg_ui.page import show

    show(client)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return volume_result(tmp_path_factory.mktemp("volume"))


@pytest.fixture
def api() -> FakeApi:
    return FakeApi([CARD])


def client_of(api: FakeApi) -> MetsegClient:
    return MetsegClient("http://api", transport=api.transport())


@pytest.fixture
def visit(api: FakeApi) -> Callable[..., AppTest]:
    """Open the page; with a job's id, that job's."""

    def open_page(job_id: str | None = None) -> AppTest:
        app = AppTest.from_function(page, kwargs={"client": client_of(api)}, default_timeout=30)
        if job_id is not None:
            app.query_params["job"] = job_id
        return app.run()

    return open_page


def said(app: AppTest) -> str:
    """Every text of the page."""
    assert not app.exception
    kinds = ("markdown", "subheader", "caption", "info", "warning", "error", "success", "html")
    return "\n".join(str(element.value) for kind in kinds for element in getattr(app, kind))


def button(app: AppTest, label: str) -> AppTest:
    return next(found for found in app.button if found.label == label)


def labels(app: AppTest) -> list[str]:
    return [found.label for found in app.button]


@pytest.mark.parametrize("job_id", [None, "nonsense"])
def test_the_banner_is_on_every_page(visit: Callable[..., AppTest], job_id: str | None) -> None:
    assert BANNER in said(visit(job_id))


@pytest.mark.parametrize("job_id", [None, "nonsense"])
def test_the_footer_says_the_version(visit: Callable[..., AppTest], job_id: str | None) -> None:
    assert f">metseg {read_version()}</footer>" in said(visit(job_id))


def test_the_form_tells_the_models_training_data_and_limits(visit: Callable[..., AppTest]) -> None:
    text = said(visit())
    assert r"Heads \*of\* phantoms – 12 cases, disease: synthetic, CC BY 4.0" in text
    assert plain("Trained on: synthetic (not metastases).") in text
    assert plain("Children were never seen.") in text


def test_the_threshold_begins_at_the_cards(visit: Callable[..., AppTest]) -> None:
    assert visit().slider[0].value == 0.4


def test_operating_points_stand_by_the_slider_with_what_they_find(visit: Callable[..., AppTest]) -> None:
    text = said(visit())
    assert plain("0.25 screening – finds 90 % of lesions, 1.8 false a scan (16 validation cases: heads)") in text
    assert plain("0.40 planning – 0.5 false a scan (16 validation cases: heads)") in text


def test_without_a_file_nothing_can_be_sent(visit: Callable[..., AppTest]) -> None:
    assert button(visit(), "Find lesions").disabled


def test_a_sent_file_becomes_a_job_with_the_choices_made(visit: Callable[..., AppTest], api: FakeApi) -> None:
    api.run_s = 60
    app = visit()
    app.file_uploader[0].upload("head.nii.gz", b"voxels", "application/gzip").run()
    app.slider[0].set_value(0.25).run()
    button(app, "Find lesions").click().run()
    assert [app.query_params["job"]] == list(api.jobs)
    assert b"voxels" in api.uploads[0]
    assert b"\r\n0.25\r\n" in api.uploads[0]
    assert "Looking for lesions" in said(app)


def test_the_page_says_which_scan_it_shows(visit: Callable[..., AppTest], api: FakeApi) -> None:
    api.run_s = 60
    app = visit()
    app.file_uploader[0].upload("Mueller^Anna.nii.gz", b"voxels", "application/gzip").run()
    app.text_input[0].set_value("  Case *12*,  March ").run()
    button(app, "Find lesions").click().run()
    [job_id] = api.jobs
    assert api.jobs[job_id].label == "Case *12*, March"
    header = next(text for text in said(app).split("\n") if f"`{job_id[-8:]}`" in text)
    assert plain("Case *12*, March") in header
    assert f"{plain('attention_unet')} 1" in header
    assert "Mueller" not in said(app)


def test_a_job_without_a_label_is_named_by_its_id(visit: Callable[..., AppTest], api: FakeApi) -> None:
    api.run_s = 60
    job_id = api.add_job(run_s=60)
    assert f"job `{job_id[-8:]}`" in said(visit(job_id))


def test_the_files_of_a_job_that_has_ended_are_held_no_longer(
    visit: Callable[..., AppTest], api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    freed = []
    monkeypatch.setattr(MemoryUploadedFileManager, "remove_file", lambda _, visit, file: freed.append(file))
    api.failure = Failure(code="input_empty", message="empty")
    api.run_s = 60
    app = visit()
    app.file_uploader[0].upload("head.nii.gz", b"voxels", "application/gzip").run()
    button(app, "Find lesions").click().run()
    assert not freed
    [job] = api.jobs.values()
    job.run_s = 0
    app.run()
    assert len(freed) == 1


def test_the_images_of_a_series_are_sent_as_one_job(visit: Callable[..., AppTest], api: FakeApi) -> None:
    api.run_s = 60
    app = visit()
    images = [("IM1", b"first image", "application/dicom"), ("IM2", b"second image", "application/dicom")]
    app.file_uploader[0].set_value(images).run()
    button(app, "Find lesions").click().run()
    [sent] = api.uploads
    assert (sent.count(b'name="file"'), sent.index(b"first image") < sent.index(b"second image")) == (2, True)
    assert b"IM1" not in sent


def test_the_cards_own_threshold_is_left_to_the_api(visit: Callable[..., AppTest], api: FakeApi) -> None:
    app = visit()
    app.file_uploader[0].upload("head.nii.gz", b"voxels", "application/gzip").run()
    api.run_s = 60
    button(app, "Find lesions").click().run()
    assert b"threshold" not in api.uploads[0]


def test_only_a_picture_is_asked_for_its_pixel_size(visit: Callable[..., AppTest], api: FakeApi) -> None:
    api.run_s = 60
    app = visit()
    app.file_uploader[0].upload("head.nii", b"voxels", "application/gzip").run()
    assert not app.number_input
    app.file_uploader[0].upload("slice.PNG", b"pixels", "image/png").run()
    app.number_input[0].set_value(0.5).run()
    button(app, "Find lesions").click().run()
    assert b"\r\n0.5,0.5\r\n" in api.uploads[0]


def test_a_refused_upload_is_a_sentence_with_its_code(visit: Callable[..., AppTest], api: FakeApi) -> None:
    api.refusal = (413, "upload_too_large", "one upload has at most 1000 bytes")
    app = visit()
    app.file_uploader[0].upload("head.nii", b"voxels", "application/gzip").run()
    button(app, "Find lesions").click().run()
    assert plain("One upload has at most 1000 bytes.") in app.error[0].value
    assert "`upload_too_large`" in app.error[0].value


def test_a_model_that_is_not_loaded_takes_no_scan() -> None:
    answer = {"items": [{"card": CARD.model_dump(mode="json"), "served": False}]}
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=answer))
    client = MetsegClient("http://api", transport=transport)
    app = AppTest.from_function(page, kwargs={"client": client}, default_timeout=30).run()
    app.file_uploader[0].upload("head.nii", b"voxels", "application/gzip").run()
    assert button(app, "Find lesions").disabled
    assert "not loaded" in said(app)


def test_an_api_that_is_down_gives_a_message_and_comes_back(visit: Callable[..., AppTest], api: FakeApi) -> None:
    api.down = True
    app = visit()
    assert "does not answer" in app.warning[0].value
    api.down = False
    button(app, "Try again").click().run()
    assert "does not answer" not in said(app)
    assert "Find lesions" in labels(app)


def test_a_running_job_shows_stage_slices_and_a_way_to_stop(visit: Callable[..., AppTest], api: FakeApi) -> None:
    job_id = api.add_job(run_s=60)
    api.jobs[job_id].began -= 35  # past half of it
    app = visit(job_id)
    assert " of 80" in str(app.get("progress")[0].proto)
    assert "Read the scan" in said(app)
    button(app, "Cancel").click().run()
    assert api.jobs[job_id].cancelled
    assert "cancelled" in said(visit(job_id))


def test_a_job_that_waits_for_the_model_server_says_so(visit: Callable[..., AppTest], api: FakeApi) -> None:
    job_id = api.add_job(run_s=60)
    api.jobs[job_id].waits_for = WaitsFor.MODEL_SERVER
    app = visit(job_id)
    assert "Waiting for the model server" in str(app.get("progress")[0].proto)
    assert app.subheader[0].value == "Waiting"
    button(app, "Cancel").click().run()
    assert api.jobs[job_id].cancelled


def test_a_failed_job_says_why_and_what_its_code_is(visit: Callable[..., AppTest], api: FakeApi) -> None:
    failure = Failure(code="input_format_unknown", message="expected a NIfTI file, got <b>something</b> else")
    app = visit(api.add_job(failure=failure))
    assert plain("Expected a NIfTI file, got <b>something</b> else.") in app.error[0].value
    assert "`input_format_unknown`" in app.error[0].value
    assert "zip files of these" in said(app)


@pytest.mark.parametrize("job_id", ["nonsense", "../../etc/passwd", "01890a5d-ac96-774b-bcce-b302099a8057"])
def test_an_address_without_a_job_is_explained(visit: Callable[..., AppTest], job_id: str) -> None:
    assert "`job_not_found`" in visit(job_id).error[0].value


def test_a_deleted_job_asks_first_and_leads_back_to_the_form(visit: Callable[..., AppTest], api: FakeApi) -> None:
    job_id = api.add_job(failure=Failure(code="input_empty", message="empty"))
    app = visit(job_id)
    assert "cannot be undone" in said(app)
    assert not api.jobs[job_id].deleted
    button(app, "Delete for good").click().run()
    assert api.jobs[job_id].deleted
    assert "are deleted" in app.success[0].value
    assert "Find lesions" in labels(app)


def test_a_volumes_result_shows_figures_table_and_downloads(
    visit: Callable[..., AppTest], api: FakeApi, volume: Made
) -> None:
    api.files = volume.files
    app = visit(api.add_job())
    assert [metric.label for metric in app.metric] == [
        *("Lesions", "Total volume", "Longest diameter", "RANO-BM sum", "Threshold")
    ]
    assert app.metric[0].value == "3"
    assert list(app.dataframe[0].value["mm³"]) == [round(lesion.volume_mm3 or 0, 1) for lesion in volume.lesions]
    assert len(app.get("download_button")) == len(volume.files)
    assert "small lesions may be missed" in said(app)


def test_back_from_the_form_finds_the_result_and_the_lesion_that_was_chosen(
    visit: Callable[..., AppTest], api: FakeApi, volume: Made
) -> None:
    api.files = volume.files
    job_id = api.add_job()
    app = visit(job_id)
    for _ in range(2):
        button(app, "New scan").click().run()
        assert "Find lesions" in labels(app)
        app.query_params["job"] = job_id
        app.query_params["lesion"] = "2"
        app.run()
        assert app.metric[0].value == "3"
    assert not app.exception


@pytest.mark.parametrize("asked", ["99", "-1", "two", ""])
def test_a_lesion_that_there_is_none_of_chooses_none(api: FakeApi, volume: Made, asked: str) -> None:
    api.files = volume.files
    app = AppTest.from_function(page, kwargs={"client": client_of(api)}, default_timeout=30)
    app.query_params["job"], app.query_params["lesion"] = api.add_job(), asked
    app.run()
    assert not app.exception
    assert app.session_state["chosen"] is None


def test_a_picture_without_pixel_size_says_why_there_are_no_millimetres(
    visit: Callable[..., AppTest], api: FakeApi, tmp_path: Path
) -> None:
    api.files = picture_result(tmp_path).files
    app = visit(api.add_job())
    assert NO_MILLIMETRES in said(app)
    assert "Size px" in app.dataframe[0].value.columns


def test_a_result_without_lesions_promises_nothing(
    visit: Callable[..., AppTest], api: FakeApi, tmp_path: Path
) -> None:
    made = volume_result(tmp_path, balls=())
    api.files = made.files
    app = visit(api.add_job())
    assert "does not mean that there is none" in said(app)
    assert app.metric[0].value == "0"


def test_an_artefact_that_cannot_be_drawn_is_a_message(
    visit: Callable[..., AppTest], api: FakeApi, volume: Made
) -> None:
    api.files = volume.files | {"scan.nii.gz": ("application/gzip", b"no image")}
    app = visit(api.add_job())
    assert "`input_format_unknown`" in app.error[0].value
