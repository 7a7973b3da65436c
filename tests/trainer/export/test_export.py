import re
from datetime import UTC, datetime
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2
from untrained import noise, unsettle_norms

from metseg.errors import CardError, InputError
from metseg.schemas.model_card import CARD_PATH, ModelCard, Preprocessing
from metseg_trainer.evaluation.predictors import saved_model_predictor
from metseg_trainer.export import saved_model as export
from metseg_trainer.export import shipped_weights
from metseg_trainer.export.saved_model import WARMUP_PATH, ExportDiffersError, export_network, is_exported
from metseg_trainer.networks.presets import build_network
from metseg_trainer.networks.weights import load_weights, save_half_precision, weights_digest

SIDE = 64


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(4)
    made = build_network("attention_unet", "tiny", (SIDE, SIDE))
    made.get_layer("encoder0_a_bn").set_weights([np.full(4, v) for v in (0.5, 0.2, 0.1, 2.0)])
    return made


@pytest.fixture(scope="module")
def card(network: keras.Model) -> ModelCard:
    return ModelCard(
        name="attention_unet",
        version=3,
        network="attention_unet",
        preset="tiny",
        preprocessing=Preprocessing(size=SIDE),
        threshold=0.5,
        min_lesion_mm3=10.0,
        min_lesion_px=5,
        parameters=network.count_params(),
        gflop_per_slice=0.1,
        training_data=[],
        scores=[],
        weights_sha256="0" * 64,
        software={},
        intended_use="tests",
        limits=[],
        licence="none",
        created_at=datetime(2024, 1, 1, tzinfo=UTC),
    )


@pytest.fixture(scope="module")
def exported(network: keras.Model, card: ModelCard, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_network(network, card, tmp_path_factory.mktemp("models"))


def _operations(folder: Path) -> list[str]:
    (meta,) = _read(folder).meta_graphs
    functions = [node.op for function in meta.graph_def.library.function for node in function.node_def]
    return [*functions, *(node.op for node in meta.graph_def.node)]


def _read(folder: Path) -> saved_model_pb2.SavedModel:
    return saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())


def test_no_batch_norm_and_no_variable_is_left_in_the_graph(exported: Path) -> None:
    operations = _operations(exported)
    assert "Conv2D" in operations
    assert not [name for name in operations if "Rsqrt" in name or "BatchNorm" in name or "ReadVariable" in name]


def test_the_weights_lie_on_the_disk_once(network: keras.Model, exported: Path) -> None:
    weights = 4 * sum(values.size for values in network.get_weights())
    files = sum(
        path.stat().st_size for path in exported.rglob("*") if path.is_file() and path.name != WARMUP_PATH.name
    )
    graph_alone = 150_000
    assert files < weights + graph_alone
    heavy = [node for node in _constants(exported) if node > 1000]
    kernels = [values.nbytes for values in network.get_weights() if values.ndim == 4 and values.nbytes > 1000]
    assert len(heavy) == len(kernels)


def _constants(folder: Path) -> list[int]:
    (meta,) = _read(folder).meta_graphs
    nodes = [*meta.graph_def.node, *(n for f in meta.graph_def.library.function for n in f.node_def)]
    return [len(node.attr["value"].tensor.tensor_content) for node in nodes if node.op == "Const"]


def test_the_signature_is_the_contract(exported: Path) -> None:
    signature = tf.saved_model.load(str(exported)).signatures["serving_default"]
    spec = signature.structured_input_signature[1]["slices"]
    assert (spec.dtype, spec.shape.as_list()) == (tf.uint8, [None, SIDE, SIDE, 3])
    answer = signature.structured_outputs["probability"]
    assert (answer.dtype, answer.shape.as_list()) == (tf.float32, [None, SIDE, SIDE, 1])


def test_the_export_answers_like_the_network(network: keras.Model, exported: Path) -> None:
    slices = np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE, 3), dtype=np.uint8)
    (answer,) = saved_model_predictor(exported)([slices])
    np.testing.assert_allclose(answer, network.predict(slices, verbose=0), atol=1e-5)


