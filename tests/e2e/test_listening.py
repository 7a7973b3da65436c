import psutil
import pytest
from live_stack import LiveStack

pytestmark = [pytest.mark.stack, pytest.mark.slow]


def test_nothing_listens_beyond_loopback(stack: LiveStack) -> None:
    listening = {
        connection.laddr.ip.removeprefix("::ffff:")
        for process in stack.processes()
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening
    assert listening <= {"127.0.0.1", "::1"}
