"""Arrays on the wire, read back by TensorFlow itself."""

import numpy as np
import pytest
import tensorflow as tf

from metseg_serving import tensors
from metseg_serving.refusal import Refusal

TYPES = "float16 float32 float64 bfloat16 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool complex64".split()


@pytest.mark.parametrize("as_content", [True, False])
@pytest.mark.parametrize("name", TYPES)
def test_both_forms_of_every_type_are_read_back_by_tensorflow(name, as_content):
    array = np.arange(-150, 150).reshape(2, 3, 50).astype(tf.as_dtype(name).as_numpy_dtype)
    tensor = tensors.encode(array, as_content=as_content)
    assert bool(tensor.tensor_content) == as_content
    np.testing.assert_array_equal(tf.make_ndarray(tensor), array)
    np.testing.assert_array_equal(tensors.decode("x", tensor), array)


def test_scalars_and_text_travel():
    assert tf.make_ndarray(tensors.encode(np.array(2.5, np.float32), as_content=False)) == np.float32(2.5)
    text = np.array([b"a", b"bc"], dtype=object)
    assert tensors.decode("x", tensors.encode(text, as_content=True)).tolist() == [b"a", b"bc"]


def test_one_value_that_stands_for_all_is_spread():
    tensor = tf.make_tensor_proto(np.uint8(7))
    tensor.tensor_shape.CopyFrom(tf.TensorShape([2, 3]).as_proto())
    assert tensors.decode("x", tensor).tolist() == [[7, 7, 7], [7, 7, 7]]


@pytest.mark.parametrize("shape", [(3,), (-1,), (2, 3)])
def test_values_that_do_not_fill_a_shape_are_refused(shape):
    tensor = tensors.encode(np.zeros(4, np.uint8), as_content=True)
    tensor.tensor_shape.Clear()
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    with pytest.raises(Refusal, match="tensor parsing error: x"):
        tensors.decode("x", tensor)
