"""The import of Keras with its backend, which takes seconds and on a host without a GPU fills the screen."""

import logging
import os

from metseg.logs import without_tensorflow_noise


def load_keras() -> None:
    """Import Keras and let its backend look for devices; to be called before anything else imports it.

    `TF_CPP_MIN_LOG_LEVEL=0` shows all that TensorFlow has to say. By default it says nothing: what goes wrong is
    raised.
    """
    with without_tensorflow_noise():
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import keras

        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            tf.config.list_physical_devices()
    for name in ("absl", "tensorflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
