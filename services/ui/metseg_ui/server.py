"""How Streamlit is started: on this machine alone unless told otherwise, and silent towards the world."""

from pathlib import Path

from metseg_ui.settings import Settings

APP = Path(__file__).with_name("app.py")
ASGI = Path(__file__).with_name("asgi.py")

_OPTIONS = {
    "browser.gatherUsageStats": "false",
    "client.showErrorDetails": "none",
    "client.showErrorLinks": "false",
    "client.toolbarMode": "minimal",
    "runner.magicEnabled": "false",
    "server.disconnectedSessionTTL": "600",  # longer than `uploads.KEPT_AFTER_VISIT_S`, which ends a visit
    "server.enableXsrfProtection": "true",
    "server.enableCORS": "true",
    "server.fileWatcherType": "none",
    "server.headless": "true",
}

_THEME = {
    "theme.base": "light",
    "theme.primaryColor": "#0b7285",
    "theme.backgroundColor": "#f7f9fa",
    "theme.secondaryBackgroundColor": "#eaf0f2",
    "theme.textColor": "#16262e",
    "theme.borderColor": "#d5dfe3",
    "theme.baseRadius": "8px",
    "theme.buttonRadius": "8px",
    "theme.showWidgetBorder": "true",
    "theme.metricValueFontSize": "1.25rem",
    "theme.headingFontSizes": '["1.6rem","1.25rem","1.05rem"]',
}


def arguments(settings: Settings) -> list[str]:
    """The words after `streamlit` on a command line."""
    options = _OPTIONS | _THEME
    options["server.address"] = settings.host
    options["server.port"] = str(settings.ui_port)
    options["server.maxUploadSize"] = str(max(settings.max_upload_bytes >> 20, 1))
    return ["run", str(ASGI), *(f"--{name}={value}" for name, value in options.items())]
