"""The door: tokens, revocation, room, and one token on few devices (threats: JWT, capacity)."""

from __future__ import annotations

import time

import pytest

from relay.base.errors import RequestError
from relay.base.tokens import LEEWAY_S, mint_viewer
from relay.core.viewers.admission import WITHOUT_MEDIA_S, Admission, StreamRule
from relay.core.viewers.registry import MAX_ADDRESSES_NOTED, PLAYING_BYTES, Viewer, ViewerRegistry

KEY = b"k" * 32
OTHER = b"o" * 32
# tokens are checked against the real time; the relay's own deadlines follow from it
WALL_S = time.time()
HERE = "192.0.2.1"


def token(
    token_id: str = "t1",
    *,
    key: bytes = KEY,
    classroom: str = "class1",
    lifetime_s: float = 3600,
    subject: str = "s1",
) -> bytes:
    return mint_viewer(
        key,
        subject=subject,
        token_id=token_id,
        classroom=classroom,
        issued_at_s=WALL_S - 60,
        expires_at_s=WALL_S + lifetime_s,
    ).encode()


def door(**options: object) -> Admission:
    return Admission(ViewerRegistry(), keys=(KEY,), **options)  # type: ignore[arg-type]


def admit(admission: Admission, text: bytes, address: str = HERE, now_s: float = 100.0) -> Viewer:
    return admission.admit(text, "class1", address, now_s=now_s, wall_s=WALL_S)


def refused(admission: Admission, text: bytes, address: str = HERE, now_s: float = 100.0) -> int:
    with pytest.raises(RequestError) as caught:
        admit(admission, text, address, now_s)
    return caught.value.status


def test_a_viewer_is_entered_once() -> None:
    admission, text = door(), token()
    viewer = admit(admission, text)
    assert (viewer.subject, viewer.token_id, viewer.stream) == ("s1", "t1", "class1")
    assert viewer.expires_s == pytest.approx(100 + 3600 + LEEWAY_S, abs=1)
    assert admit(admission, text) is viewer
    assert admission.registry.count("class1") == 1


def test_the_previous_key_is_still_good() -> None:
    admission = Admission(ViewerRegistry(), keys=(OTHER, KEY))
    assert admit(admission, token()).token_id == "t1"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"", 401),
        (b"x", 401),
        (token(key=OTHER), 401),
        (token(lifetime_s=-60), 401),
        (token(classroom="class2"), 403),
    ],
)
def test_tokens_that_are_refused(text: bytes, status: int) -> None:
    admission = door()
    assert refused(admission, text) == status
    assert len(admission.registry) == 0


def test_a_token_ends_while_its_bearer_watches() -> None:
    admission, text = door(), token(lifetime_s=30)
    admit(admission, text)
    admit(admission, text, now_s=129 + LEEWAY_S)
    assert refused(admission, text, now_s=131 + LEEWAY_S) == 401


def test_a_known_token_opens_no_other_class() -> None:
    admission, text = door(), token()
    viewer = admit(admission, text)
    with pytest.raises(RequestError) as caught:
        admission.check(viewer, "class2", HERE, 100.0)
    assert caught.value.status == 403


def test_a_token_id_or_a_subject_can_be_revoked_and_let_in_again() -> None:
    admission = door()
    first, second = token("t1", subject="s1"), token("t2", subject="s2")
    one, two = admit(admission, first), admit(admission, second)
    assert admission.revoke(["t1"], []) == [one]
    assert refused(admission, first) == 403
    assert admit(admission, second) is two
    assert admission.revoke(["t1", "s2"], []) == [two]
    assert refused(admission, second) == 403
    assert admission.revoke([], []) == []
    assert admit(admission, first) is not one
    assert refused(admission, token("t1", subject="s9", classroom="class2")) == 403


