"""The memory view: everything of the database that requests need, replaced whole on every change.

No request of a student, a player or the ingest waits for a query; they read this.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airclass.domain.classrooms import Classroom, ClassStatus
from airclass.domain.users import clean_name, name_key

if TYPE_CHECKING:
    from airclass.domain.node_keys import NodeRecord
    from airclass.domain.users import User


@dataclass(frozen=True, slots=True)
class Revocation:
    """Something that is refused until `until_s` (Unix time): a student's subject, a session, a used link.

    `classroom_id` is the class that a student was taken out of; a new code of the class ends the revocation,
    because it ends all older tokens anyway.
    """

    kind: str
    value: str
    until_s: float
    classroom_id: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One consistent picture of the database; `revision` grows with every write."""

    revision: int = -1
    users: dict[str, User] = field(default_factory=dict)
    classrooms: dict[str, Classroom] = field(default_factory=dict)
    revoked: frozenset[tuple[str, str]] = frozenset()
    revocations: tuple[Revocation, ...] = ()
    drained: frozenset[str] = frozenset()
    node_keys: dict[str, NodeRecord] = field(default_factory=dict)
    by_join_id: dict[str, NodeRecord] = field(init=False)
    by_code: dict[str, Classroom] = field(init=False)
    by_name: dict[str, User] = field(init=False)  # by the exact name without case, and by `name_key`
    kicked: dict[str, tuple[str, ...]] = field(init=False)

    def __post_init__(self) -> None:
        codes = {c.code: c for c in self.classrooms.values() if c.status is not ClassStatus.ENDED}
        object.__setattr__(self, "by_code", codes)
        names = {name_key(u.name): u for u in self.users.values()}
        # Accounts of before whose names look alike are each found by the exact name.
        names.update({u.name.casefold(): u for u in self.users.values()})
        object.__setattr__(self, "by_name", names)
        joins = {record.join_id: record for record in self.node_keys.values() if record.join_id}
        object.__setattr__(self, "by_join_id", joins)
        kicked: dict[str, list[str]] = {}
        for revocation in self.revocations:
            if revocation.kind == "subject":
                kicked.setdefault(revocation.classroom_id, []).append(revocation.value)
        object.__setattr__(self, "kicked", {c: tuple(sorted(subjects)) for c, subjects in kicked.items()})

    def find_user(self, name: str) -> User | None:
        """Return the account with this name, whichever way it was typed."""
        return self.by_name.get(clean_name(name).casefold()) or self.by_name.get(name_key(name))

    def open_classes(self) -> list[Classroom]:
        """Return the classes that students may enter, in a stable order."""
        return sorted(
            (c for c in self.classrooms.values() if c.status is ClassStatus.OPEN), key=lambda c: c.id
        )
