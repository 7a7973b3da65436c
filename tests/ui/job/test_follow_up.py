"""The page tells the response with its rule, and what became of each lesion."""

from datetime import UTC, datetime

from follow_ups import EARLIER_JOB, follow_up
from streamlit.testing.v1 import AppTest

from metseg.schemas.job import ModelRef
from metseg.schemas.report import Report, SourceInfo


def report() -> Report:
    return Report(
        job_id="019d0000-1111-7222-8333-444455556666",
        created_at=datetime(2026, 2, 3, tzinfo=UTC),
        model=ModelRef(name="attention_unet", version=1, digest="d" * 64),
        trained_on=[],
        threshold=0.5,
        source=SourceInfo(kind="nifti", shape=(9, 9, 9), spacing_mm=(1, 1, 1), orientation=("R", "A", "S")),
        lesion_count=0,
        total_volume_mm3=0,
        lesions=[],
        warnings=[],
        software={},
        follow_up=follow_up(),
    )


def page(report: "Report") -> None:  # the text alone is run, so no name of this module is known there
    """What AppTest runs."""
    from metseg_ui.job.follow_up import show_follow_up

    show_follow_up(report)


def shown(given: Report) -> str:
    app = AppTest.from_function(page, kwargs={"report": given}, default_timeout=60).run()
    assert not app.exception
    told = [str(element.value) for kind in ("subheader", "markdown", "caption") for element in getattr(app, kind)]
    return "\n".join(told).replace("\\", "")


def test_the_response_the_sums_and_each_lesion_are_told():
    text = shown(report())
    assert "progressive disease" in text
    assert "that no earlier scan shows" in text
    assert "15.0 mm; at baseline 12.5 mm (+20 %)" in text
    assert f"Job {EARLIER_JOB}" in text
    assert "| 1 | 1 | grown, target | 1000 mm³ | 1500 mm³ | +50 % | 12.5 mm | 15.0 mm | +20 % |" in text
    assert "| - | 2 | new | 0 mm³ | 300 mm³ | - | 0.0 mm | 8.0 mm | - |" in text
    assert "steroids and clinical state" in text


def test_a_report_without_earlier_scans_shows_nothing_of_it():
    assert shown(report().model_copy(update={"follow_up": None})) == ""
