"""Certificates that come, change and break while connections stand."""

import os
import ssl
import subprocess
from pathlib import Path

import pytest

from relay.base.errors import StartError
from relay.io.delivery.tls import CHECK_S, TlsContext
from tests.harness.certificates import named


def handshake(context: ssl.SSLContext, **client: object) -> tuple[str, str | None, str | None]:
    """Return (certificate's name, TLS version, ALPN) of a handshake in memory."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    trusting.set_alpn_protocols(["h2", "http/1.1"])
    for name, value in client.items():
        setattr(trusting, name, value)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = trusting.wrap_bio(to_client, to_server)
    theirs = context.wrap_bio(to_server, to_client, server_side=True)
    waiting = [ours, theirs]
    while waiting:
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                continue
    der = ours.getpeercert(binary_form=True)
    assert der is not None
    pem = ssl.DER_cert_to_PEM_cert(der)
    subject = subprocess.run(
        ["openssl", "x509", "-noout", "-subject"], input=pem, text=True, check=True, capture_output=True
    ).stdout
    return subject.strip().rpartition("=")[2].strip(), ours.version(), ours.selected_alpn_protocol()


def replace(target: tuple[Path, Path], source: tuple[Path, Path]) -> None:
    for there, new in zip(target, source, strict=True):
        copy = there.with_suffix(".new")
        copy.write_bytes(new.read_bytes())
        os.replace(copy, there)


def test_a_new_certificate_is_taken_and_old_connections_stand(tmp_path: Path) -> None:
    files, newer = named(tmp_path, "old"), named(tmp_path, "new")
    holder = TlsContext(*files)
    before = holder.current(0.0)
    assert handshake(before) == ("old", "TLSv1.3", "http/1.1")
    replace(files, newer)
    assert holder.current(CHECK_S - 0.1) is before
    after = holder.current(CHECK_S)
    assert handshake(after)[0] == "new"
    assert handshake(before)[0] == "old"
    assert holder.current(3 * CHECK_S) is after
    assert holder.reloads == 1


def test_old_protocols_are_refused(tmp_path: Path) -> None:
    context = TlsContext(*named(tmp_path, "a")).current(0.0)
    assert handshake(context, maximum_version=ssl.TLSVersion.TLSv1_2)[1] == "TLSv1.2"
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_broken_replacement_keeps_the_last_good_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files, newer = named(tmp_path, "old"), named(tmp_path, "new")
    holder = TlsContext(*files)
    good = holder.current(0.0)
    files[0].write_text("not a certificate")
    assert holder.current(10.0) is good
    assert holder.current(20.0) is good
    assert caplog.text.count("tls.kept") == 1
    files[1].unlink()
    assert holder.current(30.0) is good
    replace(files, (newer[0], named(tmp_path, "other")[1]))
    assert holder.current(40.0) is good
    assert caplog.text.count("tls.kept") == 2
    replace(files, newer)
    assert handshake(holder.current(50.0))[0] == "new"


def test_what_cannot_be_started_with(tmp_path: Path) -> None:
    cert, key = named(tmp_path, "a")
    other = named(tmp_path, "b")[1]
    locked = named(tmp_path, "c", password="secret")
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    for pair in ((cert, tmp_path / "absent"), (cert, other), (rubbish, key), (cert, rubbish), locked):
        with pytest.raises(StartError) as caught:
            TlsContext(*pair)
        assert "TLS_CERT and TLS_KEY" in caught.value.reason
