from pathlib import Path

import keras
import numpy as np
import pytest

from metseg.errors import RequestError
from metseg_trainer.folding import count_gflop, fold_batch_norm
from metseg_trainer.losses import soft_dice
from metseg_trainer.networks.attention_unet import AttentionUNet, attention_gate
from metseg_trainer.networks.presets import build_network

SIDE = 32


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    made = build_network("attention_unet", "tiny", (SIDE, SIDE))
    rng = np.random.default_rng(1)
    for layer in made.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = (values.shape for values in layer.get_weights())
            layer.set_weights(
                [
                    rng.uniform(0.5, 1.5, gamma),
                    rng.normal(0, 0.3, beta),
                    rng.normal(0, 0.3, mean),
                    rng.uniform(0.5, 2, variance),
                ]
            )
    return made


def _slices(n: int = 2) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (n, SIDE, SIDE, 3), dtype=np.uint8)


def test_slices_become_probabilities_of_the_same_size(network: keras.Model) -> None:
    found = network.predict(_slices(), verbose=0)
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
    np.testing.assert_array_equal(loaded.predict(_slices(), verbose=0), network.predict(_slices(), verbose=0))


def test_the_config_is_the_constructors_arguments(network: keras.Model) -> None:
    assert AttentionUNet(**network.get_config()).count_params() == network.count_params()


def test_weights_fit_any_input_size(network: keras.Model) -> None:
    larger = build_network("attention_unet", "tiny", (64, 48))
    larger.set_weights(network.get_weights())
    assert larger.predict(np.zeros((1, 64, 48, 3), np.uint8), verbose=0).shape == (1, 64, 48, 1)


def test_a_gate_weights_by_at_most_one_and_at_least_zero(network: keras.Model) -> None:
    alpha = keras.Model(network.input, network.get_layer("gate0_alpha").output).predict(_slices(), verbose=0)
    assert alpha.shape[-1] == 1
    assert alpha.min() >= 0
    assert alpha.max() <= 1
    assert alpha.std() > 0


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


def test_folding_batch_norm_changes_no_answer(network: keras.Model) -> None:
    folded = fold_batch_norm(network)
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in folded.layers)
    np.testing.assert_allclose(
        folded.predict(_slices(), verbose=0), network.predict(_slices(), verbose=0), atol=1e-5
    )


def test_the_small_preset_costs_at_most_12_gflop_a_slice() -> None:
    assert 8 < count_gflop(build_network("attention_unet", "small")) < 12


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RequestError, match="attention_unet/small"):
        build_network("attention_unet", "enormous")


def test_soft_dice_is_one_for_identical_and_for_empty_masks() -> None:
    mask = np.zeros((2, 8, 8, 1), np.uint8)
    mask[0, 2:4, 2:4] = 1
    np.testing.assert_allclose(soft_dice(mask, mask.astype(np.float32)), [1, 1])


def test_soft_dice_is_low_where_only_one_is_empty() -> None:
    mask = np.zeros((2, 8, 8, 1), np.uint8)
    mask[0, :4] = 1
    np.testing.assert_allclose(soft_dice(mask, mask[::-1].astype(np.float32)), [1 / 33, 1 / 33], rtol=1e-6)
