"""The import of Keras with its backend, which takes seconds and on a host without a GPU fills the screen."""

import logging
import os

from metseg.logs import without_tensorflow_noise


def load_keras() -> None:
    """Import Keras and let its backend look for devices; to be called before anything else imports it.

    `TF_CPP_MIN_LOG_LEVEL=0` shows all that TensorFlow has to say. By default it reports errors on a host with a
    GPU, and else of nothing: what goes wrong there is raised.
    """
    with without_tensorflow_noise() as is_quiet:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3" if is_quiet else "2")
        import keras

        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            tf.config.list_physical_devices()
    for name in ("absl", "tensorflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
