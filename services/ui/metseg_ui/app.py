"""The script that Streamlit runs for each visit; `python -m metseg_ui` starts it."""

import streamlit as st

from metseg_client import MetsegClient
from metseg_ui.page import show
from metseg_ui.settings import Settings


@st.cache_resource(show_spinner=False)
def _client() -> MetsegClient:
    settings = Settings.from_env()
    return MetsegClient(settings.api, api_key=settings.key())


if __name__ == "__main__":  # Streamlit runs it as such
    show(_client())
