from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from untrained import answer, batch_norms, noise, unsettle_norms

from metseg.errors import InputError, RequestError
from metseg_trainer.networks import encoder_weights
from metseg_trainer.networks.batch_norm_folding import count_gflop
from metseg_trainer.networks.encoder_weights import encoder_of, freeze_encoder, load_encoder_weights
from metseg_trainer.networks.inception_encoder import (
    FILE_WITHOUT_TOP,
    GRIDS,
    SMALLEST_SIDE,
    encoder_sides,
)
from metseg_trainer.networks.inception_v3_segmenter import InceptionV3Segmenter
from metseg_trainer.networks.presets import build_network

SIDE = 64
ENCODER_PARAMETERS = 21_802_784
UNPADDED = ([2, 1], [2, 1], [2], [2], [2])
"""Strides of the 3×3 layers without padding before each map, as `keras.applications` lists them."""


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    return unsettle_norms(build_network("inception_v3_segmenter", "skips", (SIDE, SIDE)))


@pytest.fixture(scope="module")
def whole() -> keras.Model:
    """The network at its full size, for its figures alone."""
    return build_network("inception_v3_segmenter", "skips")


def test_slices_become_probabilities_of_the_same_size(network: keras.Model) -> None:
    found = answer(network, noise(2, SIDE))
    assert found.shape == (2, SIDE, SIDE, 1)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1
    assert found.std() > 0
    assert (network.input.name, network.layers[-1].name) == ("slices", "probability")


def test_the_encoder_is_inception_v3_without_its_top(whole: keras.Model) -> None:
    encoder = encoder_of(whole)
    assert encoder.count_params() == ENCODER_PARAMETERS
    assert encoder.input_shape == (None, 299, 299, 3)
    assert [shape[1:] for shape in encoder.output_shape] == [
        (147, 147, 64),
        (71, 71, 192),
        (35, 35, 288),
        (17, 17, 768),
        (8, 8, 2048),
    ]


def test_the_preset_with_skips_costs_at_most_12_gflop_a_slice(whole: keras.Model) -> None:
    assert count_gflop(encoder_of(whole)) == pytest.approx(11.42, abs=0.01)
    assert count_gflop(whole) < 12


def test_the_plain_preset_doubles_8_by_8_cells_five_times() -> None:
    plain = build_network("inception_v3_segmenter", "plain")
    ups = [layer for layer in plain.layers if isinstance(layer, keras.layers.UpSampling2D)]
    assert [up.output.shape[1:3] for up in ups] == [(side, side) for side in (16, 32, 64, 128, 256)]
    assert not [layer for layer in plain.layers if isinstance(layer, keras.layers.Concatenate)]
    assert (plain.layers[-2].name, plain.layers[-2].kernel_size) == ("head", (1, 1))
    assert plain.output_shape == (None, 256, 256, 1)


def test_smaller_slices_get_a_smaller_encoder_in_proportion() -> None:
    assert encoder_sides((256, 256), 299) == (299, 299)
    assert encoder_sides((192, 224), 299) == (224, 262)
    assert encoder_sides((32, 64), 299) == (SMALLEST_SIDE, SMALLEST_SIDE)


def test_the_grids_say_which_pixel_a_cell_looks_at(network: keras.Model, whole: keras.Model) -> None:
    for encoder in (encoder_of(network), encoder_of(whole)):
        pixels = np.arange(encoder.input_shape[1])
        for layers, grid, shape in zip(UNPADDED, GRIDS, encoder.output_shape, strict=True):
            for stride in layers:
                pixels = pixels[1:-1:stride]
            assert len(pixels) == shape[1]
            np.testing.assert_array_equal(pixels, grid.first + grid.stride * np.arange(shape[1]))


@pytest.mark.parametrize("side", [75, 112, 131, 224, 262, 299])
def test_margins_make_a_map_cover_the_whole_slice(side: int) -> None:
    cells = side
    for layers, grid in zip(UNPADDED, GRIDS, strict=True):
        for stride in layers:
            cells = (cells - 3) // stride + 1
        before, after = grid.margins(side, cells)
        first_edge = grid.first - grid.stride * (before + 0.5)
        last_edge = grid.first + grid.stride * (cells - 1 + after + 0.5)
        assert abs(first_edge + 0.5) <= grid.stride / 2
        assert abs(last_edge - (side - 0.5)) <= grid.stride / 2


