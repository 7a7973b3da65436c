from pathlib import Path

import keras
import numpy as np
import pytest
from untrained import noise, unsettle_norms

from metseg.errors import RequestError
from metseg_trainer.networks.attention_unet import AttentionUNet, attention_gate
from metseg_trainer.networks.batch_norm_folding import count_gflop
from metseg_trainer.networks.presets import build_network

SIDE = 32


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    return unsettle_norms(build_network("attention_unet", "tiny", (SIDE, SIDE)))


def test_slices_become_probabilities_of_the_same_size(network: keras.Model) -> None:
    found = network.predict(noise(2, SIDE), verbose=0)
    assert found.shape == (2, SIDE, SIDE, 1)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1
    assert found.std() > 0


def test_input_and_output_bear_the_names_of_the_contract(network: keras.Model) -> None:
    assert network.input.name == "slices"
    assert network.input.dtype == "uint8"
    assert network.layers[-1].name == "probability"


def test_a_saved_network_answers_the_same_when_loaded(network: keras.Model, tmp_path: Path) -> None:
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras", compile=False)
    assert isinstance(loaded, AttentionUNet)
    np.testing.assert_array_equal(
        loaded.predict(noise(2, SIDE), verbose=0), network.predict(noise(2, SIDE), verbose=0)
    )


def test_the_config_is_the_constructors_arguments(network: keras.Model) -> None:
    assert AttentionUNet(**network.get_config()).count_params() == network.count_params()


def test_weights_fit_any_input_size(network: keras.Model) -> None:
    larger = build_network("attention_unet", "tiny", (64, 48))
    larger.set_weights(network.get_weights())
    assert larger.predict(np.zeros((1, 64, 48, 3), np.uint8), verbose=0).shape == (1, 64, 48, 1)


def test_a_gate_weights_by_at_most_one_and_at_least_zero(network: keras.Model) -> None:
    alpha = keras.Model(network.input, network.get_layer("gate0_alpha").output).predict(noise(2, SIDE), verbose=0)
    assert alpha.shape[-1] == 1
    assert alpha.min() >= 0
    assert alpha.max() <= 1
    assert alpha.std() > 0


@pytest.mark.parametrize("levels", [2, 5, 6])
def test_any_number_of_levels_will_do(levels: int) -> None:
    network = AttentionUNet(filters=[2] * levels, size=(SIDE, SIDE))
    assert network.output_shape == (None, SIDE, SIDE, 1)
    assert network.get_layer(f"gate{levels - 2}_alpha").output.shape[1] == SIDE >> (levels - 2)


def test_several_classes_share_the_probability_of_a_pixel() -> None:
    found = build_network("attention_unet", "tiny", (SIDE, SIDE), classes=3).predict(noise(2, SIDE), verbose=0)
    assert found.shape == (2, SIDE, SIDE, 3)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-5)


def test_a_gate_is_additive() -> None:
    skip, gating = keras.Input((8, 8, 3)), keras.Input((4, 4, 5))
    gate = keras.Model([skip, gating], attention_gate(skip, gating, filters=2, name="gate"))
    rng = np.random.default_rng(5)
    for layer in gate.layers:
        layer.set_weights([rng.normal(size=values.shape) for values in layer.get_weights()])
    x, g = rng.normal(size=(1, 8, 8, 3)), rng.normal(size=(1, 4, 4, 5))
    weights = {layer.name: layer.get_weights() for layer in gate.layers if layer.weights}
    blocks = x.reshape(4, 2, 4, 2, 3).transpose(0, 2, 1, 3, 4)
    wx = np.einsum("xyabc,abcf->xyf", blocks, weights["gate_wx"][0])
    wg = np.einsum("xyc,cf->xyf", g[0], weights["gate_wg"][0][0, 0]) + weights["gate_wg"][1]
    q = np.maximum(wx + wg, 0) @ weights["gate_psi"][0][0, 0] + weights["gate_psi"][1]
    alpha = keras.ops.convert_to_numpy(
        keras.ops.image.resize(1 / (1 + np.exp(-q[None])), (8, 8), interpolation="bilinear")
    )
    np.testing.assert_allclose(gate.predict([x, g], verbose=0), x * alpha, rtol=1e-4, atol=1e-5)


def test_the_small_preset_costs_at_most_12_gflop_a_slice() -> None:
    assert 8 < count_gflop(build_network("attention_unet", "small")) < 12


def test_sides_that_cannot_be_halved_often_enough_are_refused() -> None:
    with pytest.raises(RequestError, match="divisible by 4"):
        build_network("attention_unet", "tiny", (SIDE, SIDE + 2))


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RequestError, match="attention_unet/small"):
        build_network("attention_unet", "enormous")
