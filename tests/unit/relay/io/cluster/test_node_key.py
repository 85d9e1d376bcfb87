"""Who a relay is, and the file that holds its key."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from relay.base.enrolment import NodeKey, make_join_token
from relay.base.errors import AirclassError, ClusterError
from relay.config import RelaySettings
from relay.io.cluster.node_key import NodeIdentity, load_identity

if TYPE_CHECKING:
    from collections.abc import Mapping

SECRET = "c" * 32
KEY = NodeKey("slave-1", b"k" * 32)
TEXT, TOKEN = make_join_token(bytes(range(26)))
JOIN = f"http://m:8000#{TEXT}"


def loaded(folder: Path, **settings: object) -> NodeIdentity:
    values: Mapping[str, object] = {"master_url": "http://m:8000", "data_dir": folder, **settings}
    return load_identity(RelaySettings.model_validate(values))


def refused(folder: Path, **settings: object) -> str:
    with pytest.raises(AirclassError) as caught:
        loaded(folder, **settings)
    return caught.value.reason


def test_a_key_that_is_set_names_the_node(tmp_path: Path) -> None:
    identity = loaded(tmp_path, node_key=KEY.as_text())
    assert (identity.node_id, identity.key, identity.can_enrol) == ("slave-1", KEY.key, False)
    assert "NODE_ID is other, but the key is of slave-1" in refused(
        tmp_path, node_key=KEY.as_text(), node_id="other"
    )


def test_with_the_shared_secret_a_relay_enrols_under_its_own_name(tmp_path: Path) -> None:
    identity = loaded(tmp_path, cluster_secret=SECRET, node_id="slave-1")
    assert (identity.key, identity.file) == (b"", tmp_path / "node-slave-1.key")
    assert identity.entitlement == ("slave-1", SECRET.encode())
    identity.keep("slave-1")
    assert identity.key == identity.offered
    again = loaded(tmp_path, cluster_secret=SECRET, node_id="slave-1")
    assert (again.node_id, again.key, again.can_enrol) == ("slave-1", identity.key, True)
    assert loaded(tmp_path, cluster_secret=SECRET, node_id="a/../b").file == tmp_path / "node-a%2F..%2Fb.key"


def test_a_key_of_an_earlier_name_is_not_used(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY.as_text())
    identity = loaded(tmp_path, cluster_secret=SECRET, node_id="slave-2", node_key_file=file)
    assert (identity.node_id, identity.key) == ("slave-2", b"")


def test_a_join_link_enrols_and_the_kept_key_goes_before_it(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    identity = loaded(folder, node_join=JOIN)
    assert identity.entitlement == (TOKEN.signer, TOKEN.key)
    assert identity.key == b""
    identity.keep("slave-7")
    assert stat.S_IMODE((folder / "node.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert sorted(p.name for p in folder.iterdir()) == ["node.key"]
    for settings in ({"node_join": JOIN}, {}, {"node_id": "slave-7"}):
        again = loaded(folder, **settings)
        assert (again.node_id, again.key) == ("slave-7", identity.key)
    assert "but the key is of slave-7" in refused(folder, node_id="slave-8")


def test_a_relay_that_has_nothing_says_what_to_do(tmp_path: Path) -> None:
    assert "airclass node add NAME" in refused(tmp_path)
    with pytest.raises(ClusterError, match="airclass node add"):
        _ = NodeIdentity("n").entitlement


def test_a_file_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "node.key").write_text("rubbish")
    assert "does not hold a node's key" in refused(tmp_path)
    assert "cannot be read (IsADirectoryError)" in refused(tmp_path, node_key_file=tmp_path)
    away = Path("/proc/nowhere/key")
    assert "set NODE_KEY_FILE or DATA_DIR" in refused(tmp_path, node_join=JOIN, node_key_file=away)


def test_a_key_that_cannot_be_kept_is_used_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    identity = NodeIdentity("n", cluster_secret=b"s", file=Path("/proc/nowhere/key"))
    identity.keep("n")
    assert identity.key == identity.offered
    assert "node.key_not_kept" in caplog.text
    NodeIdentity("n", cluster_secret=b"s").keep("n")
