"""A reserved port belongs to us, and to whoever of ours listens on it."""

import socket

import pytest

from airclass.ingest.ports import BindAddress, Reservation, lan_address
from relay.base.errors import ConfigError


def test_any_port_is_found_kept_and_given_back() -> None:
    with Reservation({"A": "127.0.0.1:0", "B": "127.0.0.1:0"}) as ports:
        assert ports["A"].port != ports["B"].port
        assert ports["A"].bind == f"127.0.0.1:{ports['A'].port}"
        with socket.create_server(("127.0.0.1", ports["A"].port)) as child:
            with socket.create_connection(("127.0.0.1", ports["A"].port), timeout=5):
                child.accept()[0].close()
        # A restarted child finds it again.
        socket.create_server(("127.0.0.1", ports["A"].port)).close()
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", ports["A"].port))
    with socket.socket() as later:
        later.bind(("127.0.0.1", ports["B"].port))


def test_all_taken_ports_are_named_in_one_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("0.0.0.0", 0)) as two:
        binds = {
            "MASTER_BIND": f"127.0.0.1:{one.getsockname()[1]}",
            "RELAY_BIND": f"127.0.0.1:{two.getsockname()[1]}",
            "FREE": "127.0.0.1:0",
        }
        with pytest.raises(ConfigError) as caught:
            Reservation(binds)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["MASTER_BIND", "RELAY_BIND"]
    assert all("Address already in use" in problem for problem in caught.value.problems)


def test_a_foreign_address_is_named() -> None:
    with pytest.raises(ConfigError, match="192.0.2.7"):
        Reservation({"MASTER_BIND": "192.0.2.7:0"})


def test_addresses_for_us_and_for_others() -> None:
    here = BindAddress("127.0.0.1", 80)
    assert (here.bind, here.local, here.public) == ("127.0.0.1:80",) * 3
    everywhere = BindAddress("0.0.0.0", 80)
    assert everywhere.local == "127.0.0.1:80"
    assert everywhere.public == f"{lan_address()}:80"
    assert BindAddress("::1", 80).bind == "[::1]:80"


def test_ipv6_loopback_can_be_reserved() -> None:
    with Reservation({"A": "[::1]:0"}) as ports:
        assert ports["A"].local == f"[::1]:{ports['A'].port}"
