"""One loaded version of a model: a TensorFlow session on its graph, which is how the real server runs it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from metseg_serving import tensors
from metseg_serving.refusal import CODES, Refusal, invalid

Array = NDArray[Any]

WARMUP_FILE: Final = Path("assets.extra") / "tf_serving_warmup_requests"
MAX_WARMUP_RECORDS: Final = 1000
_STACK_TRACE: Final = "\n\nOriginal stack trace"


@dataclass(frozen=True)
class TensorSpec:
    """What a signature says about one tensor.

    Args:
        name: The tensor in the graph.
        dtype: A TensorFlow DataType number.
        shape: Sizes, -1 for any; None for any rank.
    """

    name: str
    dtype: int
    shape: tuple[int, ...] | None

    def check(self, alias: str, position: int, array: Array) -> None:
        """Make sure that an array may be fed here.

        The graph itself would answer a wrong shape with an error of whatever operation meets it first, and
        some CPU kernels end the process; so it is refused before.

        Raises:
            Refusal: Of another type or shape.
        """
        given = tensors.data_type(array)
        if given != self.dtype:
            names = tensors.type_name(self.dtype), tensors.type_name(given)
            raise invalid(f"Expects arg[{position}] to be {names[0]} but {names[1]} is provided")
        if self.shape is not None and not _fits(array.shape, self.shape):
            raise invalid(
                f"Input {alias} must have shape {_text(self.shape)} but {_text(array.shape)} is provided"
            )


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs of one way to call a model."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]

    def check(self, inputs: Mapping[str, Array]) -> None:
        """Make sure that these are the inputs.

        Raises:
            Refusal: One is missing or not known, or of another type or shape.
        """
        if set(inputs) != set(self.inputs):
            given, wanted = ("{" + ",".join(sorted(names)) + "}" for names in (inputs, self.inputs))
            extra, missing = ("{" + ",".join(sorted(names)) + "}" for names in _differences(inputs, self.inputs))
            raise invalid(
                f"input size does not match signature: {len(inputs)}!={len(self.inputs)} len({given}) != "
                f"len({wanted}). Sent extra: {extra}. Missing but required: {missing}."
            )
        tensors.count_rows(inputs)
        for position, (alias, spec) in enumerate(sorted(self.inputs.items())):
            spec.check(alias, position, inputs[alias])


class Servable:
    """A SavedModel in memory."""

    def __init__(self, session: Any, definitions: Mapping[str, Any]) -> None:  # TensorFlow's own
        self.definitions = definitions
        self.signatures = {name: _signature(definition) for name, definition in definitions.items()}
        self._session = session
        self._callables: dict[tuple[str, tuple[str, ...]], Callable[..., list[Array]]] = {}

    @classmethod
    def load(
        cls, folder: Path, *, intra_op_threads: int = 0, inter_op_threads: int = 0, warms_up: bool = True
    ) -> Self:
        """Load a version and warm it up.

        Args:
            folder: A version folder, a SavedModel.
            intra_op_threads: Threads within an operation; 0 is one a core.
            inter_op_threads: Operations at the same time; 0 is one a core.
            warms_up: Whether the requests that lie with the version are replayed.

        Raises:
            Exception: Whatever TensorFlow raises for a damaged SavedModel.
        """
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=intra_op_threads, inter_op_parallelism_threads=inter_op_threads
        )
        graph = tf.Graph()
        with graph.as_default():
            session = tf.compat.v1.Session(graph=graph, config=config)
            meta_graph = tf.compat.v1.saved_model.load(session, [tf.saved_model.SERVING], str(folder))
        graph.finalize()
        servable = cls(session, dict(meta_graph.signature_def))
        if warms_up:
            servable.warm_up(folder / WARMUP_FILE)
        return servable

    def run(self, signature: str, inputs: Mapping[str, Array], outputs: tuple[str, ...]) -> dict[str, Array]:
        """Run the graph once.

        Raises:
            Refusal: With the status and text of TensorFlow's error.
        """
        call = self._callables.get((signature, outputs))
        chosen = self.signatures[signature]
        if call is None:
            fetches = [chosen.outputs[alias].name for alias in outputs]
            feeds = [spec.name for _, spec in sorted(chosen.inputs.items())]
            call = self._callables[signature, outputs] = self._session.make_callable(fetches, feeds)
        try:
            results = call(*(inputs[alias] for alias in sorted(chosen.inputs)))
        except tf.errors.OpError as exc:
            raise Refusal(CODES[exc.error_code], exc.message.partition(_STACK_TRACE)[0]) from exc
        return {alias: np.asarray(result) for alias, result in zip(outputs, results, strict=True)}

    def warm_up(self, file: Path) -> None:
        """Replay recorded requests; a model without a file of them is served cold.

        Raises:
            Refusal: A record cannot be answered.
        """
        if not file.is_file():
            return
        for count, record in enumerate(tf.data.TFRecordDataset(str(file)).as_numpy_iterator(), 1):
            if count > MAX_WARMUP_RECORDS:
                raise invalid(f"Number of warmup records exceeds the maximum ({MAX_WARMUP_RECORDS}) at {file}")
            request = PredictionLog.FromString(record).predict_log.request
            name = request.model_spec.signature_name or tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
            inputs = {alias: tensors.decode(alias, tensor) for alias, tensor in request.inputs.items()}
            self.signatures[name].check(inputs)
            self.run(name, inputs, tuple(sorted(self.signatures[name].outputs)))

    def close(self) -> None:
        """Give the memory back; no call may be under way."""
        self._callables.clear()
        self._session.close()


def _signature(definition: Any) -> Signature:  # a SignatureDef
    return Signature(
        {alias: _spec(info) for alias, info in definition.inputs.items()},
        {alias: _spec(info) for alias, info in definition.outputs.items()},
    )


def _differences(given: Iterable[str], wanted: Iterable[str]) -> tuple[set[str], set[str]]:
    return set(given) - set(wanted), set(wanted) - set(given)


def _spec(info: Any) -> TensorSpec:  # a TensorInfo
    shape = info.tensor_shape
    sizes = None if shape.unknown_rank else tuple(int(dim.size) for dim in shape.dim)
    return TensorSpec(info.name, int(info.dtype), sizes)


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        size in (-1, given) for given, size in zip(shape, wanted, strict=True)
    )


def _text(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"