def test_a_new_code_ends_every_older_token_without_naming_any() -> None:
    """100,000 tokens of one student are refused by one number; those of the new code are not."""
    admission = door()
    watching, newer = admit(admission, token("0-a")), admit(admission, token("1-a", subject="s2"))
    assert admission.revoke([], [], {"class1": StreamRule(min_generation=1)}) == [watching]
    for number in (0, 50_000, 99_999):
        assert refused(admission, token(f"0-{number:024x}", subject="s1")) == 403
    assert refused(admission, token("without a generation", subject="s1")) == 403
    assert admit(admission, token("1-a", subject="s2")) is newer
    assert admit(admission, token("2-b", subject="s3")).subject == "s3"  # a code that orders do not name yet
    assert admission.revoke([], [], {}) == []


def test_a_kicked_subject_is_refused_with_every_token_in_its_class_alone() -> None:
    admission = door()
    kicked, other = admit(admission, token("0-a")), admit(admission, token("0-b", subject="s2"))
    assert admission.revoke([], [], {"class1": StreamRule(refused=frozenset({"s1"}))}) == [kicked]
    assert [refused(admission, token(f"0-{n}")) for n in range(3)] == [403] * 3
    assert admit(admission, token("0-b", subject="s2")) is other
    admission.revoke([], [], {"class2": StreamRule(5, frozenset({"s1"}))})
    assert admit(admission, token("0-a")).subject == "s1"


def test_the_revoked_are_out_of_the_numbers_at_once() -> None:
    admission = door(max_viewers=2)
    one = admit(admission, token("t1"))
    admit(admission, token("t1", lifetime_s=7200))  # renewed: another text, the same viewer
    admit(admission, token("t2", subject="s2"))
    assert len(admission.revoke(["t1"], [])) == 2
    assert one.refused is not None  # what it asked before, and is held, is answered with this
    assert (len(admission.registry), admission.registry.count("class1")) == (1, 1)
    assert admission.registry.gone(full=False) == ("t1",)
    assert refused(admission, token("t1")) == 403
    assert len(admission.registry) == 1
    admit(admission, token("t3", subject="s3"))  # the seat is free


def test_a_revoked_token_is_refused_at_first_sight() -> None:
    admission = door()
    admission.revoke(["t1"], [])
    assert refused(admission, token()) == 403
    assert len(admission.registry) == 0


def test_a_closed_class_turns_its_viewers_away() -> None:
    admission = door()
    viewer = admit(admission, token())
    assert admission.revoke([], ["class1"]) == [viewer]
    assert refused(admission, token()) == 403
    assert refused(admission, token("t2")) == 403


def test_a_full_relay_takes_nobody_new() -> None:
    admission = door(max_viewers=1)
    admit(admission, token())
    assert refused(admission, token("t2")) == 503
    admit(admission, token())


def test_on_a_full_relay_a_viewer_without_media_gives_way_to_a_new_one() -> None:
    admission = door(max_viewers=2)
    plays = admit(admission, token("t1"))
    admission.registry.delivered(plays, PLAYING_BYTES)
    admit(admission, token("t2"), now_s=101.0)
    assert refused(admission, token("t3"), now_s=101.0 + WITHOUT_MEDIA_S) == 503
    admit(admission, token("t3"), now_s=101.1 + WITHOUT_MEDIA_S)
    assert admission.registry.gone(full=False) == ("t2",)
    assert plays in list(admission.registry)


def test_a_full_line_takes_nobody_new() -> None:
    admission = door(max_egress_bps=1000)
    admission.egress_bps = 999
    admit(admission, token())
    admission.egress_bps = 1000
    assert refused(admission, token("t2")) == 503
    admit(admission, token())


def test_a_draining_relay_takes_nobody_new() -> None:
    admission = door()
    admit(admission, token())
    admission.draining = True
    assert refused(admission, token("t2")) == 503
    admit(admission, token())


def test_one_token_is_for_few_addresses() -> None:
    admission = door(max_addresses_per_token=2)
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1"):
        admit(admission, token(), address)
    assert refused(admission, token(), "192.0.2.3") == 429
    admit(admission, token(), "192.0.2.2")


