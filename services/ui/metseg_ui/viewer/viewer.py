"""Slices with the lesions drawn on them, the table to jump by, and how it is all shown."""

from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from metseg.lesions.centre_text import CENTRE_NOTE
from metseg.schemas.report import Lesion, Report
from metseg_ui.text import plain, sentence
from metseg_ui.viewer.captions import NO_MILLIMETRES, NO_SIDES, SIDES, TABLE_NOTE, lesion_table, slice_alt
from metseg_ui.viewer.planes import Plane
from metseg_ui.viewer.render import Look, MaskStyle, draw
from metseg_ui.viewer.study import Study, Window

STYLES = {"Outline": MaskStyle.OUTLINE, "Fill": MaskStyle.FILL, "Off": MaskStyle.OFF}
OPACITY = {MaskStyle.OUTLINE: 1.0, MaskStyle.FILL: 0.4, MaskStyle.OFF: 0.0}


@st.fragment
def show_viewer(report: Report, study: Study) -> None:
    """Draw the viewer; what is moved in it runs this part of the page alone."""
    _begin(report, study)
    with st.container(key="result"):
        left, right = st.columns([3, 2], gap="medium")
    with right:
        _show_warnings(report)
        _show_table(report, study)
        look = _choose_look(study, _chosen(report))
    with left, st.container(key="viewer"):
        _show_slices(study, look)


def _begin(report: Report, study: Study) -> None:
    """At the first sight of a job, go to its largest lesion, or to the middle."""
    state = st.session_state
    if state.get("shown-job") == report.job_id:
        return
    state["shown-job"] = report.job_id
    state["plane"] = study.planes[0]
    state["chosen"] = None
    for plane in study.planes:
        state[_slice_key(plane)] = study.count(plane) // 2 + 1
    if report.lesions:
        _jump(report.lesions[0], study)
    _take_window(study.windows, next(iter(study.windows)))


def _slice_key(plane: Plane) -> str:
    return f"slice-{plane}"


def _chosen(report: Report) -> int | None:
    """The number of the lesion picked in the table."""
    chosen: int | None = st.session_state.get("chosen")
    return chosen if any(lesion.label == chosen for lesion in report.lesions) else None


def _jump(lesion: Lesion, study: Study) -> None:
    """Turn every plane to the lesion."""
    for plane in study.planes:
        st.session_state[_slice_key(plane)] = study.best_slice(lesion, plane) + 1


def _on_pick(report: Report, study: Study) -> None:
    rows = st.session_state["lesions"].selection.rows
    st.session_state["chosen"] = report.lesions[rows[0]].label if rows else None
    if rows:
        _jump(report.lesions[rows[0]], study)


def _show_warnings(report: Report) -> None:
    if report.warnings:
        lines = [f"- {plain(sentence(warning))}" for warning in report.warnings]
        st.warning("**Before you trust the figures**\n" + "\n".join(lines))


def _show_table(report: Report, study: Study) -> None:
    st.subheader("Lesions")
    if not report.lesions:
        st.info("No lesion was found above the threshold. This does not mean that there is none.")
        return
    st.dataframe(
        lesion_table(report, study),
        hide_index=True,
        key="lesions",
        on_select=partial(_on_pick, report, study),
        selection_mode="single-row",
        height=min(38 + 35 * len(report.lesions), 320),
        column_config={
            "No.": st.column_config.NumberColumn(width=40),
            "mm³": st.column_config.NumberColumn(format="%.0f", help="Volume in cubic millimetres"),
            "mm²": st.column_config.NumberColumn(format="%.0f", help="Area in square millimetres"),
            "px²": st.column_config.NumberColumn(help="Area in pixels"),
            "p": st.column_config.NumberColumn(format="%.2f", help="Mean probability inside the lesion"),
            "Highest p": st.column_config.NumberColumn(
                format="%.2f", help="Highest probability inside the lesion"
            ),
            "Disagreement": st.column_config.NumberColumn(
                format="%.2f", help="How far the mean probabilities of the models lie apart"
            ),
            "Confidence": st.column_config.NumberColumn(
                format="%.2f", help="Share of true lesions among those like it in the model's validation cases"
            ),
            "Side": st.column_config.TextColumn(
                help="Hemisphere by the head's mid-sagittal plane, or the middle between the two"
            ),
            "Depth mm": st.column_config.NumberColumn(format="%.0f", help="From the surface of the head"),
            "Slices": st.column_config.NumberColumn(help="Slices that show the lesion"),
            "RANO-BM": st.column_config.TextColumn(help="Target, measurable, or neither (–); reasons below"),
        },
        alt=f"Table of {len(report.lesions)} lesions with size, place and mean probability",
    )
    st.caption(TABLE_NOTE if study.is_picture else f"{TABLE_NOTE} {CENTRE_NOTE}")
    if not study.has_spacing:
        st.caption(NO_MILLIMETRES)


