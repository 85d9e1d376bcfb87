"""The seat of a student who calls with a viewer token: sockets, steering and playlists ask for it here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airclass.domain.cluster import Placement, Student
from airclass.domain.tokens import is_preview

if TYPE_CHECKING:
    from airclass.domain.routing import Address
    from airclass.web.services import Services
    from relay.base.tokens import ViewerClaims


def place(services: Services, claims: ViewerClaims, address: Address | None) -> Placement | None:
    """Keep the student's seat or place in the queue, or give them one.

    None: after a restart of the master their node may not have reported yet, so they keep the one they have.
    """
    cluster, now_s = services.cluster, services.clock.now_s()
    if cluster.is_unaccounted(claims.subject, now_s) or cluster.is_settling(now_s):
        return None
    student = cluster.guests.get(claims.subject)
    if student is None:
        preview = is_preview(claims.subject)
        wall_s = services.clock.wall_s()
        student = Student(claims.subject, claims.classroom, "", wall_s, claims.expires_at_s, preview)
    return cluster.admit(student, address, now_s)
