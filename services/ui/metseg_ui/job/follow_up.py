"""What has changed since earlier scans: the response, and a table for each of them."""

import streamlit as st

from metseg.response.text import FIGURES, cells_of, comparison_sentence, sum_lines, verdict_sentence
from metseg.schemas.report import Report
from metseg_ui.text import plain


def show_follow_up(report: Report) -> None:
    """Draw the comparison; nothing where no earlier scan was named."""
    follow_up = report.follow_up
    if follow_up is None:
        return
    st.subheader("Since the earlier scans")
    st.markdown("\n".join(f"- {plain(line)}" for line in [verdict_sentence(follow_up), *sum_lines(follow_up)]))
    for comparison in follow_up.comparisons:
        st.caption(plain(comparison_sentence(comparison)))
        rows = [cells_of(change) for change in comparison.changes]
        head = " | ".join(FIGURES)
        lines = [f"| {head} |", "|" + "---|" * len(FIGURES), *(f"| {' | '.join(row)} |" for row in rows)]
        st.markdown("\n".join(lines) if rows else "No lesion then and now.")
    st.caption(plain(f"Not judged: {'; '.join(follow_up.not_judged)}."))