def test_weights_fit_any_input_size(network: keras.Model) -> None:
    other = build_network("inception_v3_segmenter", "skips", (48, 80))
    other.set_weights(network.get_weights())
    assert answer(other, np.zeros((1, 48, 80, 3), np.uint8)).shape == (1, 48, 80, 1)


def test_sides_that_cannot_be_halved_four_times_are_refused() -> None:
    with pytest.raises(RequestError, match="divisible by 16"):
        build_network("inception_v3_segmenter", "skips", (72, 64))


@pytest.mark.slow
def test_saved_weights_answer_the_same_when_loaded(network: keras.Model, tmp_path: Path) -> None:
    network.save_weights(tmp_path / "a.weights.h5")
    loaded = InceptionV3Segmenter(**network.get_config())
    loaded.load_weights(tmp_path / "a.weights.h5")
    np.testing.assert_array_equal(answer(loaded, noise(1, SIDE)), answer(network, noise(1, SIDE)))


@pytest.mark.slow
def test_a_frozen_encoder_does_not_change_in_training(network: keras.Model) -> None:
    encoder = encoder_of(network)
    freeze_encoder(network, True)
    before, head = encoder.get_weights(), network.get_layer("head").get_weights()
    network.compile(optimizer=keras.optimizers.SGD(0.1), loss="binary_crossentropy", run_eagerly=True)
    network.train_on_batch(noise(2, SIDE), np.ones((2, SIDE, SIDE, 1), np.uint8))
    for values, wanted in zip(encoder.get_weights(), before, strict=True):
        np.testing.assert_array_equal(values, wanted)
    assert not np.array_equal(network.get_layer("head").get_weights()[0], head[0])
    freeze_encoder(network, False)
    assert len(encoder.trainable_variables) == 2 * len(list(batch_norms(encoder)))


def test_a_network_without_an_encoder_has_none_to_freeze() -> None:
    with pytest.raises(RequestError, match="expected a network with an encoder"):
        freeze_encoder(build_network("attention_unet", "tiny", (SIDE, SIDE)), True)


@pytest.mark.slow
def test_the_encoders_own_file_and_that_of_keras_give_the_same_weights(
    network: keras.Model, tmp_path: Path
) -> None:
    encoder = encoder_of(network)
    own, theirs = tmp_path / "encoder.weights.h5", tmp_path / FILE_WITHOUT_TOP
    encoder.save_weights(own)
    _write_like_keras_applications(encoder, theirs)
    wanted = encoder.get_weights()
    for path in (own, theirs):
        encoder.set_weights([np.zeros_like(values) for values in wanted])
        load_encoder_weights(network, path)
        for values, expected in zip(encoder.get_weights(), wanted, strict=True):
            np.testing.assert_array_equal(values, expected)


def _write_like_keras_applications(encoder: keras.Model, path: Path) -> None:
    """Write the layout of Keras 2, one group a layer, in which the files of `keras.applications` come."""
    layers = [layer for layer in encoder.layers if layer.weights]
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [f"layer_{number}".encode() for number in range(len(layers))]
        for number, layer in enumerate(layers):
            group = file.create_group(f"layer_{number}")
            names = [f"w{index}" for index in range(len(layer.weights))]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, values in zip(names, layer.get_weights(), strict=True):
                group[name] = values


@pytest.mark.parametrize("name", ["missing.weights.h5", "missing.h5", "wrong.weights.h5", "wrong.h5"])
def test_an_unusable_encoder_file_is_named(network: keras.Model, tmp_path: Path, name: str) -> None:
    if name.startswith("wrong"):
        (tmp_path / name).write_bytes(b"no weights")
    with pytest.raises(InputError, match=name):
        load_encoder_weights(network, tmp_path / name)


def test_without_a_network_imagenet_names_the_way_around(
    network: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise Exception("URL fetch failure on https://example.org: None\nfurther lines")

    monkeypatch.setattr(encoder_weights.keras.applications, "InceptionV3", fail)
    with pytest.raises(InputError, match=rf"{FILE_WITHOUT_TOP}.*--encoder-weights FILE") as caught:
        load_encoder_weights(network, "imagenet")
    assert "\n" not in str(caught.value)