def _choose_look(study: Study, chosen: int | None) -> Look:
    st.subheader("Display")
    first, second = st.columns(2)
    picked = first.segmented_control(
        "Lesions as", list(STYLES), default="Outline", required=True, key="style", persist_state="session"
    )
    style = STYLES[picked or "Off"]
    opacity = OPACITY[style]
    if style is not MaskStyle.OFF:
        opacity = second.slider(
            "Opacity", 0.1, 1.0, opacity, 0.05, key=f"opacity-{style}", persist_state="session"
        )
    windows = study.windows
    st.segmented_control(
        "Window",
        list(windows),
        key="window",
        on_change=lambda: _take_window(windows, st.session_state["window"]),
        persist_state="session",
    )
    whole = windows["Full range"]
    first, second = st.columns(2)
    with first:
        centre = _grey_slider("Centre", "centre", whole.low, whole.low + whole.width)
    with second:
        width = _grey_slider("Width", "width", whole.width / 100, whole.width)
    return Look(centre, width, style, opacity, chosen)


def _take_window(windows: dict[str, Window], name: str | None) -> None:
    if name is None:
        return
    st.session_state["window"] = name
    st.session_state["centre"] = windows[name].centre
    st.session_state["width"] = windows[name].width


def _grey_slider(label: str, key: str, low: float, high: float) -> float:
    st.session_state[key] = min(max(st.session_state[key], low), high)
    digits = 0 if high - low > 50 else 3
    value: float = st.slider(
        label,
        low,
        high,
        step=(high - low) / 200,
        format=f"%.{digits}f",
        key=key,
        on_change=_forget_preset,
        persist_state="session",
    )
    return value


def _forget_preset() -> None:
    st.session_state["window"] = None


def _show_slices(study: Study, look: Look) -> None:
    plane = _choose_plane(study)
    count, key = study.count(plane), _slice_key(plane)
    index = min(max(st.session_state[key], 1), count) - 1
    view = study.slice(plane, index)
    labels = sorted({int(label) for label in view.labels[view.labels > 0]})
    alt = slice_alt(study, plane, index, labels)
    st.image(draw(view, look), width="stretch", output_format="PNG", alt=alt)
    if count > 1:
        _choose_slice(key, count)
    st.caption(f"{alt}. {SIDES[plane] if study.knows_sides else NO_SIDES}")


def _choose_plane(study: Study) -> Plane:
    if len(study.planes) == 1:
        return study.planes[0]
    chosen = st.segmented_control(
        "Plane",
        list(study.planes),
        required=True,
        format_func=str.capitalize,
        key="plane",
        label_visibility="collapsed",
        persist_state="session",
    )
    return chosen or study.planes[0]


def _choose_slice(key: str, count: int) -> None:
    before, middle, after = st.columns([1, 5, 1], vertical_alignment="bottom")
    step: Callable[[int], Any] = partial(_step, key, count)
    before.button(
        "Back", key="previous", shortcut="K", on_click=step, args=(-1,), help="Previous slice", width="stretch"
    )
    middle.slider(f"Slice (1–{count})", 1, count, step=1, key=key, persist_state="session")
    after.button("Next", key="next", shortcut="J", on_click=step, args=(1,), help="Next slice", width="stretch")


def _step(key: str, count: int, by: int) -> None:
    st.session_state[key] = min(max(st.session_state[key] + by, 1), count)
