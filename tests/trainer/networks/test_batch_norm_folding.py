import keras
import numpy as np
import pytest
from untrained import answer, batch_norms, noise, unsettle_norms

from metseg_trainer.networks.batch_norm_folding import count_gflop, fold_batch_norm
from metseg_trainer.networks.presets import build_network

NETWORKS = [
    ("attention_unet", "tiny", 3),
    ("unet_plus_plus", "tiny", 1),
    ("unet_plus_plus", "tiny-l1", 2),
]


@pytest.mark.parametrize(("name", "preset", "classes"), NETWORKS)
def test_folding_batch_norm_changes_no_answer(name: str, preset: str, classes: int) -> None:
    keras.utils.set_random_seed(1)
    network = unsettle_norms(build_network(name, preset, (64, 64), classes=classes))
    before = answer(network, noise(1, 64))
    folded = fold_batch_norm(network)
    assert not list(batch_norms(folded))
    np.testing.assert_allclose(answer(folded, noise(1, 64)), before, atol=1e-5)
    assert before.std() > 1e-4
    np.testing.assert_array_equal(answer(network, noise(1, 64)), before)


def _small(connect: object) -> keras.Model:
    inputs = keras.Input((8, 8, 3))
    return unsettle_norms(keras.Model(inputs, connect(inputs)))


def _check(network: keras.Model, norms: int) -> None:
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype(np.float32)
    folded = fold_batch_norm(network)
    assert len(list(batch_norms(folded))) == norms
    np.testing.assert_allclose(answer(folded, x), answer(network, x), atol=1e-5)


def test_a_batch_norm_after_a_relu_stays() -> None:
    layers = keras.layers
    _check(_small(lambda x: layers.BatchNormalization()(layers.Conv2D(2, 3, activation="relu")(x))), 1)


def test_a_convolution_that_others_look_at_too_keeps_its_batch_norm() -> None:
    def connect(x: object) -> object:
        seen = keras.layers.Conv2D(2, 3)(x)
        return keras.layers.Add()([seen, keras.layers.BatchNormalization()(seen)])

    _check(_small(connect), 1)


@pytest.mark.parametrize(("scale", "center", "bias"), [(False, True, False), (True, False, True)])
def test_a_batch_norm_without_factor_or_offset_is_folded(scale: bool, center: bool, bias: bool) -> None:
    def connect(x: object) -> object:
        seen = keras.layers.Conv2D(2, 3, use_bias=bias, bias_initializer="random_normal")(x)
        return keras.layers.BatchNormalization(scale=scale, center=center)(seen)

    _check(_small(connect), 0)


def test_each_kind_of_layer_costs_two_operations_a_multiply_add() -> None:
    layers = keras.layers
    convolution = _small(layers.Conv2D(5, 3, padding="same"))
    assert count_gflop(convolution) == pytest.approx(2e-9 * 8 * 8 * 3 * 5 * 9)
    assert count_gflop(_small(layers.Conv2D(5, 2, strides=2))) == pytest.approx(2e-9 * 4 * 4 * 3 * 5 * 4)
    assert count_gflop(_small(layers.Conv2DTranspose(5, 2, strides=2))) == pytest.approx(2e-9 * 8 * 8 * 3 * 5 * 4)
    assert count_gflop(_small(layers.Dense(5))) == pytest.approx(2e-9 * 8 * 8 * 3 * 5)
    assert count_gflop(_small(convolution)) == count_gflop(convolution)
