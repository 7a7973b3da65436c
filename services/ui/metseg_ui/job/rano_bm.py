"""What RANO-BM says of the lesions, with the rule that decided on each."""

import streamlit as st

from metseg.schemas.report import RanoBm, Report
from metseg_ui.text import plain


def show_rano(report: Report) -> None:
    """Draw the verdicts, to be opened; nothing for a report written by an earlier version."""
    if report.rano_bm is not None:
        with st.expander("RANO-BM: what is measured, and why", icon=":material/straighten:"):
            st.markdown("\n".join(f"- {plain(line)}" for line in rano_lines(report.rano_bm)))


def rano_lines(rano: RanoBm) -> list[str]:
    """Sentences on the scan, on each lesion, and on what was not judged."""
    if not rano.applies:
        return [
            f"Nothing is measured by {rano.reference}. The rule that is not kept: {rano.rules[rano.decided_by]}"
        ]
    measured = "none measurable"
    if rano.targets:
        measured = (
            f"{rano.measurable_count} measurable, {len(rano.targets)} taken as targets, "
            f"sum of their longest diameters {rano.sum_of_longest_diameters_mm:.1f} mm"
        )
    lines = [f"By {rano.reference}: {measured}."]
    if rano.plane is not None:
        first, second = rano.plane.pixel_spacing_mm
        lines.append(
            f"Measured in slices {rano.plane.tilt_degrees:.0f}° from axial, {rano.plane.slice_spacing_mm:.2f} mm "
            f"apart, with pixels of {first:.2f} × {second:.2f} mm."
        )
    for verdict in rano.lesions:
        if not verdict.measurable:
            lines.append(f"Lesion {verdict.label} is not measurable. The rule: {rano.rules[verdict.decided_by]}")
    if rano.not_judged:
        lines.append(f"Not judged: {'; '.join(rano.not_judged)}.")
    return lines
