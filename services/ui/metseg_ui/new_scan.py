"""The form for a new scan, with what the chosen model can and cannot do beside it."""

from collections.abc import Sequence
from typing import BinaryIO

import streamlit as st

from metseg.card import ModelCard
from metseg_client import Choices, MetsegClient, ServedModel
from metseg_ui.model_card import show_model
from metseg_ui.wording import model_text, plain, point_text

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")


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
            key=f"upload-{st.session_state.get('uploads', 0)}",
            help="All DICOM images of a series, a zip file of them, a NIfTI volume (.nii, .nii.gz), or one axial "
            "slice as PNG, JPEG or TIFF; together up to the size shown.",
        )
        served = _choose_model(models)
        threshold = _choose_threshold(served.card)
        spacing_mm = _choose_spacing() if len(files) == 1 and is_picture_name(files[0].name) else None
        previous = _choose_previous()
        pressed = st.button(
            "Find lesions",
            type="primary",
            icon=":material/search:",
            disabled=not files or not served.served,
            width="stretch",
        )
    with right:
        show_model(served)
    if pressed and files:
        with left, st.spinner("Sending the scan…"):
            ids = tuple(file.file_id for file in files)
            job_id = _submit_once(client, (ids, served.card.name, threshold, spacing_mm, previous), files)
        st.session_state["uploads"] = st.session_state.get("uploads", 0) + 1
        st.query_params["job"] = job_id
        st.rerun()


def is_picture_name(name: str) -> bool:
    """Whether to ask for a pixel size; what the file really is, the worker finds out."""
    return name.lower().endswith(PICTURE_SUFFIXES)


Choice = tuple[tuple[str, ...], str, float | None, tuple[float, float] | None, tuple[str, ...]]


def _submit_once(client: MetsegClient, choice: Choice, files: Sequence[BinaryIO]) -> str:
    """Send the scan; a second click for the same choice leads to the same job."""
    sent: dict[Choice, str] = st.session_state.setdefault("sent", {})
    if choice not in sent:
        for file in files:
            file.seek(0)
        _, model, threshold, spacing_mm, previous = choice
        choices = Choices(model=model, threshold=threshold, spacing_mm=spacing_mm, previous=previous)
        sent[choice] = client.submit(files, choices).id
    return sent[choice]


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


def _choose_previous() -> tuple[str, ...]:
    """Ids of earlier jobs, as they stand on their pages."""
    text = st.text_input(
        "Earlier jobs of the same patient",
        key="previous",
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
