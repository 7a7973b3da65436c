import numpy as np
import pytest

from metseg_trainer.batches.augmentation import Augmentation, Frame, augment, change_intensity
from metseg_trainer.recipes.recipe import STRONG

FRAME = Frame(size=(48, 56))


def _picture() -> tuple[np.ndarray, np.ndarray]:
    mask = np.zeros((64, 64), np.uint8)
    mask[28:44, 20:30] = 1
    return np.repeat(mask[..., None] * np.uint8(200), 3, axis=-1), mask


def _augment(seed: int, strength: Augmentation, frame: Frame = FRAME) -> tuple[np.ndarray, np.ndarray]:
    image, mask = _picture()
    return augment(np.random.default_rng(seed), image, mask, strength, frame=frame, centre=(35.5, 24.5))


@pytest.mark.parametrize("seed", range(20))
def test_image_and_mask_stay_aligned(seed: int) -> None:
    moved = {
        name: value for name, value in vars(STRONG).items() if name not in ("blur_px", "noise", "bias", "gamma")
    }
    image, mask = _augment(seed, Augmentation(**{**moved, "contrast": 0.0, "brightness": 0.0}))
    bright = image[..., 1] > 100
    assert mask.sum() > 20
    overlap = 2 * (bright & (mask > 0)).sum() / (bright.sum() + mask.sum())
    assert overlap > 0.93


def test_no_strength_takes_the_middle_unchanged() -> None:
    image, mask = _augment(0, Augmentation())
    source_image, source_mask = _picture()
    np.testing.assert_array_equal(mask, np.pad(source_mask, ((0, 0), (4, 0)))[12:60, 1:57])
    np.testing.assert_array_equal(image[..., 0], mask * 200)
    assert source_image.shape[2] == 3


def test_half_the_scale_shows_the_same_lesion_at_a_quarter_of_its_area() -> None:
    _, mask = _augment(0, Augmentation(), Frame(size=(24, 28), scale=0.5))
    assert mask.sum() == 160 / 4


def test_a_flip_exchanges_left_and_right_alone() -> None:
    image = np.arange(64 * 64 * 3, dtype=np.uint32).reshape(64, 64, 3).astype(np.uint8)
    flipped, _ = augment(
        np.random.default_rng(0),
        image,
        image[..., 0],
        Augmentation(flip_x=1.0),
        frame=Frame((64, 64)),
        centre=(31.5, 31.5),
    )
    np.testing.assert_array_equal(flipped, image[::-1])


def test_equal_seeds_give_equal_pictures_and_others_do_not() -> None:
    one, same, other = (_augment(seed, STRONG)[0] for seed in (4, 4, 5))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_changes_of_intensity_leave_places_alone() -> None:
    image, _ = _picture()
    changed = change_intensity(np.random.default_rng(1), image, Augmentation(gamma=0.4, contrast=0.3, chance=1.0))
    assert changed.dtype == np.uint8
    assert len(np.unique(changed[image > 0])) == 1
    assert changed[image > 0][0] != 200
    assert (changed[image == 0] == 0).all()


def test_a_strong_gain_reaches_from_a_dim_head_to_a_bright_one() -> None:
    grey = np.full((4, 4, 3), 100, np.uint8)
    strength = Augmentation(gain=0.92, chance=1.0)
    levels = [change_intensity(np.random.default_rng(seed), grey, strength)[0, 0, 0] for seed in range(200)]
    assert min(levels) in range(39, 45)
    assert max(levels) in range(235, 252)
    assert np.exp(np.log(np.array(levels) / 100).std()) > 1.4


def test_without_a_gain_older_seeds_draw_what_they_drew() -> None:
    image, mask = _augment(4, STRONG)
    again, _ = _augment(4, Augmentation(**{**vars(STRONG), "gain": 0.0}))
    np.testing.assert_array_equal(image, again)
    changed, same_mask = _augment(4, Augmentation(**{**vars(STRONG), "gain": 0.9, "chance": 1.0}))
    assert (changed != image).any()
    assert mask.shape == same_mask.shape


def test_classes_of_a_mask_are_never_mixed() -> None:
    image, mask = _picture()
    classes = mask * np.uint8(3)
    classes[28:36, 20:30] = 1
    _, moved = augment(np.random.default_rng(2), image, classes, STRONG, frame=FRAME, centre=(35.5, 24.5))
    assert set(np.unique(moved)) == {0, 1, 3}