def test_without_a_bound_only_so_many_addresses_are_noted() -> None:
    admission, text = door(), token()
    for number in range(MAX_ADDRESSES_NOTED + 5):
        viewer = admit(admission, text, f"192.0.2.{number}")
    assert len(viewer.addresses) == MAX_ADDRESSES_NOTED


def test_anonymous_viewers_are_told_apart_by_session_or_address() -> None:
    admission = Admission(ViewerRegistry(), public=True, max_viewers=3)

    def enter(address: str, query: bytes = b"") -> Viewer:
        return admission.admit_public("class1", address, query, now_s=100.0, wall_s=WALL_S)

    one = enter("192.0.2.1")
    assert enter("192.0.2.1") is one
    assert enter("192.0.2.2") is not one
    player = enter("192.0.2.1", b"CMCD=sid%3D%22abc%22")
    assert (player.subject, player.token_id) == ("abc", "class1 abc")
    assert enter("192.0.2.9", b"CMCD=sid%3D%22abc%22") is player
    with pytest.raises(RequestError) as caught:
        enter("192.0.2.3")
    assert caught.value.status == 503


def anonymous(admission: Admission, address: str, session: int | None = None) -> Viewer:
    query = b"" if session is None else b"CMCD=sid%%3D%%22s%d%%22" % session
    return admission.admit_public("class1", address, query, now_s=100.0, wall_s=WALL_S)


@pytest.mark.parametrize(
    "addresses", [["192.0.2.1"], ["::ffff:192.0.2.1"], [f"2001:db8::{n:x}" for n in range(1, 101)]]
)
def test_one_address_cannot_take_every_seat_of_a_public_relay(addresses: list[str]) -> None:
    admission = Admission(ViewerRegistry(), public=True, max_viewers=10, max_seats_per_address=4)
    for number in range(100):
        anonymous(admission, addresses[number % len(addresses)], number)
    assert len(admission.registry) == 5
    assert len({anonymous(admission, addresses[0], number).key for number in range(200, 300)}) == 1
    others = [anonymous(admission, f"198.51.100.{number}") for number in range(5)]
    assert len({viewer.key for viewer in others}) == 5
    assert len(admission.registry) == 10


def test_a_school_behind_one_address_is_let_in() -> None:
    """More students than seats an address: all are served, some of them on one seat, until others leave."""
    admission = Admission(ViewerRegistry(), public=True, max_viewers=150, max_seats_per_address=50)
    students = [anonymous(admission, "192.0.2.1", number) for number in range(400)]
    assert len(admission.registry) == 51
    assert [anonymous(admission, "192.0.2.1", number) for number in range(400)] == students
    for viewer in students[:10]:
        viewer.last_s = 90.0
    admission.registry.sweep(95.0)
    assert anonymous(admission, "192.0.2.1", 399).subject == "s399"
    admission.registry.sweep(200.0)
    assert admission.registry.seats("192.0.2.1") == 0


def test_without_a_bound_every_session_has_a_seat() -> None:
    admission = Admission(ViewerRegistry(), public=True, max_viewers=150)
    assert len({anonymous(admission, "192.0.2.1", number).key for number in range(100)}) == 100


def test_a_renewed_token_takes_no_second_seat() -> None:
    admission = door(max_viewers=1)
    admit(admission, token("t1", lifetime_s=60))
    admit(admission, token("t1", lifetime_s=7200))
    assert (len(admission.registry), admission.registry.count("class1")) == (1, 1)
    with pytest.raises(RequestError) as refused:
        admit(admission, token("t2"))
    assert refused.value.status == 503


def test_who_renewed_has_left_only_when_both_texts_are_silent() -> None:
    admission = door()
    admit(admission, token("t1", lifetime_s=60), now_s=100.0)
    renewed = admit(admission, token("t1", lifetime_s=7200), now_s=100.0)
    renewed.last_s = 120.0
    admission.registry.sweep(110.0)
    assert (len(admission.registry), admission.registry.gone(full=False)) == (1, ())
    admission.registry.sweep(130.0)
    assert (len(admission.registry), admission.registry.gone(full=False)) == (0, ("t1",))
