"""The ASGI application that `streamlit run` serves: Streamlit's own, with the viewer's routes, behind limits."""

import streamlit as st
from starlette.middleware import Middleware

from metseg_ui.server import APP
from metseg_ui.settings import Settings
from metseg_ui.uploads import ClosedRoutes, UploadLimit, freeing_uploads
from metseg_ui.viewer.routes import viewer_routes

app = st.App(
    APP,
    lifespan=freeing_uploads,
    routes=viewer_routes(),
    middleware=[
        Middleware(ClosedRoutes),
        Middleware(UploadLimit, max_bytes=Settings.from_env().max_upload_bytes),
    ],
)
