"""The one way in which a request is turned down, with the status TF Serving would give."""

import grpc


class Refusal(Exception):
    """A request, or a version, that cannot be served.

    Args:
        code: Status of gRPC; the REST side translates it.
        message: Text for the client, worded as the real server words it where that is known.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def number(self) -> int:
        """The status as the number that travels."""
        number: int = self.code.value[0]
        return number


CODES = {int(code.value[0]): code for code in grpc.StatusCode}


def invalid(message: str) -> Refusal:
    """A request whose content is wrong."""
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> Refusal:
    """A request for what is not there."""
    return Refusal(grpc.StatusCode.NOT_FOUND, message)
