"""The master's database in memory: rows that survive a crash, with backups to go back to."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airclass.domain.snapshot import Revocation, Snapshot

if TYPE_CHECKING:
    from airclass.domain.classrooms import Classroom
    from relay.base.cluster_protocol import EpochOffset

NEVER_S = 1e12


@dataclass
class Disk:
    """What is written is there after a crash; `lost` is a disk that was replaced."""

    revision: int = 1
    classrooms: dict[str, Classroom] = field(default_factory=dict)
    revoked: frozenset[tuple[str, str]] = frozenset()
    revocations: tuple[Revocation, ...] = ()
    drained: frozenset[str] = frozenset()
    epochs: dict[tuple[str, str], EpochOffset] = field(default_factory=dict)
    numbers: dict[str, tuple[Any, float]] = field(default_factory=dict)
    students: dict[str, tuple[str, float]] = field(default_factory=dict)  # subject: class, joined at
    seats: dict[str, str] = field(default_factory=dict)
    nodes: frozenset[str] = frozenset()

    def snapshot(self) -> Snapshot:
        """Return what the master keeps in memory of the database."""
        classrooms = dict(self.classrooms)
        return Snapshot(self.revision, {}, classrooms, self.revoked, self.revocations, self.drained)

    def save(self, stream: str, **changes: Any) -> None:
        """Write the changed columns of a class."""
        self.classrooms[stream] = replace(self.classrooms[stream], **changes)
        self.revision += 1

    def revoke(self, subject: str, stream: str) -> None:
        """Write that a student is refused."""
        self.revoked |= {("subject", subject)}
        self.revocations += (Revocation("subject", subject, NEVER_S, stream),)
        self.revision += 1

    def set_drained(self, node: str, *, drained: bool) -> None:
        """Write whether a node is to be emptied."""
        self.drained = self.drained | {node} if drained else self.drained - {node}
        self.revision += 1

    def add_epoch(self, offset: EpochOffset) -> EpochOffset:
        """Write an epoch's offset; returns the one that is kept: the first."""
        return self.epochs.setdefault((offset.stream, offset.key), offset)

    def backup(self) -> Disk:
        """Return a copy."""
        kept = copy(self)
        for name in ("classrooms", "epochs", "numbers", "students", "seats"):
            setattr(kept, name, dict(getattr(self, name)))
        return kept
