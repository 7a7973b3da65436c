"""The client of TF Serving against servers that do right and servers that do not."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

from metseg.errors import (
    ServingContractError,
    ServingError,
    ServingExhaustedError,
    ServingInternalError,
    ServingTimeoutError,
    ServingUnavailableError,
    UnknownModelError,
)
from metseg.serving.client import ServingClient
from metseg.serving.proto import serving_wire_pb2 as wire

SHAPE = (2, 256, 256, 1)


class FakeServing:
    """A gRPC server whose Predict is a function of the test."""

    def __init__(self) -> None:
        self.predict: Callable[[wire.PredictRequest, grpc.ServicerContext], wire.PredictResponse] = answer
        self.started = 0
        self.cancelled = threading.Event()
        self.pool = ThreadPoolExecutor(8)
        self.server = grpc.server(self.pool, options=[("grpc.max_receive_message_length", -1)])
        handler = grpc.unary_unary_rpc_method_handler(
            self._predict,
            request_deserializer=wire.PredictRequest.FromString,
            response_serializer=wire.PredictResponse.SerializeToString,
        )
        service = "tensorflow.serving.PredictionService"
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"Predict": handler})])
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def _predict(self, request, context):
        self.started += 1
        context.add_callback(lambda: context.code() or self.cancelled.set())
        return self.predict(request, context)

    def stop(self) -> None:
        self.server.stop(None).wait()
        self.pool.shutdown()


def reply(values: np.ndarray, request: wire.PredictRequest, *, typed: bool = False) -> wire.PredictResponse:
    dims = [wire.TensorShape.Dim(size=size) for size in values.shape]
    tensor = wire.Tensor(dtype=wire.DT_FLOAT, tensor_shape=wire.TensorShape(dim=dims))
    if typed:
        tensor.float_val.extend(values.ravel().tolist())
    else:
        tensor.tensor_content = values.astype("<f4").tobytes()
    return wire.PredictResponse(outputs={"probability": tensor}, model_spec=request.model_spec)


def answer(request, context, *, typed=False):
    """The first channel over 255, as TF Serving would send it."""
    return reply(pixels(request)[..., :1] / np.float32(255), request, typed=typed)


def pixels(request: wire.PredictRequest) -> np.ndarray:
    tensor = request.inputs["slices"]
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    return np.frombuffer(tensor.tensor_content, np.uint8).reshape(shape)


@pytest.fixture
def fake() -> Iterator[FakeServing]:
    server = FakeServing()
    yield server
    server.stop()


@pytest.fixture
def client(fake: FakeServing) -> Iterator[ServingClient]:
    with ServingClient(f"127.0.0.1:{fake.port}", timeout_s=20) as connected:
        yield connected


def slices(count: int = 2, value: int = 51) -> np.ndarray:
    return np.full((count, 256, 256, 3), value, np.uint8)


@pytest.mark.parametrize("typed", [False, True])
def test_both_forms_of_an_answer_are_read(fake, client, typed):
    fake.predict = lambda request, context: answer(request, context, typed=typed)
    probability = client.predict("net", 3, slices())
    assert (probability.dtype, probability.shape) == (np.float32, SHAPE)
    assert np.all(probability == np.float32(51) / np.float32(255))


def test_slices_that_are_a_view_arrive_as_they_look(fake, client):
    stack = np.random.default_rng(1).integers(0, 256, (256, 256, 3, 2), dtype=np.uint8)
    view = np.moveaxis(stack, -1, 0)
    np.testing.assert_array_equal(client.predict("net", 3, view), view[..., :1] / np.float32(255))


def test_a_batch_far_over_four_mebibytes_goes_through(client):
    assert client.predict("net", 3, slices(40)).shape == (40, 256, 256, 1)


def wrong(request, **changes):
    """A right answer, with one thing about it changed."""
    values = np.full(changes.pop("shape", SHAPE), changes.pop("value", 0.5), np.float32)
    response = reply(values, request)
    if "dtype" in changes:
        response.outputs["probability"].dtype = changes["dtype"]
    if "name" in changes:
        response.model_spec.name = changes["name"]
    if "version" in changes:
        response.model_spec.version.value = changes["version"]
    if "output" in changes:
        response.outputs[changes["output"]].CopyFrom(response.outputs.pop("probability"))
    if "content" in changes:
        response.outputs["probability"].tensor_content = changes["content"]
    return response


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"name": "other"}, "model other answered"),
        ({"version": 4}, "version 4 of model net answered"),
        ({"output": "mask"}, "has no probability"),
        ({"dtype": wire.DT_UINT8}, "of type 4"),
        ({"shape": (1, 256, 256, 1)}, "shape \\(1, 256, 256, 1\\)"),
        ({"shape": (2, 256, 256)}, "shape \\(2, 256, 256\\)"),
        ({"content": b"123"}, "breaks off"),
        ({"content": b"1234"}, "has 1 values"),
        ({"content": b""}, "has 0 values"),
        ({"value": np.nan}, "not within 0 and 1"),
        ({"value": np.inf}, "not within 0 and 1"),
        ({"value": -0.001}, "not within 0 and 1"),
        ({"value": 1.001}, "not within 0 and 1"),
    ],
)
def test_an_answer_that_breaks_the_contract_is_refused(fake, client, changes, text):
    fake.predict = lambda request, context: wrong(request, **changes)
    with pytest.raises(ServingContractError, match=text):
        client.predict("net", 3, slices())


def test_exactly_zero_and_one_are_probabilities(fake, client):
    for value in (0.0, 1.0):
        fake.predict = lambda request, context, value=value: wrong(request, value=value)
        assert client.predict("net", 3, slices()).max() == value


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (grpc.StatusCode.UNAVAILABLE, ServingUnavailableError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, ServingTimeoutError),
        (grpc.StatusCode.NOT_FOUND, UnknownModelError),
        (grpc.StatusCode.CANCELLED, ServingUnavailableError),
        (grpc.StatusCode.INVALID_ARGUMENT, ServingError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ServingExhaustedError),
        (grpc.StatusCode.INTERNAL, ServingInternalError),
        (grpc.StatusCode.ABORTED, ServingInternalError),
    ],
)
def test_a_status_becomes_its_error_and_the_servers_words_stay_in_the_log(fake, client, caplog, status, error):
    fake.predict = lambda request, context: context.abort(status, "because")
    with pytest.raises(error) as caught:
        client.predict("net", 3, slices())
    assert type(caught.value) is error
    assert "because" not in str(caught.value)
    if error is ServingError:
        assert status.name in str(caught.value)
        assert caplog.records[-1].grpc_details == "because"


def test_a_server_that_is_not_there_is_unavailable():
    with grpc.insecure_channel("127.0.0.1:1"), ServingClient("127.0.0.1:1") as client:
        with pytest.raises(ServingUnavailableError):
            client.available_versions("net")
        with pytest.raises(ServingUnavailableError):
            client.predict("net", 1, slices())


def test_an_answer_that_does_not_come_in_time_is_a_timeout(fake):
    gate = threading.Event()
    fake.predict = lambda request, context: gate.wait(10) and answer(request, context)
    with ServingClient(f"127.0.0.1:{fake.port}", timeout_s=0.3) as client, pytest.raises(ServingTimeoutError):
        client.predict("net", 3, slices())
    gate.set()


def test_closing_the_client_ends_a_call_under_way(fake, client):
    gate, under_way = threading.Event(), threading.Event()

    def hold(request, context):
        under_way.set()
        gate.wait(10)
        return answer(request, context)

    fake.predict = hold
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.predict, "net", 3, slices())
        assert under_way.wait(10)
        client.close()
        with pytest.raises(ServingUnavailableError):
            call.result(10)
        gate.set()


@pytest.mark.parametrize("array", [slices()[0], slices().astype(np.float32), slices()[:0], slices()[..., :1]])
def test_wrong_slices_are_not_even_sent(fake, client, array):
    with pytest.raises(ValueError, match="slices must be"):
        client.predict("net", 3, array)
    assert fake.started == 0


def test_batches_come_back_in_order_though_answered_out_of_order(fake, client):
    delays = iter([0.3, 0.0, 0.1, 0.0, 0.2, 0.0])

    def slowly(request, context):
        threading.Event().wait(next(delays))
        return answer(request, context)

    fake.predict = slowly
    results = client.predict_many("net", 3, (slices(1, 10 * i) for i in range(6)), in_flight=4)
    assert [round(float(result[0, 0, 0, 0]) * 255) for result in results] == [0, 10, 20, 30, 40, 50]


def test_only_so_many_batches_are_taken_ahead(client):
    taken: list[int] = []

    def batches():
        for i in range(10):
            taken.append(i)
            yield slices(1, i)

    results = client.predict_many("net", 3, batches(), in_flight=3)
    assert taken == []
    for received in range(1, 8):
        next(results)
        assert len(taken) == received + 2
    results.close()
    assert len(taken) == 9


def test_several_calls_are_under_way_at_once(fake, client):
    together = threading.Barrier(3)

    def meet(request, context):
        together.wait(10)
        return answer(request, context)

    fake.predict = meet
    assert len(list(client.predict_many("net", 3, (slices(1) for _ in range(3)), in_flight=3))) == 3


@pytest.mark.parametrize("how", ["closed", "failed"])
def test_whoever_stops_early_cancels_what_is_under_way(fake, client, how):
    gate, held = threading.Event(), threading.Event()

    def hold_all_but_the_first(request, context):
        if pixels(request)[0, 0, 0, 0]:
            held.set()
            gate.wait(10)
            return answer(request, context)
        held.wait(10)  # what has not arrived yet cannot be cancelled here
        if how == "failed":
            context.abort(grpc.StatusCode.INTERNAL, "no")
        return answer(request, context)

    fake.predict = hold_all_but_the_first
    results = client.predict_many("net", 3, (slices(1, i) for i in range(9)), in_flight=3)
    if how == "closed":
        next(results)
        results.close()
    else:
        with pytest.raises(ServingError):
            next(results)
    assert fake.cancelled.wait(10)
    gate.set()


def test_an_error_of_who_makes_the_batches_comes_through(client):
    def batches():
        yield slices(1)
        raise LookupError("no more")

    with pytest.raises(LookupError):
        list(client.predict_many("net", 3, batches()))


def test_at_least_one_call_must_be_allowed(client):
    with pytest.raises(ValueError, match="in_flight"):
        client.predict_many("net", 3, [], in_flight=0)


def test_no_batches_give_no_answers(client):
    assert list(client.predict_many("net", 3, [])) == []
