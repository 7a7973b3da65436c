import keras
import numpy as np
import pytest
from keras import ops
from numpy.typing import NDArray

from metseg_trainer.training.losses import (
    WEIGHT_ONE,
    CrossEntropy,
    DeepSupervision,
    DiceCrossEntropy,
    FocalTversky,
    LesionDiceCrossEntropy,
    dice_at_half,
    lesion_probability,
    soft_dice,
    tversky_index,
)

LOSSES = [CrossEntropy(), DiceCrossEntropy(), FocalTversky()]


def softmax_of(indices: NDArray[np.uint8], classes: int, sure: float = 1.0) -> NDArray[np.float32]:
    """A softmax that gives each pixel's class the probability `sure` and shares the rest among the others."""
    right = np.eye(classes, dtype=np.float32)[indices[..., 0]]
    return (right * sure + (1 - right) * (1 - sure) / (classes - 1)).astype(np.float32)


@pytest.fixture
def square() -> NDArray[np.uint8]:
    """Two slices: one with a square of 16 pixels, one empty."""
    mask = np.zeros((2, 8, 8, 1), np.uint8)
    mask[0, 2:6, 2:6] = 1
    return mask


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_a_perfect_mask_costs_next_to_nothing_and_a_wrong_one_more(
    loss: keras.losses.Loss, square: NDArray[np.uint8]
) -> None:
    perfect, wrong = float(loss(square, square)), float(loss(square, 1 - square))
    assert perfect < 1e-4
    assert wrong > 0.5


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_a_perfect_softmax_costs_next_to_nothing_and_a_wrong_one_more(
    loss: keras.losses.Loss, square: NDArray[np.uint8]
) -> None:
    square[0, 4:6, 2:6] = 2
    swapped = np.where(square == 2, 1, np.where(square == 1, 2, 0)).astype(np.uint8)
    perfect, wrong = float(loss(square, softmax_of(square, 3))), float(loss(square, softmax_of(swapped, 3)))
    assert perfect < 1e-4
    assert wrong > 0.25


@pytest.mark.parametrize("loss", [DiceCrossEntropy(0.0), FocalTversky()], ids=lambda loss: loss.name)
def test_a_softmax_of_two_classes_costs_what_its_lesion_channel_costs(
    loss: keras.losses.Loss, square: NDArray[np.uint8]
) -> None:
    both = softmax_of(square, 2, sure=0.8)
    assert float(loss(square, both)) == pytest.approx(float(loss(square, both[..., 1:])), rel=1e-6)


def test_the_cross_entropy_of_half_is_the_logarithm_of_two(square: NDArray[np.uint8]) -> None:
    assert float(CrossEntropy()(square, np.full(square.shape, 0.5))) == pytest.approx(np.log(2), rel=1e-5)
    assert float(CrossEntropy()(square, np.full((2, 8, 8, 4), 0.25))) == pytest.approx(np.log(4), rel=1e-5)


def test_the_tversky_index_with_equal_weights_is_dice(square: NDArray[np.uint8]) -> None:
    guess = np.random.default_rng(0).random(square.shape).astype(np.float32)
    index = ops.convert_to_numpy(tversky_index(square, guess, missed=0.5, false=0.5))
    truth, both = square.sum((1, 2)), (square * guess).sum((1, 2))
    np.testing.assert_allclose(index, (both + 1) / (0.5 * (truth + guess.sum((1, 2))) + 1), rtol=1e-5)


def test_focal_tversky_punishes_a_missed_pixel_more_than_a_false_one(square: NDArray[np.uint8]) -> None:
    small, large = square.copy(), square.copy()
    small[0, 2, 2:6] = 0
    large[0, 6, 2:6] = 1
    assert float(FocalTversky()(square, small)) > float(FocalTversky()(square, large))
    assert float(FocalTversky(alpha=0.3, beta=0.7)(square, small)) < float(
        FocalTversky(alpha=0.3, beta=0.7)(square, large)
    )


def test_focal_tversky_equals_its_equation_in_numpy(square: NDArray[np.uint8]) -> None:
    guess = np.random.default_rng(1).random(square.shape)
    hit, lost, extra = (
        part.sum((1, 2, 3)) for part in (square * guess, square * (1 - guess), (1 - square) * guess)
    )
    expected = np.mean((1 - (hit + 1) / (hit + 0.7 * lost + 0.3 * extra + 1)) ** 0.75)
    assert float(FocalTversky()(square, guess.astype(np.float32))) == pytest.approx(expected, rel=1e-5)


