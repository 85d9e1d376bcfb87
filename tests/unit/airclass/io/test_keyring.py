"""Nodes' keys at rest, and what is sealed for each node."""

from __future__ import annotations

import pytest

from airclass.config import load_master
from airclass.domain.node_keys import NodeRecord
from airclass.io.keyring import Keyring, OrderSealer, open_keyring
from relay.base.errors import ClusterError
from relay.base.signing import unseal

OLD, NEW = b"o" * 32, b"n" * 32


def test_a_key_opens_with_the_secret_that_sealed_it_alone() -> None:
    sealed = Keyring(OLD).seal(b"key")
    assert "key" not in sealed
    assert Keyring(OLD).unseal(sealed) == b"key"
    with pytest.raises(ClusterError, match="JWT_SECRET_KEY was replaced") as caught:
        Keyring(NEW).unseal(sealed)
    assert caught.value.kind == "key-lost"


def test_while_the_secret_is_rotated_keys_are_sealed_with_the_new_one() -> None:
    old, both = Keyring(OLD), Keyring(NEW, OLD)
    lost = NodeRecord("lost", key=Keyring(b"x" * 32).seal(b"key"))
    (changed,) = both.resealed(
        [NodeRecord("n", key=old.seal(b"key")), NodeRecord("m", key=both.seal(b"key")), lost]
    )
    assert changed.node_id == "n"
    assert Keyring(NEW).unseal(changed.key) == b"key"


def test_the_settings_name_both_secrets() -> None:
    environ = {"JWT_SECRET_KEY": "n" * 32, "JWT_SECRET_KEY_PREVIOUS": "o" * 32, "CLUSTER_SECRET": "c" * 32}
    assert open_keyring(load_master(environ)).unseal(Keyring(OLD).seal(b"key")) == b"key"


def test_secrets_are_sealed_for_one_node_each() -> None:
    sealer = OrderSealer(b"bearer", (b"one", b"two"), b"")
    mine, theirs = sealer.sealed(OLD), sealer.sealed(NEW)
    assert sealer.sealed(OLD) is mine
    assert unseal(OLD, mine.bearer) == b"bearer"
    assert [unseal(NEW, key) for key in theirs.viewer_keys] == [b"one", b"two"]
    assert mine.viewer_jwks == ""
    with pytest.raises(ClusterError):
        unseal(OLD, theirs.bearer)
    public = OrderSealer(b"", (), b"{}").sealed(OLD)
    assert (public.bearer, public.viewer_keys, unseal(OLD, public.viewer_jwks)) == ("", (), b"{}")
