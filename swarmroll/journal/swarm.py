"""
A journal in the swarm itself, as its config objects: every manager has it, any machine can go on.

For each service there is one config whose labels are the head (a config's data never changes, its
labels are written only with the version that was read), and one for each finished rollout. A second
config of one name is refused, so that the first record of a service is made once. All of them have
the label ``swarmroll.service``; no service refers to them.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import attrs

from swarmroll.engine.port import Engine, StoredConfig
from swarmroll.errors import Conflict
from swarmroll.journal.encoded import Encoded
from swarmroll.journal.ledger import TTL, Ledger
from swarmroll.journal.shelf import Moved

SERVICE = "swarmroll.service"
"""The label by which a service's configs are found: the service's id."""

HEAD = "swarmroll.record"
"""The label of the head that holds it."""

_SAID = b"The record of swarmroll's rollouts of one service; it stands in the labels.\n"


@attrs.frozen
class _Version:
    """A head as it was read: new labels are written over exactly this one."""

    id: str
    index: int
    data: bytes = attrs.field(eq=False, repr=False)

    def config(self, name: str) -> StoredConfig:
        return StoredConfig(id=self.id, name=name, version=self.index, data=self.data)


class ConfigDrawer:
    """See swarmroll.journal.encoded.Drawer."""

    limit = 400_000
    """Of the oldest engines that are supported, 500 KiB (swarmkit manager/controlapi/config.go)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def where(self, service_id: str) -> str:
        """See Drawer."""
        return f"config {_head(service_id)}"

    def read(self, service_id: str) -> tuple[str, Hashable] | None:
        """See Drawer."""
        found = self._engine.config(_head(service_id))
        if found is None:
            return None
        return found.labels.get(HEAD, ""), _Version(found.id, found.version, found.data)

    def swap(self, service_id: str, text: str, version: Hashable | None) -> None:
        """See Drawer."""
        labels = {SERVICE: service_id, HEAD: text}
        try:
            if isinstance(version, _Version):
                self._engine.label_config(version.config(_head(service_id)), labels)
            else:
                self._engine.create_config(_head(service_id), _SAID, labels)
        except Conflict as exc:
            raise Moved from exc

    def put(self, service_id: str, name: str, data: bytes) -> None:
        """See Drawer."""
        try:
            self._engine.create_config(_part(name), data, {SERVICE: service_id})
        except Conflict:
            # Its name says what is in it, if it is there indeed.
            if self._engine.config(_part(name)) is None:
                raise

    def get(self, service_id: str, name: str) -> bytes | None:  # noqa: ARG002 - names are unique
        """See Drawer."""
        found = self._engine.config(_part(name))
        return None if found is None else found.data

    def every(self, service_id: str) -> Mapping[str, bytes]:
        """See Drawer."""
        found = self._engine.configs(SERVICE, service_id)
        prefix = _part("")
        return {
            one.name.removeprefix(prefix): one.data for one in found if one.name.startswith(prefix)
        }

    def drop(self, service_id: str, name: str) -> None:  # noqa: ARG002 - names are unique
        """See Drawer."""
        self._engine.remove_config(_part(name))


def _head(service_id: str) -> str:
    return f"swarmroll-{service_id}"


def _part(name: str) -> str:
    return f"swarmroll-part-{name}"


class SwarmJournal(Ledger):
    """
    Keeps records in the swarm; see ``swarmroll.journal.port.Journal``.

    Args:
        engine: The swarm.
        ttl: Seconds for which a lease holds without being renewed; None takes 60, or twice the
            engine's request time-out if that is more.
    """

    def __init__(self, engine: Engine, *, ttl: float | None = None) -> None:
        grace = engine.request_timeout
        super().__init__(
            Encoded(ConfigDrawer(engine)),
            engine.clock,
            ttl=max(TTL, 2 * grace) if ttl is None else ttl,
            grace=grace,
        )
