import numpy as np
import pytest
from phantoms import affine_of, bright_is_lesion, card, centred, head_with_ball

from metseg.errors import JobCancelledError, ServingContractError
from metseg.imaging.scan import Scan, ScanKind
from metseg.inference.segment import BATCH, Network, segment, segment_by_mean
from metseg.schemas.job import Stage


def head():
    shape = (60, 60, 40)
    affine = centred(affine_of(("L", "P", "S"), (3.0, 3.0, 4.0)), shape, np.zeros(3))
    return Scan(head_with_ball(shape, affine, np.array([20.0, 10, 5]), 12, 70), ScanKind.NIFTI)


def test_mask_labels_and_table_agree():
    result = segment(head(), card(), bright_is_lesion)
    assert len(result.lesions) == 1
    np.testing.assert_array_equal(result.mask.array > 0, result.labels.array > 0)
    assert result.lesions[0].voxels == result.mask.array.sum()


def test_a_lesion_below_the_cards_smallest_is_in_neither_mask_nor_table():
    result = segment(head(), card(min_lesion_mm3=1e6), bright_is_lesion)
    assert result.lesions == []
    assert not result.mask.array.any()
    assert result.probability.array.max() > 0.9


def test_progress_counts_every_slice_once():
    told = []
    segment(head(), card(), bright_is_lesion, on_progress=lambda *step: told.append(step))
    done = [done for stage, done, _ in told if stage is Stage.PREDICT]
    assert done == sorted(done)
    assert done[-1] == told[-1][2] > BATCH
    assert told[0][0] is Stage.PREPARE
    assert told[-1][0] is Stage.FINISH


def test_what_progress_raises_ends_the_work():
    def cancel(stage, done, total):
        if done:
            raise JobCancelledError("cancelled")

    with pytest.raises(JobCancelledError):
        segment(head(), card(), bright_is_lesion, on_progress=cancel)


@pytest.mark.parametrize(
    "predict",
    [
        lambda batches: (batch[:, :9, :9, :1].astype(np.float32) for batch in batches),
        lambda batches: iter(()),
        lambda batches: (np.zeros((1, 256, 256, 1), np.float32) for _ in batches),
    ],
)
def test_a_network_that_answers_another_shape_is_refused(predict):
    with pytest.raises(ServingContractError):
        segment(head(), card(), predict)


def test_no_lesion_is_found_in_excluded_voxels():
    everywhere = segment_by_mean(head(), card(), [Network(card(), bright_is_lesion)])
    [lesion] = everywhere.lesions
    excluded = everywhere.mask.array > 0
    found = segment_by_mean(head(), card(), [Network(card(), bright_is_lesion)], excluded=excluded)
    assert found.lesions == []
    assert not found.mask.array.any()
    np.testing.assert_array_equal(found.probability.array, everywhere.probability.array)
