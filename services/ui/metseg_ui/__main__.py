"""`metseg-ui`: start the page and stay with it until it is stopped."""

import os
import sys

from metseg.errors import SettingsError
from metseg_ui.server import arguments
from metseg_ui.settings import Settings


def main() -> None:
    """Check the settings, then become Streamlit."""
    try:
        settings = Settings.from_env()
        settings.key()
    except SettingsError as exc:
        sys.exit(f"metseg-ui: {exc}")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", *arguments(settings)])


if __name__ == "__main__":
    main()
