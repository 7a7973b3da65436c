"""A run's figures as TensorBoard reads them, where the backend is TensorFlow; TensorBoard itself is not needed."""

from collections.abc import Mapping
from pathlib import Path

import keras


def write_events(folder: Path, figures: Mapping[str, float]) -> None:
    """Add one epoch to the event files of a folder; does nothing under another backend than TensorFlow.

    Args:
        folder: What `tensorboard --logdir` is given; made if missing.
        figures: One row of the log; its `epoch` becomes the step.
    """
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    metadata = tf.compat.v1.SummaryMetadata(
        plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
    )
    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default(step=int(figures["epoch"])):
        for name, value in figures.items():
            if name != "epoch":
                tf.summary.write(name, tf.constant(value, tf.float32), metadata=metadata)
    writer.close()
