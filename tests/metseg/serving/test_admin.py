"""When the model server is ready for jobs."""

from collections.abc import Iterator

import pytest
from bright_serving import BrightServing

from metseg.errors import ServingUnavailableError
from metseg.serving.admin import ServingControl


@pytest.fixture
def serving() -> Iterator[BrightServing]:
    with BrightServing() as started:
        yield started


@pytest.mark.parametrize(
    ("is_loaded", "is_gone", "is_ready"), [(True, False, True), (False, False, False), (False, True, True)]
)
def test_a_server_is_ready_once_a_model_can_answer_and_when_none_will(serving, is_loaded, is_gone, is_ready):
    serving.is_loaded, serving.is_gone = is_loaded, is_gone
    with ServingControl(serving.target, timeout_s=10) as control:
        assert control.is_ready(["attention_unet", "unet_plus_plus"]) is is_ready


def test_one_model_that_answers_is_enough(serving):
    with ServingControl(serving.target, timeout_s=10) as control:
        states = {"broken": [False], "good": [True]}
        ask = control.versions

        def versions(model: str):
            serving.is_loaded = states[model][0]
            return ask(model)

        control.versions = versions
        assert control.is_ready(["broken", "good"])


def test_a_server_that_does_not_answer_is_not_ready(serving):
    serving.stop()
    with ServingControl(serving.target, timeout_s=10) as control, pytest.raises(ServingUnavailableError):
        control.is_ready(["attention_unet"])
