"""What the two ports offer, without their wire: predict, status and metadata on TensorFlow Serving's messages."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import grpc
from numpy.typing import NDArray
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataResponse, SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusResponse

from metseg_serving.models.library import ServedModels
from metseg_serving.models.servable import Signature
from metseg_serving.models.versions import ModelSpec, State, Version
from metseg_serving.refusal import Refusal, invalid, not_found

DEFAULT_SIGNATURE: Final = "serving_default"
SIGNATURE_FIELD: Final = "signature_def"


def find_signature(version: Version, name: str) -> Signature:
    """A way to call a model.

    Raises:
        Refusal: The model has none of that name.
    """
    signature = version.servable.signatures.get(name)
    if signature is None or not signature.inputs:
        raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    return signature


def choose_outputs(signature: Signature, wanted: Sequence[str]) -> tuple[str, ...]:
    """The outputs to compute: those that were asked for, else all.

    Raises:
        Refusal: One is not known or stands there twice.
    """
    for alias in wanted:
        if alias not in signature.outputs:
            known = ",".join(sorted(signature.outputs))
            raise invalid(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {{{known}}}."
            )
        if wanted.count(alias) > 1:
            raise invalid(f"duplicate output tensor alias: {alias}")
    return tuple(wanted) or tuple(sorted(signature.outputs))


async def predict(
    version: Version, signature_name: str, inputs: Mapping[str, NDArray[Any]], wanted: Sequence[str] = ()
) -> dict[str, NDArray[Any]]:
    """Outputs of a version that is held, computed together with whatever else waits for it.

    Raises:
        Refusal: The request does not fit the signature, or the network failed.
    """
    signature = find_signature(version, signature_name)
    signature.check(inputs)
    return await version.batcher.submit(signature_name, inputs, choose_outputs(signature, wanted))


def model_status(models: ServedModels, spec: ModelSpec) -> Any:  # a GetModelStatusResponse
    """States of one or of all versions of a model.

    Raises:
        Refusal: The model or the version was never seen.
    """
    versions = models.versions(spec.name)
    if spec.version is not None:
        versions = [version for version in versions if version.number == spec.version]
        if not versions:
            raise not_found(f"Could not find version {spec.version} of model {spec.name}")
    if not versions:
        raise not_found(f"Could not find any versions of model {spec.name}")
    response = GetModelStatusResponse()
    for version in versions:
        entry = response.model_version_status.add(version=version.number, state=int(version.state))
        entry.status.error_code = 0
        if version.failure is not None and version.state is State.END:  # while it is retried, nothing is said
            entry.status.error_code = version.failure.number
            entry.status.error_message = version.failure.message
    return response


def model_metadata(models: ServedModels, spec: ModelSpec, fields: Sequence[str]) -> Any:
    """A GetModelMetadataResponse with the signatures of a model.

    Raises:
        Refusal: No such version is available, or another field than its signatures is asked for.
    """
    if not fields:
        raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
    for name in fields:
        if name != SIGNATURE_FIELD:
            raise invalid(f"Metadata field {name} is not supported")
    with models.hold(spec) as version:
        response = GetModelMetadataResponse()
        response.model_spec.name = version.model
        response.model_spec.version.value = version.number
        response.metadata[SIGNATURE_FIELD].Pack(SignatureDefMap(signature_def=version.servable.definitions))
    return response
