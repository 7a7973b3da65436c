"""The form for a new scan, with what the chosen model can and cannot do beside it."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from metseg.schemas.fields import MOST_LABEL
from metseg.schemas.model_card import ModelCard
from metseg_client import Choices, MetsegClient, ServedModel
from metseg_ui.submit.model_card import show_model
from metseg_ui.submit.send import Draft, fresh, send
from metseg_ui.text import model_text, plain, point_text

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
SINGLE_SUFFIXES = (*PICTURE_SUFFIXES, ".nii", ".nii.gz")
"""Names of what holds no DICOM series."""
SERIES, PREVIOUS_SERIES = "series-uid", "previous-series-uid"
VOLUMES = "All DICOM images of a series, a zip file of them, or a NIfTI volume (.nii, .nii.gz)"


class Way(StrEnum):
    """What a scan can be compared with."""

    NOTHING = "Nothing"
    SCAN = "An earlier scan"
    JOBS = "Earlier jobs"


def show_new_scan(client: MetsegClient) -> None:
    """Draw the form; a sent scan leads to its job's page.

    Raises:
        ClientError: the API cannot be asked, or refuses the scan.
    """
    models = client.models()
    if not models:
        st.warning("No model is installed, so nothing can be segmented yet.", icon=":material/info:")
        return
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader("New scan")
        files = st.file_uploader(
            "Drop a T1 scan with contrast here",
            accept_multiple_files=True,
            key=fresh("upload"),
            help=f"{VOLUMES}, or one axial slice as PNG, JPEG or TIFF; together up to the size shown.",
        )
        label = _choose_label()
        series_uid = _choose_series("DICOM series", files, SERIES)
        served = _choose_model(models)
        threshold = _choose_threshold(served.card)
        spacing_mm = _choose_spacing() if len(files) == 1 and is_picture_name(files[0].name) else None
        with st.container(border=True, key="compare-with"):
            previous_files, compared = _choose_earlier()
        choices = Choices(
            model=served.card.name,
            threshold=threshold,
            spacing_mm=spacing_mm,
            series_uid=series_uid,
            label=label,
            **(compared or {}),
        )
        pressed = st.button(
            "Find lesions",
            type="primary",
            icon=":material/search:",
            disabled=not files or compared is None or not served.served,
            width="stretch",
        )
    with right:
        show_model(served)
    if pressed and files:
        with left, st.spinner("Sending the scan…"):
            send(client, Draft(tuple(files), previous_files, choices))


def is_picture_name(name: str) -> bool:
    """Whether to ask for a pixel size; what the file really is, the worker finds out."""
    return name.lower().endswith(PICTURE_SUFFIXES)


def may_hold_series(names: Iterable[str]) -> bool:
    """Whether to offer to name a DICOM series; what the files really are, the worker finds out."""
    return any(not name.lower().endswith(SINGLE_SUFFIXES) for name in names)


def _choose_label() -> str | None:
    """What the reader calls the scan."""
    text = st.text_input(
        "Label",
        key=fresh("label"),
        max_chars=MOST_LABEL,
        placeholder="none",
        help="What you call this scan, such as a study number. It is shown above the result; everybody who may "
        "see the job sees it.",
    )
    return " ".join(text.split()) or None


def _choose_model(models: list[ServedModel]) -> ServedModel:
    best_first = sorted(models, key=lambda model: (not model.served, not model.default))
    return st.selectbox("Model", best_first, format_func=_model_choice, key="model")


def _model_choice(model: ServedModel) -> str:
    return model_text(model.card) + ("" if model.served else " (not loaded)")


def _choose_threshold(card: ModelCard) -> float | None:
    """The threshold if it is not the card's own, else None."""
    chosen: float = st.slider(
        "Threshold",
        min_value=0.05,
        max_value=0.95,
        value=card.threshold,
        step=0.01,
        key=f"threshold-{card.name}-{card.version}",
        help="Voxels of a higher probability count as lesion. Lower finds more, and more that is none. "
        f"The model's own value is {card.threshold:.2f}.",
    )
    if card.operating_points:
        st.caption("  \n".join(plain(point_text(point)) for point in card.operating_points))
    return None if abs(chosen - card.threshold) < 0.005 else chosen


def _choose_series(label: str, files: Iterable[UploadedFile], name: str) -> str | None:
    """The UID of a DICOM series; None leaves the choice to the headers."""
    if not may_hold_series(file.name for file in files):
        return None
    text = st.text_input(
        label,
        key=fresh(name),
        placeholder="the only T1 with contrast agent",
        help="SeriesInstanceUID of the series to segment. Needed only where several could be meant; the page then "
        "asks, and fills this in.",
    )
    return text.strip() or None


def _choose_earlier() -> tuple[tuple[UploadedFile, ...], dict[str, Any] | None]:
    """The files of an earlier scan, if that is what is compared with, and what is asked for besides.

    The latter is None as long as what is to be compared with is missing.
    """
    way = st.segmented_control(
        "Compare with", list(Way), default=Way.NOTHING, required=True, key=fresh("compared")
    )
    if way is Way.JOBS:
        previous = _choose_previous()
        return (), {"previous": previous} if previous else None
    if way is not Way.SCAN:
        return (), {}
    files = st.file_uploader(
        "Drop the earlier scan of the same patient here",
        accept_multiple_files=True,
        key=fresh("previous-upload"),
        help=f"{VOLUMES}. It is segmented with the same model and threshold, and registered to the new scan. The "
        "result tells what has changed.",
    )
    series_uid = _choose_series("DICOM series of the earlier scan", files, PREVIOUS_SERIES)
    return tuple(files), {"previous_series_uid": series_uid} if files else None


def _choose_previous() -> tuple[str, ...]:
    """Ids of earlier jobs, as they stand on their pages."""
    text = st.text_input(
        "Earlier jobs of the same patient",
        key=fresh("earlier-jobs"),
        placeholder="none",
        help="Job ids, parted by commas, the first scan first. The result then tells what has changed.",
    )
    return tuple(one.strip() for one in text.split(",") if one.strip())


def _choose_spacing() -> tuple[float, float] | None:
    """Width and height of a pixel in mm; None where not given."""
    st.caption("A picture does not say how large its pixels are. Give their size to get results in mm.")
    across, down = st.columns(2)
    width: float | None = across.number_input(
        "Pixel width (mm)", 0.01, 20.0, None, 0.01, format="%.3f", placeholder="unknown", key="pixel-width"
    )
    height: float | None = down.number_input(
        "Pixel height (mm)", 0.01, 20.0, None, 0.01, format="%.3f", placeholder="as width", key="pixel-height"
    )
    if width is None:
        return None
    return width, height if height is not None else width
