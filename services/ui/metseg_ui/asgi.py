"""The ASGI application that `streamlit run` serves: Streamlit's own, behind the page's limits."""

import streamlit as st
from starlette.middleware import Middleware

from metseg_ui.server import APP
from metseg_ui.settings import Settings
from metseg_ui.uploads import ClosedRoutes, UploadLimit, freeing_uploads

app = st.App(
    APP,
    lifespan=freeing_uploads,
    middleware=[
        Middleware(ClosedRoutes),
        Middleware(UploadLimit, max_bytes=Settings.from_env().max_upload_bytes),
    ],
)
