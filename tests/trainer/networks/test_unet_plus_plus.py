from pathlib import Path

import keras
import numpy as np
import pytest
from untrained import answer, noise, unsettle_norms

from metseg.errors import RequestError
from metseg_trainer.networks.batch_norm_folding import count_gflop
from metseg_trainer.networks.presets import build_network, supervised
from metseg_trainer.networks.unet_plus_plus import UNetPlusPlus, prune

SIDE = 32
HEADS = 2


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    return unsettle_norms(build_network("unet_plus_plus", "tiny", (SIDE, SIDE)))


def test_slices_become_probabilities_of_the_same_size(network: keras.Model) -> None:
    found = answer(network, noise(2, SIDE))
    assert found.shape == (2, SIDE, SIDE, 1)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1
    assert found.std() > 0


def test_input_and_output_bear_the_names_of_the_contract(network: keras.Model) -> None:
    assert (network.input.name, network.input.dtype) == ("slices", "uint8")
    assert network.layers[-1].name == "probability"
    assert prune(network, 1).layers[-1].name == "probability"


def test_a_saved_network_answers_the_same_when_loaded(network: keras.Model, tmp_path: Path) -> None:
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras", compile=False)
    assert isinstance(loaded, UNetPlusPlus)
    np.testing.assert_array_equal(answer(loaded, noise(2, SIDE)), answer(network, noise(2, SIDE)))


def test_the_papers_configuration_has_the_papers_parameters() -> None:
    assert build_network("unet_plus_plus", "paper").count_params() == pytest.approx(9.04e6, rel=0.01)


def test_the_small_preset_costs_at_most_12_gflop_a_slice() -> None:
    assert 8 < count_gflop(build_network("unet_plus_plus", "small")) < 12


def test_the_answer_is_the_mean_of_the_heads(network: keras.Model) -> None:
    heads = answer(keras.Model(network.input, keras.layers.Concatenate()(network.heads)), noise(2, SIDE))
    assert heads.shape[-1] == HEADS
    np.testing.assert_allclose(answer(network, noise(2, SIDE)), heads.mean(-1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize("level", [1, 2])
def test_a_pruned_network_answers_like_its_head_and_costs_less(network: keras.Model, level: int) -> None:
    pruned = prune(network, level)
    wanted = answer(keras.Model(network.input, network.heads[level - 1]), noise(2, SIDE))
    np.testing.assert_allclose(answer(pruned, noise(2, SIDE)), wanted, atol=1e-6)
    assert pruned.count_params() < network.count_params()
    assert count_gflop(pruned) < count_gflop(network)


def test_a_pruned_network_can_be_built_by_its_own_preset(network: keras.Model) -> None:
    built = build_network("unet_plus_plus", "tiny-l1", (SIDE, SIDE))
    assert built.count_params() == prune(network, 1).count_params()


@pytest.mark.parametrize("level", [0, 3])
def test_a_level_that_is_not_there_is_refused(network: keras.Model, level: int) -> None:
    with pytest.raises(RequestError, match="heads 1 to 2"):
        prune(network, level)


def test_a_pruned_network_is_not_pruned_again(network: keras.Model) -> None:
    with pytest.raises(RequestError, match="one head alone"):
        prune(prune(network, 2), 1)


def test_training_sees_every_head_of_every_class() -> None:
    network = build_network("unet_plus_plus", "tiny", (SIDE, SIDE), classes=3)
    model, weights = supervised(network, network.classes)
    assert weights == (1.0,) * HEADS
    found = answer(model, noise(1, SIDE))
    assert found.shape == (1, SIDE, SIDE, HEADS * 3)
    for first in (0, 3):
        np.testing.assert_allclose(found[..., first : first + 3].sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose((found[..., :3] + found[..., 3:]) / 2, answer(network, noise(1, SIDE)), atol=1e-6)


def test_a_network_of_one_head_is_trained_as_it_is() -> None:
    network = build_network("unet_plus_plus", "tiny-l1", (SIDE, SIDE))
    assert supervised(network, classes=1) == (network, (1.0,))


def test_training_the_heads_trains_the_network(network: keras.Model) -> None:
    trained = UNetPlusPlus.from_config(network.get_config())
    model, _ = supervised(trained, trained.classes)
    model.get_layer("x00_a").set_weights([np.ones_like(v) for v in trained.get_layer("x00_a").get_weights()])
    assert model.get_layer("x00_a") is trained.get_layer("x00_a")
    assert len(model.trainable_variables) == len(trained.trainable_variables)
