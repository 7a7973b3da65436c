"""TF Serving's own configuration files."""

from pathlib import Path

import pytest

from metseg.inference.segment import BATCH
from metseg_serving.config import BatchingRules, channel_arguments, read_batching, read_models, read_monitoring
from metseg_serving.settings import ConfigError

SHIPPED = Path(__file__).parents[2] / "services" / "serving"
ENTRY = "name: 'a' base_path: '/a' model_platform: 'tensorflow'"


def test_the_shipped_models_file_serves_three_models_and_keeps_the_last_version_of_each():
    sources = read_models(SHIPPED / "models.config", Path("here"))
    assert [source.name for source in sources] == ["attention_unet", "unet_plus_plus", "inception_v3_segmenter"]
    assert [source.base_path for source in sources] == [Path("here") / source.name for source in sources]
    assert [source.policy.choose({1, 2, 3}) for source in sources] == [{2, 3}] * 3


def test_the_shipped_batching_file_takes_the_batches_that_a_worker_sends():
    rules = read_batching(SHIPPED / "batching.config")
    assert rules == BatchingRules(max_batch_size=16, max_enqueued_batches=64, max_execution_batch_size=16)
    assert rules.max_batch_size >= BATCH


def test_an_empty_batching_file_leaves_what_tensorflow_serving_does_by_itself(tmp_path):
    (tmp_path / "batching.config").touch()
    assert read_batching(tmp_path / "batching.config") == BatchingRules(1000, 0.0, 10, None)


def test_base_paths_outside_the_mount_are_taken_as_they_are(tmp_path):
    file = tmp_path / "models.config"
    file.write_text(
        """model_config_list {
          config {
            name: "a" base_path: "/elsewhere/a" model_platform: "tensorflow"
            model_version_policy { all {} }
          }
          config {
            name: "b" base_path: "/models/b" model_platform: "tensorflow"
            model_version_policy { specific { versions: 3 versions: 4 } }
            version_labels { key: "stable" value: 3 }
          }
        }"""
    )
    first, second = read_models(file, Path("/here"))
    assert (first.base_path, second.base_path) == (Path("/elsewhere/a"), Path("/here/b"))
    assert (first.labels, second.labels) == ({}, {"stable": 3})
    assert first.policy.choose({1, 2}) == {1, 2}
    assert second.policy.choose({2, 3}) == {3}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "names no model"),
        ("model_config_list { config { name: 'a' } }", "needs a name and a base_path"),
        ("model_config_list { nonsense }", "nonsense"),
        ("model_config_list { config { name: 'a' base_path: '/a' model_platform: 'jax' } }", "platform jax"),
        ("model_config_list { config { name: 'a' base_path: '/a' } }", "Illegal setting neither"),
        (f"model_config_list {{ config {{ {ENTRY.replace('/a', 'a')} }} }}", "absolute path"),
        (f"model_config_list {{ config {{ {ENTRY} }} config {{ {ENTRY} }} }}", "model a multiple times"),
    ],
)
def test_a_models_file_that_cannot_be_used_is_refused_in_one_line(tmp_path, text, reason):
    file = tmp_path / "models.config"
    file.write_text(text)
    with pytest.raises(ConfigError, match=reason) as caught:
        read_models(file, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "max_batch_size { value: 0 }",
        "allowed_batch_sizes: 4",
        "max_batch_size: 3",
        "max_batch_size { value: 8 } enable_large_batch_splitting { value: true } allowed_batch_sizes: 4",
        "max_batch_size { value: 8 } enable_large_batch_splitting { value: true } "
        "max_execution_batch_size { value: 9 }",
    ],
)
def test_a_batching_file_that_cannot_be_used_is_refused(tmp_path, text):
    file = tmp_path / "batching.config"
    file.write_text(text)
    with pytest.raises(ConfigError):
        read_batching(file)


def test_the_shipped_monitoring_file_names_the_page_and_a_disabled_one_has_none(tmp_path):
    assert read_monitoring(SHIPPED / "monitoring.config") == "/monitoring/prometheus/metrics"
    file = tmp_path / "monitoring.config"
    file.write_text('prometheus_config { path: "/metrics" }')
    assert read_monitoring(file) is None
    file.write_text('prometheus_config { enable: true path: "metrics" }')
    with pytest.raises(ConfigError, match="must begin with a slash"):
        read_monitoring(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="nothing.config: No such file"):
        read_batching(tmp_path / "nothing.config")


def test_channel_arguments_are_numbers_where_they_can_be():
    assert channel_arguments("grpc.max_receive_message_length=-1,grpc.lb=round") == (
        ("grpc.max_receive_message_length", -1),
        ("grpc.lb", "round"),
    )
    assert channel_arguments("") == ()