def test_a_perfect_slice_does_not_break_the_slope_of_focal_tversky(square: NDArray[np.uint8]) -> None:
    network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 1, use_bias=False)])
    network.layers[0].kernel.assign(np.ones((1, 1, 1, 1)))
    network.compile("sgd", loss=FocalTversky())
    network.train_on_batch(square.astype(np.float32), square)
    assert np.isfinite(network.get_weights()[0]).all()


@pytest.mark.parametrize("classes", [1, 3])
def test_deep_supervision_is_the_mean_over_the_heads(classes: int, square: NDArray[np.uint8]) -> None:
    rng = np.random.default_rng(2)
    heads = [rng.dirichlet(np.ones(max(classes, 2)), (2, 8, 8))[..., :classes] for _ in range(3)]
    together = np.concatenate(heads, axis=-1).astype(np.float32)
    alone = np.mean([float(DiceCrossEntropy()(square, head.astype(np.float32))) for head in heads])
    supervised = DeepSupervision(DiceCrossEntropy(), weights=(1.0, 1.0, 1.0))
    assert float(supervised(square, together)) == pytest.approx(alone, rel=1e-5)
    again = DeepSupervision.from_config(supervised.get_config())
    assert float(again(square, together)) == pytest.approx(alone, rel=1e-5)


def test_lesion_is_all_that_is_not_background(square: NDArray[np.uint8]) -> None:
    square[0, 4:6, 2:6] = 2
    found = softmax_of(square, 3, sure=0.9)
    probability = ops.convert_to_numpy(lesion_probability(found))
    assert probability.shape == (2, 8, 8, 1)
    np.testing.assert_allclose(probability, np.where(square > 0, 0.95, 0.1), atol=1e-6)
    np.testing.assert_allclose(ops.convert_to_numpy(dice_at_half(square, found)), [1.0, 1.0])


def test_the_dice_of_several_heads_is_that_of_their_mean(square: NDArray[np.uint8]) -> None:
    heads = np.concatenate([square * 0.9, square * 0.4], axis=-1).astype(np.float32)
    np.testing.assert_allclose(ops.convert_to_numpy(dice_at_half(square, heads, heads=2)), [1.0, 1.0])
    assert float(dice_at_half(square, heads[..., 1:])[0]) < 0.1


def test_two_empty_slices_agree_wholly() -> None:
    empty = np.zeros((1, 8, 8, 1), np.uint8)
    assert float(soft_dice(empty, empty)[0, 0]) == 1.0


def test_finer_heads_may_weigh_more(square: NDArray[np.uint8]) -> None:
    rng = np.random.default_rng(3)
    heads = [rng.uniform(0.01, 0.99, (*square.shape[:3], 1)).astype(np.float32) for _ in range(2)]
    alone = [float(DiceCrossEntropy()(square, head)) for head in heads]
    together = DeepSupervision(DiceCrossEntropy(), weights=(1.0, 0.5))(square, np.concatenate(heads, axis=-1))
    assert float(together) == pytest.approx((alone[0] + 0.5 * alone[1]) / 1.5, rel=1e-5)


def test_a_weight_of_two_doubles_the_cross_entropy_and_leaves_the_dice(square: NDArray[np.uint8]) -> None:
    rng = np.random.default_rng(4)
    answer = rng.dirichlet(np.ones(4), square.shape[:3]).astype(np.float32)
    plain, double = (
        float(LesionDiceCrossEntropy()(np.concatenate([square, np.full_like(square, weight)], axis=-1), answer))
        for weight in (WEIGHT_ONE, 2 * WEIGHT_ONE)
    )
    assert plain == pytest.approx(float(LesionDiceCrossEntropy()(square, answer)), rel=1e-5)
    assert double - plain == pytest.approx(float(CrossEntropy()(square, answer)), rel=1e-4)


def test_a_lesion_of_the_wrong_class_costs_cross_entropy_alone(square: NDArray[np.uint8]) -> None:
    right, wrong = (np.eye(4, dtype=np.float32)[square[..., 0] * number] for number in (1, 2))
    dice_alone = LesionDiceCrossEntropy(cross_entropy_weight=0.0)
    assert float(dice_alone(square, wrong)) == pytest.approx(float(dice_alone(square, right)), abs=1e-6)
    assert float(LesionDiceCrossEntropy()(square, wrong)) > float(LesionDiceCrossEntropy()(square, right)) + 0.1
