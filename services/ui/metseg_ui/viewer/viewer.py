"""The viewer beside the lesion table: the component that draws in the browser, and what it is told."""

from functools import cache, partial
from typing import Any, Final

import streamlit as st
from streamlit import runtime
from streamlit.components.v2.types import ComponentRenderer
from streamlit.runtime.scriptrunner import get_script_run_ctx

from metseg.lesions.centre_text import CENTRE_NOTE
from metseg_ui.text import plain, sentence
from metseg_ui.viewer.captions import NO_MILLIMETRES, NO_SIDES, SIDES, TABLE_NOTE, lesion_table
from metseg_ui.viewer.packing import ViewedStudy
from metseg_ui.viewer.routes import BROWSER, PREFIX
from metseg_ui.viewer.shared_studies import ADDRESSES

HTML: Final = '<div class="viewer" role="region" aria-label="Viewer"></div>'
CODE: Final = """
export default function (component) {
  const root = component.parentElement;
  const code = import(new URL(component.data.code, window.location.origin));
  code.then((viewer) => viewer.mount(component));
  return () => code.then((viewer) => viewer.unmount(root));
}
"""


@st.fragment
def show_viewer(study: ViewedStudy) -> None:
    """Draw viewer and table; what is picked in them runs this part of the page alone."""
    _begin(study)
    with st.container(key="result"):
        left, right = st.columns([3, 2], gap="medium")
    with right:
        _show_warnings(study)
        _show_table(study)
    with left, st.container(key="viewer"):
        _component()(
            key=f"viewer-{study.report.job_id}",
            data=facts(study, st.session_state.get("chosen"), st.session_state["jump"]),
            on_lesion_change=partial(_on_step, study),
            on_again_change=lambda: None,
        )


@cache
def _component() -> ComponentRenderer:
    css = BROWSER.joinpath("viewer.css").read_text(encoding="utf-8")
    return st.components.v2.component("metseg_viewer", html=HTML, css=css, js=CODE)


def facts(study: ViewedStudy, chosen: int | None, jump: int) -> dict[str, Any]:
    """What the browser is told of a study; see `Facts` in viewer.js."""
    base = f"/{str(st.get_option('server.baseUrlPath')).strip('/')}".rstrip("/") + PREFIX
    if runtime.exists():
        ADDRESSES.drop_closed(runtime.get_instance().is_active_session)
    token = ADDRESSES.token(_visit(), study.report.job_id)
    return {
        "job": study.report.job_id,
        "code": f"{base}/code/viewer.js",
        "address": f"{base}/{token}",
        "shape": list(study.shape),
        "spacing": list(study.spacing_mm),
        "scanType": study.scan.kind,
        "labelType": study.labels.kind,
        "slope": study.scan.slope,
        "intercept": study.scan.intercept,
        "planes": [plane.value for plane in study.planes],
        "isPicture": study.is_picture,
        "hasSpacing": study.has_spacing,
        "knowsSides": study.knows_sides,
        "presets": [{"name": name, "low": one.low, "high": one.high} for name, one in study.windows.items()],
        "lesions": [{"label": label, "at": list(place)} for label, place in study.places.items()],
        "chosen": chosen,
        "jump": jump,
        "note": SIDES if study.knows_sides else NO_SIDES,
    }


def _visit() -> str:
    context = get_script_run_ctx()
    return context.session_id if context is not None else ""


def _begin(study: ViewedStudy) -> None:
    """At the first sight of a job, choose the lesion that the address names."""
    state, job_id = st.session_state, study.report.job_id
    if state.get("shown-job") == job_id:
        return
    asked = st.query_params.get("lesion", "")
    known = asked.isdecimal() and int(asked) in study.places
    state["shown-job"], state["chosen"] = job_id, int(asked) if known else None
    state["jump"] = state.get("jump", 0) + known


def _choose(label: int | None) -> None:
    st.session_state["chosen"] = label
    if label is None:
        st.query_params.pop("lesion", None)
    else:
        st.query_params["lesion"] = str(label)


def _on_step(study: ViewedStudy) -> None:
    """The reader went to another lesion in the viewer, which shows it already."""
    label = st.session_state[f"viewer-{study.report.job_id}"].get("lesion")
    if label in study.places:
        _choose(label)


def _on_pick(study: ViewedStudy) -> None:
    """A row of the table was ticked, or one of its cells clicked."""
    selection = st.session_state["lesions"].selection
    rows = [*selection.rows, *(row for row, _ in selection.cells)]
    label = study.report.lesions[rows[-1]].label if rows else None
    _choose(label)
    st.session_state["jump"] += label is not None


def _show_warnings(study: ViewedStudy) -> None:
    if study.report.warnings:
        lines = [f"- {plain(sentence(warning))}" for warning in study.report.warnings]
        st.warning("**Before you trust the figures**\n" + "\n".join(lines))


def _show_table(study: ViewedStudy) -> None:
    report = study.report
    st.subheader("Lesions")
    if not report.lesions:
        st.info("No lesion was found above the threshold. This does not mean that there is none.")
        return
    st.dataframe(
        lesion_table(report, study),
        hide_index=True,
        key="lesions",
        on_select=partial(_on_pick, study),
        selection_mode=["single-row", "single-cell"],
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
