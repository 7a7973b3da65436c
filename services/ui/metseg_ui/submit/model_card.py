"""What a model was trained on, how good it is, and where its limits are."""

import streamlit as st

from metseg.schemas.model_card import ModelCard
from metseg_client import ServedModel
from metseg_ui.text import members_text, model_text, plain, score_text


def show_model(served: ServedModel) -> None:
    """The card's part that a reader of results must know."""
    card = served.card
    with st.container(border=True, key="model-card"):
        st.subheader(model_text(card))
        if not served.served:
            st.warning("This model is not loaded at the moment.", icon=":material/info:")
        if served.members:
            st.markdown(f"Mean of {plain(members_text(served.members))}")
        st.markdown(plain(card.intended_use))
        _show_training(card)
        if card.limits:
            st.markdown("**Limits**\n" + "\n".join(f"- {plain(limit)}" for limit in card.limits))
        if card.scores:
            with st.expander("How good it is", icon=":material/monitoring:"):
                _show_scores(card)


def _show_training(card: ModelCard) -> None:
    lines = [
        f"- {plain(data.name)} – {data.cases} cases, disease: {plain(data.disease)}, {plain(data.licence)}"
        for data in card.training_data
    ]
    st.markdown("**Trained on**\n" + ("\n".join(lines) or "- not stated"))
    if not card.knows_metastases:
        st.warning(plain(card.disease_notice), icon=":material/warning:")


def _show_scores(card: ModelCard) -> None:
    st.table(
        {
            "Data": [score.dataset for score in card.scores],
            "Measure": [score.metric for score in card.scores],
            "Value (95 % CI)": [score_text(score) for score in card.scores],
            "Cases": [str(score.cases) for score in card.scores],
        }
    )
