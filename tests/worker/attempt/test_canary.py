"""A canary job is compared with the stable version after its end, and nothing about it delays or harms the job."""

import numpy as np
import pytest
from phantoms import card, png
from workplace import Workplace

from metseg.imaging.volume import Volume
from metseg.schemas.job import JobState, ModelRef
from metseg.schemas.model_card import CARD_PATH
from metseg.serving.proto import serving_wire_pb2 as wire
from metseg_worker.attempt.canary import dice

PAIR = "attention_unet:2:1"


@pytest.fixture
def place(place: Workplace) -> Workplace:
    """As `place`, with a second version beside the first."""
    path = place.folder / "models" / "attention_unet" / "2" / CARD_PATH
    path.parent.mkdir(parents=True)
    card(version=2).write(path)
    return place


def reference(version: int, digest: str | None = None) -> ModelRef:
    known = card(version=version)
    return ModelRef(name=known.name, version=version, digest=digest or known.digest)


def counted(place: Workplace) -> tuple[float, float, float]:
    """Comparisons so far, the sum of their Dice, and in how many the counts were the same."""
    totals = place.dispatcher.totals()
    times, overlap, same = (totals.get(f"{kind}:{PAIR}", 0.0) for kind in ("compared", "dice", "same_count"))
    return times, overlap, same


def added(place: Workplace, before: tuple[float, float, float]) -> tuple[float, ...]:
    return tuple(after - was for after, was in zip(counted(place), before, strict=True))


def canary_job(place: Workplace, compared_with: ModelRef | None) -> str:
    job_id = place.submit(png())
    record = place.store.load(job_id)
    place.store.create(record.model_copy(update={"model": reference(2), "compared_with": compared_with}))
    return job_id


def test_both_versions_see_the_scan_and_their_agreement_is_counted(place: Workplace) -> None:
    before = counted(place)
    final = place.attempt(canary_job(place, reference(1)))
    assert final is not None
    assert final.state is JobState.SUCCEEDED
    assert added(place, before) == (1, 1, 1)
    assert place.serving.calls == 2


def test_a_stable_version_that_finds_nothing_agrees_in_nothing(place: Workplace) -> None:
    def find_nothing(reply: wire.PredictResponse) -> None:
        if reply.model_spec.version.value == 1:
            answer = reply.outputs["probability"]
            answer.tensor_content = bytes(len(answer.tensor_content))

    place.serving.spoil = find_nothing
    before = counted(place)
    place.attempt(canary_job(place, reference(1)))
    assert added(place, before) == (1, 0, 0)


def test_a_job_without_a_comparison_is_seen_once(place: Workplace) -> None:
    before = counted(place)
    place.attempt(canary_job(place, None))
    assert place.serving.calls == 1
    assert added(place, before) == (0, 0, 0)


def test_a_stable_version_that_is_gone_or_changed_harms_nothing(place: Workplace) -> None:
    before = counted(place)
    for stable in (reference(7), reference(1, digest="of another")):
        final = place.attempt(canary_job(place, stable))
        assert final is not None
        assert final.state is JobState.SUCCEEDED
    assert added(place, before) == (0, 0, 0)


def test_dice_of_masks() -> None:
    def mask(*voxels: int) -> Volume:
        array = np.zeros((4, 1, 1), np.uint8)
        array[list(voxels)] = 1
        return Volume(array, np.diag([1.0, 1.0, 5.0, 1.0]))

    assert dice(mask(), mask()) == 1
    assert dice(mask(0), mask()) == dice(mask(), mask(0)) == dice(mask(0), mask(1)) == 0
    assert dice(mask(0, 1), mask(0, 1)) == 1
    assert dice(mask(0, 1), mask(1, 2)) == 0.5
