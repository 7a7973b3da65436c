"""metseg's own messages against those of tensorflow-serving-api, and their generated code against its source."""

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor import FieldDescriptor
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    status_pb2,
)
from tensorflow_serving.config import file_system_storage_path_source_pb2, model_server_config_pb2

from metseg.serving.proto import serving_wire_pb2 as wire

ROOT = Path(__file__).parents[2]
ORIGINALS = {
    "TensorShape": tensor_shape_pb2.TensorShapeProto,
    "Tensor": tensor_pb2.TensorProto,
    "ModelSpec": model_pb2.ModelSpec,
    "PredictRequest": predict_pb2.PredictRequest,
    "PredictResponse": predict_pb2.PredictResponse,
    "GetModelMetadataRequest": get_model_metadata_pb2.GetModelMetadataRequest,
    "GetModelMetadataResponse": get_model_metadata_pb2.GetModelMetadataResponse,
    "SignatureDefMap": get_model_metadata_pb2.SignatureDefMap,
    "SignatureDef": meta_graph_pb2.SignatureDef,
    "TensorInfo": meta_graph_pb2.TensorInfo,
    "GetModelStatusRequest": get_model_status_pb2.GetModelStatusRequest,
    "GetModelStatusResponse": get_model_status_pb2.GetModelStatusResponse,
    "ModelVersionStatus": get_model_status_pb2.ModelVersionStatus,
    "Status": status_pb2.StatusProto,
    "ReloadConfigRequest": model_management_pb2.ReloadConfigRequest,
    "ReloadConfigResponse": model_management_pb2.ReloadConfigResponse,
    "ModelServerConfig": model_server_config_pb2.ModelServerConfig,
    "ModelConfigList": model_server_config_pb2.ModelConfigList,
    "ModelConfig": model_server_config_pb2.ModelConfig,
    "ServableVersionPolicy": (
        file_system_storage_path_source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy
    ),
}
GENERATED = [
    ("shared", "metseg/serving/proto/serving_wire"),
    ("services/serving", "metseg_serving/proto/batching_parameters"),
    ("services/serving", "metseg_serving/proto/monitoring_config"),
]


def cardinality(field: FieldDescriptor) -> tuple[bool, bool, str | None]:
    return field.is_repeated, field.is_packed, field.containing_oneof and field.containing_oneof.name


def differences(own, original, path):
    """Everything in which a field of ours would be read differently on the other side."""
    for field in own.fields:
        place = f"{path}.{field.name}"
        other = original.fields_by_number.get(field.number)
        if other is None:
            yield f"{place}: no field has number {field.number}"
            continue
        if (other.name, other.type) != (field.name, field.type):
            yield f"{place}: is {other.name} of type {other.type}"
        if cardinality(other) != cardinality(field):
            yield f"{place}: {cardinality(other)} is not {cardinality(field)}"
        if field.enum_type and other.enum_type:
            numbers = {value.name: value.number for value in other.enum_type.values}
            for value in field.enum_type.values:
                if numbers.get(value.name) != value.number:
                    yield f"{place}: {value.name} is {numbers.get(value.name)}, not {value.number}"
        if field.message_type and other.message_type:
            yield from different_messages(field.message_type, other.message_type, place)


def different_messages(own, original, place):
    known = ORIGINALS.get(own.name)
    if own.file.package != wire.DESCRIPTOR.package:
        if own.full_name != original.full_name:
            yield f"{place}: {original.full_name} is not {own.full_name}"
    elif own.GetOptions().map_entry or own.containing_type:
        yield from differences(own, original, place)
    elif known is None or known.DESCRIPTOR is not original:
        yield f"{place}: holds {original.full_name}"


@pytest.mark.parametrize("name", ORIGINALS)
def test_every_field_has_the_number_type_and_cardinality_of_the_original(name):
    own = wire.DESCRIPTOR.message_types_by_name[name]
    assert list(differences(own, ORIGINALS[name].DESCRIPTOR, name)) == []


def test_every_message_is_compared():
    assert set(ORIGINALS) == set(wire.DESCRIPTOR.message_types_by_name)
    assert wire.DT_UINT8 == types_pb2.DT_UINT8


def test_a_changed_number_or_type_is_found():
    own = wire.DESCRIPTOR.message_types_by_name["PredictResponse"]
    assert list(differences(own, predict_pb2.PredictRequest.DESCRIPTOR, "")) != []


@pytest.mark.parametrize(("folder", "name"), GENERATED)
def test_the_generated_code_is_that_of_the_proto_file(folder, name, tmp_path):
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", folder, f"{folder}/{name}.proto"]
    outputs = [f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"]
    subprocess.run([*command, *outputs], cwd=ROOT, check=True, timeout=60)
    for ending in ("_pb2.py", "_pb2.pyi"):
        fresh = (tmp_path / f"{name}{ending}").read_text()
        assert fresh == (ROOT / folder / f"{name}{ending}").read_text(), "run `make proto`"