def test_a_network_of_several_classes_is_served_as_one_probability_of_lesion(
    card: ModelCard, tmp_path: Path
) -> None:
    network = build_network("unet_plus_plus", "tiny-l1", (SIDE, SIDE), classes=3)
    (answer,) = saved_model_predictor(export_network(network, card, tmp_path))([noise(2, SIDE)])
    classes = network.predict(noise(2, SIDE), verbose=0)
    assert answer.shape == (2, SIDE, SIDE, 1)
    np.testing.assert_allclose(answer, classes[..., 1:].sum(-1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize(("name", "preset"), [("attention_unet", "tiny"), ("unet_plus_plus", "tiny")])
def test_a_mirrored_export_answers_alike_on_either_side_and_pools_both(
    card: ModelCard, tmp_path: Path, name: str, preset: str, classes: int
) -> None:
    network = unsettle_norms(build_network(name, preset, (SIDE, SIDE), classes=classes))
    mirrored = card.model_copy(update={"mirrored": True})
    slices = noise(2, SIDE)
    predict = saved_model_predictor(export_network(network, mirrored, tmp_path))
    answer, answer_of_mirror_image = predict([slices, slices[:, ::-1]])
    plain = network.predict(np.concatenate([slices, slices[:, ::-1]]), verbose=0).astype(np.float64)
    lesion = plain if classes == 1 else 1 - plain[..., :1]
    odds = np.sqrt(lesion[:2] / (1 - lesion[:2]) * (lesion[2:] / (1 - lesion[2:]))[:, ::-1])
    np.testing.assert_allclose(answer, odds / (1 + odds), atol=1e-5)
    np.testing.assert_allclose(answer, answer_of_mirror_image[:, ::-1], atol=1e-5)
    assert mirrored.digest != card.digest


@pytest.mark.slow
def test_a_network_with_a_model_inside_is_folded_too(card: ModelCard, tmp_path: Path) -> None:
    network = unsettle_norms(build_network("inception_v3_segmenter", "skips", (SIDE, SIDE)))
    folder = export_network(network, card, tmp_path)
    assert not [name for name in _operations(folder) if "Rsqrt" in name or "BatchNorm" in name]
    (answer,) = saved_model_predictor(folder)([noise(1, SIDE)])
    np.testing.assert_allclose(answer, network(noise(1, SIDE), training=False), atol=1e-5)


def test_the_card_travels_inside(exported: Path, card: ModelCard) -> None:
    assert exported.parts[-2:] == ("attention_unet", "3")
    assert ModelCard.read(exported / CARD_PATH) == card


def test_the_warm_up_asks_for_every_batch_that_is_served(exported: Path) -> None:
    config = Path(__file__).parents[3] / "services" / "serving" / "batching.config"
    served = [int(size) for size in re.findall(r"^allowed_batch_sizes: (\d+)$", config.read_text(), re.MULTILINE)]
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(exported / WARMUP_PATH))]
    requests = [prediction_log_pb2.PredictionLog.FromString(r).predict_log.request for r in records]
    assert [tf.make_ndarray(r.inputs["slices"]).shape[0] for r in requests] == served == [1, 2, 4, 8, 16]
    assert {r.model_spec.name for r in requests} == {"attention_unet"}


def test_an_export_that_differs_is_refused_and_leaves_nothing(
    network: keras.Model, card: ModelCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def badly_folded(source: keras.Model) -> keras.Model:
        twin = fold(source)
        twin.get_layer("head").set_weights([values + 0.1 for values in twin.get_layer("head").get_weights()])
        return twin

    fold = export.fold_batch_norm
    monkeypatch.setattr(export, "fold_batch_norm", badly_folded)
    with pytest.raises(ExportDiffersError):
        export_network(network, card, tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not is_exported(card, tmp_path)


def test_half_precision_weights_are_half_as_large_and_nearly_the_same(
    network: keras.Model, tmp_path: Path
) -> None:
    path = tmp_path / "a.weights.h5"
    save_half_precision(network, path)
    other = build_network("attention_unet", "tiny", (SIDE, SIDE))
    load_weights(other, path)
    for values, wanted in zip(other.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(values, wanted.astype(np.float16).astype(np.float32))
    assert [path.name for path in tmp_path.iterdir()] == ["a.weights.h5"]


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.weights.h5").write_bytes(b"no weights")
    with pytest.raises(InputError, match="no weights of"):
        load_weights(build_network("attention_unet", "tiny", (SIDE, SIDE)), tmp_path / "a.weights.h5")


def test_shipped_weights_are_exported_once(network: keras.Model, card: ModelCard, tmp_path: Path) -> None:
    weights = tmp_path / "weights" / "attention_unet-3.weights.h5"
    save_half_precision(network, weights)
    card.model_copy(update={"weights_sha256": weights_digest(weights)}).write(
        weights.with_name("attention_unet-3.card.json")
    )
    target, made = shipped_weights.export_shipped(weights, tmp_path, again=False)
    assert (target, made) == (tmp_path / "attention_unet" / "3", True)
    assert shipped_weights.export_shipped(weights, tmp_path, again=False) == (target, False)


def test_a_card_of_other_weights_is_refused(network: keras.Model, card: ModelCard, tmp_path: Path) -> None:
    weights = tmp_path / "attention_unet-3.weights.h5"
    save_half_precision(network, weights)
    card.write(tmp_path / "attention_unet-3.card.json")
    with pytest.raises(CardError, match="other weights"):
        shipped_weights.export_shipped(weights, tmp_path, again=True)
