import keras
import numpy as np
import pytest

from metseg_trainer.training.weight_average import WeightAverage


@pytest.fixture
def network() -> keras.Model:
    return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])


def set_weight(network: keras.Model, value: float) -> None:
    network.set_weights([np.full((1, 1), value)])


def test_the_mean_begins_with_the_first_step_and_follows_the_others(network: keras.Model) -> None:
    average = WeightAverage(0.75, steps=1000)
    for value in (1.0, 5.0):
        set_weight(network, value)
        average.update(network)
    assert average.values[0] == pytest.approx(0.75 * 1 + 0.25 * 5)


def test_a_network_holds_the_mean_for_a_while_and_then_its_own_weights(network: keras.Model) -> None:
    set_weight(network, 3.0)
    average = WeightAverage(0.5, [np.full((1, 1), 1.0)])
    with average.in_place(network):
        assert network.get_weights()[0] == 1.0
    assert network.get_weights()[0] == 3.0


def test_no_mean_is_kept_unasked(network: keras.Model) -> None:
    average = WeightAverage(0.0)
    average.update(network)
    set_weight(network, 3.0)
    with average.in_place(network):
        assert network.get_weights()[0] == 3.0
    assert average.values == []


def test_the_first_steps_of_a_stage_weigh_more(network: keras.Model) -> None:
    average = WeightAverage(0.999)
    for value in (1.0, 5.0):
        set_weight(network, value)
        average.update(network)
    assert average.values[0] == pytest.approx(2 / 11 * 1 + 9 / 11 * 5)


def test_a_new_stage_forgets_the_mean_and_a_resumed_one_goes_on(network: keras.Model) -> None:
    average = WeightAverage(0.75, [np.full((1, 1), 3.0)])
    average.begin_stage(network, steps=200)
    set_weight(network, 7.0)
    average.on_train_batch_end(0)
    assert average.values[0] == pytest.approx(0.75 * 3 + 0.25 * 7)
    average.begin_stage(network, steps=0)
    assert average.values == []
