"""TensorProto to array and back, in both of its forms."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.framework.tensor_pb2 import TensorProto

from metseg_serving.refusal import invalid

Array = NDArray[Any]

# A packed field of floats is, on the wire, its tag, its length and the array's own bytes.
_PACKED_TAGS: Final = {"float32": b"\x2a", "float64": b"\x32"}
_FIELDS: Final = {
    **dict.fromkeys(("int8", "int16", "int32", "uint8", "uint16"), "int_val"),
    "int64": "int64_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "bool": "bool_val",
    "float16": "half_val",
    "bfloat16": "half_val",
}
_NAMES: Final = {"float32": "float", "float64": "double", "float16": "half"}


def data_type(array: Array) -> int:
    """TensorFlow's number for the type of an array."""
    return int(tf.as_dtype(array.dtype).as_datatype_enum)


def type_name(number: int) -> str:
    """TensorFlow's own word for a type: `float`, not `float32`."""
    name: str = tf.as_dtype(number).name
    return _NAMES.get(name, name)


def count_rows(inputs: Mapping[str, Array]) -> int:
    """Rows of a request: the first dimension of its inputs, on which they must agree.

    Raises:
        Refusal: They do not, or one has no dimension.
    """
    if not inputs or any(array.ndim == 0 for array in inputs.values()):
        raise invalid("Batching Run() input tensors must have at least one dimension")
    sizes = {array.shape[0] for array in inputs.values()}
    if len(sizes) > 1:
        raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
    return int(sizes.pop())


def decode(alias: str, tensor: Any) -> Array:  # a TensorProto
    """The array that a request carries.

    Raises:
        Refusal: The values do not make an array of that type and shape.
    """
    if any(dim.size < 0 for dim in tensor.tensor_shape.dim):
        raise invalid(f"tensor parsing error: {alias}")
    try:
        array: Array = tf.make_ndarray(tensor)
    except (TypeError, ValueError) as exc:
        raise invalid(f"tensor parsing error: {alias}") from exc
    return array


def encode(array: Array, *, as_content: bool) -> Any:  # a TensorProto
    """The array as it travels.

    Args:
        array: Of any type that TensorFlow knows.
        as_content: Its bytes in one piece; otherwise value after value in the field of its type.
    """
    dtype = tf.as_dtype(array.dtype)
    if not as_content and dtype.name not in _PACKED_TAGS and dtype.name not in _FIELDS or dtype == tf.string:
        return tf.make_tensor_proto(array)
    tensor = TensorProto(dtype=dtype.as_datatype_enum, tensor_shape=tf.TensorShape(array.shape).as_proto())
    if as_content:
        tensor.tensor_content = array.tobytes()
    elif dtype.name in _PACKED_TAGS:
        tensor.MergeFromString(_PACKED_TAGS[dtype.name] + _varint(array.nbytes) + array.tobytes())
    else:
        values = array.view(np.uint16) if _FIELDS[dtype.name] == "half_val" else array
        getattr(tensor, _FIELDS[dtype.name]).extend(values.ravel().tolist())
    return tensor


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])
