"""Names for versions, such as `stable`, as the configuration gives them."""

from collections.abc import Callable, Iterable, Mapping

import grpc

from metseg_serving.config import ModelSource
from metseg_serving.refusal import Refusal, invalid

IsAvailable = Callable[[str, int], bool]


class VersionLabels:
    """Which version of which model a label means.

    Args:
        allow_unavailable: Whether a label that is new may come before its version, as it does at the start.
    """

    def __init__(self, *, allow_unavailable: bool = False) -> None:
        self._allow_unavailable = allow_unavailable
        self._labels: dict[str, Mapping[str, int]] = {}

    def assign(self, sources: Iterable[ModelSource], is_available: IsAvailable) -> None:
        """Take the labels of a configuration, all of them or none.

        Raises:
            Refusal: One names a version that is not available.
        """
        labels = {source.name: source.labels for source in sources}
        for model, versions in labels.items():
            for label, version in versions.items():
                known = self._labels.get(model, {}).get(label, version)
                may_wait = self._allow_unavailable and known == version
                if not may_wait and not is_available(model, version):
                    raise Refusal(
                        grpc.StatusCode.FAILED_PRECONDITION,
                        f"Request to assign label to version {version} of model {model}, which is not currently "
                        "available for inference",
                    )
        self._labels = labels

    def version(self, model: str, label: str) -> int:
        """The version that a label means.

        Raises:
            Refusal: The model has no such label.
        """
        versions = self._labels.get(model, {})
        if label not in versions:
            raise invalid(f"Unrecognized servable version label: {label}")
        return versions[label]
