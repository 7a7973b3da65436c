import socket

import pytest

from deploy.local.ports import PortError, check_ports, free_port


def test_free_ports_pass() -> None:
    check_ports({"METSEG_API_PORT": free_port()})


def test_a_taken_port_names_the_variable_that_changes_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortError, match=f"Port {port} is taken .* METSEG_UI_PORT"):
            check_ports({"METSEG_UI_PORT": port})


def test_the_port_it_proposes_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(PortError) as caught:
            check_ports({"METSEG_UI_PORT": taken.getsockname()[1]})
    proposed = int(str(caught.value).rpartition("=")[2].rstrip("."))
    check_ports({"METSEG_UI_PORT": proposed})


def test_one_port_for_two_services_is_refused_with_both_names() -> None:
    port = free_port()
    with pytest.raises(PortError, match=f"METSEG_API_PORT and METSEG_UI_PORT both say {port}"):
        check_ports({"METSEG_API_PORT": port, "METSEG_UI_PORT": port})
