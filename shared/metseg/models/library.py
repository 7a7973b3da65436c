"""The folder of exported models: `<root>/<name>/<version>/assets.extra/card.json`."""

import re
from pathlib import Path

from metseg.errors import UnknownModelError
from metseg.schemas.job import ENSEMBLE
from metseg.schemas.model_card import CARD_PATH, NAME_PATTERN, ModelCard


class ModelLibrary:
    """Reads the cards of the models that TF Serving hosts from the same folder."""

    def __init__(self, root: Path) -> None:
        """Take the folder that holds one folder a model."""
        self._root = root

    def names(self) -> list[str]:
        """Names of all models that have at least one version, sorted."""
        if not self._root.is_dir():
            return []
        folders = sorted(path.name for path in self._root.iterdir() if path.is_dir())
        return [name for name in folders if re.match(NAME_PATTERN, name) and self.versions(name)]

    def versions(self, name: str) -> list[int]:
        """Versions of a model that have a card, newest first; empty for an unknown name, and for the ensemble."""
        if name == ENSEMBLE or not re.match(NAME_PATTERN, name) or not (self._root / name).is_dir():
            return []
        found = [path.name for path in (self._root / name).iterdir() if (path / CARD_PATH).is_file()]
        return sorted((int(version) for version in found if re.fullmatch(r"[1-9]\d*", version)), reverse=True)

    def card(self, name: str, version: int | None = None) -> ModelCard:
        """The card of one version; of the newest without a number.

        Raises:
            UnknownModelError: there is no such model or version.
            CardError: its card is damaged.
        """
        versions = self.versions(name)
        if not versions:
            known = ", ".join(self.names()) or "none"
            raise UnknownModelError(f"expected the name of a model ({known}), got one that is not here")
        if version is not None and version not in versions:
            raise UnknownModelError(f"expected one of the versions {versions} of {name}, got {version}")
        chosen = versions[0] if version is None else version
        return ModelCard.read(self._root / name / str(chosen) / CARD_PATH)
