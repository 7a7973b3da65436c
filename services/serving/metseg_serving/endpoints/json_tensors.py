"""JSON to arrays and back, in the row form (`instances`) and the column form (`inputs`)."""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from metseg_serving import tensors
from metseg_serving.models.servable import Signature, TensorSpec
from metseg_serving.refusal import invalid

Arrays = dict[str, NDArray[Any]]

_SHOWN_CHARACTERS: Final = 256
_KINDS: Final[dict[type, str]] = {
    type(None): "Null",
    dict: "Object",
    list: "Array",
    str: "String",
    int: "Number",
    float: "Number",
}


def parse(body: bytes) -> dict[str, Any]:
    """The object of a request's body.

    Raises:
        Refusal: It is no JSON object, or its `signature_name` is no text.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise invalid(f"JSON Parse error: {exc}") from exc
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {_shown(document)} Is not object")
    if not isinstance(document.get("signature_name", ""), str):
        raise invalid(
            f"JSON Value: {_shown(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return document


def read_inputs(document: Mapping[str, Any], signature: Signature) -> tuple[Arrays, bool]:
    """Arrays of a request, in the types of the signature, and whether they came in row form.

    Raises:
        Refusal: The values do not make arrays of those types.
    """
    if "instances" in document and "inputs" in document:
        raise invalid(
            f"JSON Value: {_shown(document)} Not formatted correctly expecting only one of 'inputs' or "
            "'instances' keys to exist "
        )
    if "instances" in document:
        instances = document["instances"]
        if not isinstance(instances, list):
            raise invalid(f"JSON Value: {_shown(document)} Expecting 'instances' to be an list/array")
        if not instances:
            raise invalid(f"JSON Value: {_shown(document)} No values in 'instances' array")
        return _rows(instances, signature.inputs), True
    if "inputs" in document:
        return _columns(document["inputs"], signature.inputs), False
    raise invalid("Missing 'inputs' or 'instances' key")


def write_outputs(outputs: Mapping[str, NDArray[Any]], *, row_form: bool) -> bytes:
    """The body of an answer in the form of its request; a single output stands without its name."""
    if not row_form:
        lists = {name: _plain(array) for name, array in outputs.items()}
        return _dump({"outputs": lists if len(lists) > 1 else next(iter(lists.values()))})
    if len({array.shape[0] for array in outputs.values()}) > 1:
        raise invalid("Tensor name has inconsistent batch size")
    if len(outputs) == 1:
        return _dump({"predictions": _plain(next(iter(outputs.values())))})
    columns = {name: _plain(array) for name, array in outputs.items()}
    rows = zip(*columns.values(), strict=True)
    return _dump({"predictions": [dict(zip(columns, row, strict=True)) for row in rows]})


def _dump(answer: Mapping[str, Any]) -> bytes:
    return json.dumps(answer).encode()


def _plain(array: NDArray[Any]) -> Any:
    """Nested lists, with bytes in base64."""
    if array.dtype == object:
        encoded = [{"b64": base64.b64encode(value).decode()} for value in array.ravel()]
        array = np.array(encoded, dtype=object).reshape(array.shape)
    return array.tolist()


def _rows(instances: list[Any], specs: Mapping[str, TensorSpec]) -> Arrays:
    named = _is_named(instances[0])
    if not named and len(specs) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    columns: dict[str, list[Any]] = {alias: [] for alias in specs}
    for position, item in enumerate(instances):
        if _is_named(item) != named:
            expected, got = ("object", "list") if named else ("value/list", "object")
            raise invalid(f"Expecting {expected} but got {got} at item {position} of input list")
        given = item if named else {next(iter(specs)): item}
        if set(given) != set(specs):
            raise invalid(
                f"Failed to process element: {position} of 'instances' list. JSON object: {_shown(item)} "
                f"keys must be equal to: {','.join(sorted(specs))}"
            )
        for alias, value in given.items():
            columns[alias].append(value)
    return {alias: _array(values, specs[alias]) for alias, values in columns.items()}


def _columns(inputs: Any, specs: Mapping[str, TensorSpec]) -> Arrays:
    if not _is_named(inputs):
        if len(specs) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        inputs = {next(iter(specs)): inputs}
    for alias in specs:
        if alias not in inputs:
            raise invalid(f"Missing named input: {alias} in 'inputs' object.")
    return {alias: _array(inputs[alias], spec) for alias, spec in specs.items()}


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str)


def _array(value: Any, spec: TensorSpec) -> NDArray[Any]:
    """The array of nested lists, every value made one of the signature's type."""
    shape = []
    level = value
    while isinstance(level, list):
        shape.append(len(level))
        level = level[0] if level else None
    dtype = tf.as_dtype(spec.dtype)
    values: list[Any] = []
    _flatten(value, tuple(shape), 0, _converter(dtype), values)
    if dtype.is_integer:
        return np.array(values, dtype=np.int64).astype(dtype.as_numpy_dtype).reshape(shape)
    return np.array(values, dtype=dtype.as_numpy_dtype).reshape(shape)


def _flatten(
    value: Any, shape: tuple[int, ...], level: int, convert: Callable[[Any], Any], values: list[Any]
) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {_shown(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}"
            )
        values.append(convert(value))
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for item in value:
        _flatten(item, shape, level + 1, convert, values)


def _converter(dtype: Any) -> Callable[[Any], Any]:
    """What makes a JSON value one of a type, or refuses it."""
    allowed: tuple[type, ...]
    if dtype.is_floating:
        allowed = (int, float)
    elif dtype.is_integer:
        allowed = (int,)
    else:
        allowed = {tf.bool: (bool,), tf.string: (str, dict)}.get(dtype, ())

    def convert(value: Any) -> Any:
        if type(value) not in allowed or (type(value) is int and not -(2**63) <= value < 2**63):
            kind = str(value) if isinstance(value, bool) else _KINDS[type(value)]
            raise invalid(
                f"JSON Value: {_shown(value)} Type: {kind} is not of expected type: "
                f"{tensors.type_name(dtype.as_datatype_enum)}"
            )
        return _bytes(value) if isinstance(value, dict) else value

    return convert


def _bytes(value: dict[str, Any]) -> bytes:
    if not _is_base64(value):
        raise invalid(f"JSON Value: {_shown(value)} not formatted correctly for base64 data")
    try:
        return base64.b64decode(value["b64"], validate=True)
    except binascii.Error as exc:
        raise invalid("Unable to base64 decode") from exc


def _shown(value: Any) -> str:
    return json.dumps(value)[:_SHOWN_CHARACTERS]
