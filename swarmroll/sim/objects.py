"""
Configs, secrets and networks.

After swarmkit manager/controlapi/config.go, secret.go and network.go, and moby
daemon/server/router/network.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from swarmroll.errors import Conflict, EngineError
from swarmroll.sim.shapes import blob_spec, network_spec
from swarmroll.sim.stamps import stamp

if TYPE_CHECKING:
    from swarmroll.sim.specs import StoredSpec
    from swarmroll.sim.store import Store

OUT_OF_SEQUENCE = "rpc error: code = Unknown desc = update out of sequence"
_LARGEST = {"config": 1_024_000, "secret": 512_000}
_NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9._-]*[a-zA-Z0-9])?")
_LOCAL = {"bridge": "bridge", "host": "host", "none": "null"}


@attrs.define(kw_only=True, eq=False)
class Blob:
    """
    A config or a secret: data that never changes, and labels that may.

    Attributes:
        spec: As the engine stores it, data in base64.
    """

    id: str
    kind: str
    spec: dict[str, Any]
    version: int
    created_at: float
    updated_at: float

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.spec["Name"])

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""
        found: dict[str, str] = self.spec["Labels"]
        return found

    @property
    def data(self) -> bytes:
        """What is in it."""
        return base64.b64decode(self.spec.get("Data", ""))

    def document(self) -> dict[str, Any]:
        """As the engine gives it; what a secret holds is never told."""
        told = self.spec
        if self.kind == "secret":
            told = {key: value for key, value in told.items() if key != "Data"}
        return {
            "ID": self.id,
            "Version": {"Index": self.version},
            "CreatedAt": stamp(self.created_at),
            "UpdatedAt": stamp(self.updated_at),
            "Spec": told,
        }


@attrs.define(kw_only=True, eq=False)
class SimNetwork:
    """
    A network.

    Attributes:
        spec: The request that it was made by, as the engine's structs hold it.
        local: Whether it belongs to one node and is not the swarm's.
        number: Counts networks; its subnet is made from it.
    """

    id: str
    spec: dict[str, Any]
    created_at: float
    local: bool = False
    number: int = 0

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.spec["Name"])

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""
        found: dict[str, str] = self.spec.get("Labels") or {}
        return found

    @property
    def driver(self) -> str:
        """Its driver."""
        return str(self.spec.get("Driver") or "overlay")

    def document(self) -> dict[str, Any]:
        """As ``GET /networks/{id}`` gives it."""
        asked = self.spec.get("IPAM") or {}
        subnet = f"10.{self.number // 256 + 10}.{self.number % 256}"
        configs = asked.get("Config") or [{"Subnet": f"{subnet}.0/24", "Gateway": f"{subnet}.1"}]
        return {
            "Name": self.name,
            "Id": self.id,
            "Created": stamp(self.created_at),
            "Scope": "local" if self.local else "swarm",
            "Driver": self.driver,
            "EnableIPv4": self.spec.get("EnableIPv4", True),
            "EnableIPv6": self.spec.get("EnableIPv6", False),
            "IPAM": {
                "Driver": asked.get("Driver") or "default",
                "Options": asked.get("Options"),
                "Config": [] if self.driver in ("host", "null") else configs,
            },
            "Internal": self.spec.get("Internal", False),
            "Attachable": self.spec.get("Attachable", False),
            "Ingress": self.spec.get("Ingress", False),
            "ConfigFrom": {"Network": ""},
            "ConfigOnly": False,
            "Containers": {} if self.local else None,
            "Options": {}
            if self.local
            else {
                "com.docker.network.driver.overlay.vxlanid_list": str(4096 + self.number),
                **(self.spec.get("Options") or {}),
            },
            "Labels": self.spec.get("Labels") or (None if not self.local else {}),
        }


class Objects:
    """Writes to configs, secrets and networks, checked as the engine checks them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def begin(self) -> None:
        """The networks that every engine has."""
        for name, driver in {**_LOCAL, "ingress": "overlay"}.items():
            spec = {"Name": name, "Driver": driver, "Ingress": name == "ingress"}
            # Takes no chance, so that histories do not depend on it.
            key = hashlib.sha256(name.encode()).hexdigest()[:25]
            self._add_network(spec, local=name in _LOCAL, key=key)

    # Configs and secrets

    def find(self, kind: str, ref: str) -> Blob:
        """
        A config or secret by id, exact name, or unique prefix of its id.

        Raises:
            EngineError: There is none, or more than one.
        """
        return _found(kind, ref, self._held(kind))

    def create(self, kind: str, doc: Mapping[str, Any]) -> Blob:
        """
        Create a config or a secret.

        Raises:
            EngineError: As the engine refuses it: a bad name, no data, too much, a name in use.
        """
        spec = blob_spec(doc, kind.capitalize())
        name = spec.get("Name", "")
        if not name:
            raise _refused("InvalidArgument", "name must be provided")
        if len(name) > 64 or not _NAME.fullmatch(name):
            text = (
                "invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end "
                "character must be [a-zA-Z0-9]"
            )
            raise _refused("InvalidArgument", text)
        try:
            size = len(base64.b64decode(spec.get("Data", ""), validate=True))
        except binascii.Error:
            text = f"invalid JSON: illegal base64 data in {kind.capitalize()}Spec.Data"
            raise EngineError(text, status=400) from None
        if not 0 < size < _LARGEST[kind]:
            text = f"{kind} data must be larger than 0 and less than {_LARGEST[kind]} bytes"
            raise _refused("InvalidArgument", text)
        held = self._held(kind)
        if any(blob.name == name for blob in held.values()):
            raise _refused("AlreadyExists", f"{kind} {name} already exists", status=409)
        now = self._store.clock.wall
        version = self._store.counted()
        # Takes no chance either: what is kept of a rollout does not change the story of its tasks.
        key = hashlib.sha256(f"{kind} {name} {version}".encode()).hexdigest()[:25]
        blob = Blob(
            id=key,
            kind=kind,
            spec=spec,
            version=version,
            created_at=now,
            updated_at=now,
        )
        held[blob.id] = blob
        self._say(kind, "create", blob.id, name)
        return blob

    def update(self, kind: str, ref: str, version: int, doc: Mapping[str, Any]) -> None:
        """
        Replace the labels of a config or a secret.

        Raises:
            Conflict: The version is not exactly the present one.
            EngineError: Something else than labels would change.
        """
        spec = blob_spec(doc, kind.capitalize())
        blob = self.find(kind, ref)
        if version != blob.version:
            raise Conflict(OUT_OF_SEQUENCE, status=500)
        same_name = spec.get("Name", "") in ("", blob.name)
        same_data = not spec.get("Data") or spec["Data"] == blob.spec.get("Data")
        if not (same_name and same_data):
            raise _refused("InvalidArgument", "only updates to Labels are allowed")
        blob.spec = {**blob.spec, "Labels": spec["Labels"]}
        blob.version = self._store.counted()
        blob.updated_at = self._store.clock.wall
        self._say(kind, "update", blob.id, blob.name)

    def remove(self, kind: str, ref: str) -> None:
        """
        Remove a config or a secret; only current specs keep it.

        The previous spec is not looked at (controlapi/secret.go, RemoveSecret).

        Raises:
            EngineError: There is none, or a service uses it.
        """
        blob = self.find(kind, ref)
        word = kind.capitalize()
        users = [
            service.name
            for service in self._store.services.values()
            if any(one.get(f"{word}ID") == blob.id for one in _references(service.spec, word))
        ]
        if users:
            services = "service" if len(users) == 1 else "services"
            text = f"{kind} '{blob.name}' is in use by the following {services}: {', '.join(users)}"
            raise _refused("InvalidArgument", text)
        del self._held(kind)[blob.id]
        self._store.counted()
        self._say(kind, "remove", blob.id, blob.name)

    def _held(self, kind: str) -> dict[str, Blob]:
        return self._store.secrets if kind == "secret" else self._store.configs

    # Networks

    def find_network(self, ref: str) -> SimNetwork:
        """
        A network by id, exact name, or unique prefix of its id.

        Raises:
            EngineError: There is none, or more than one.
        """
        return _found("network", ref, self._store.networks)

    def create_network(self, doc: Mapping[str, Any]) -> SimNetwork:
        """
        Create a network.

        Raises:
            EngineError: No name, or one that is in use.
        """
        spec = network_spec(doc)
        name = spec.get("Name", "")
        if not name:
            raise EngineError("invalid network name: name is empty", status=400)
        if any(network.name == name for network in self._store.networks.values()):
            raise EngineError(f"network with name {name} already exists", status=409)
        network = self._add_network(spec, local=spec.get("Driver") not in (None, "overlay"))
        self._say("network", "create", network.id, name)
        return network

    def remove_network(self, ref: str) -> None:
        """
        Remove a network.

        Raises:
            EngineError: There is none, a service uses it, or every engine has it.
        """
        network = self.find_network(ref)
        if network.name in _LOCAL:
            text = f"{network.name} is a pre-defined network and cannot be removed"
            raise EngineError(text, status=403)
        for service in self._store.services.values():
            if network.id in network_ids(service.spec):
                raise _refused(
                    "FailedPrecondition",
                    f"network {network.id} is in use by service {service.id}",
                )
        del self._store.networks[network.id]
        self._store.counted()
        self._say("network", "remove", network.id, network.name)

    def _add_network(
        self, spec: dict[str, Any], *, local: bool, key: str | None = None
    ) -> SimNetwork:
        network = SimNetwork(
            id=key or self._store.identity(),
            spec=spec,
            created_at=self._store.clock.wall,
            local=local,
            number=len(self._store.networks),
        )
        self._store.networks[network.id] = network
        self._store.counted()
        return network

    def _say(self, kind: str, action: str, subject: str, name: str) -> None:
        self._store.note("swarm", name, f"{kind} {action}d")
        self._store.events.thing(kind, action, subject, name, self._store.clock.wall)


def network_ids(spec: StoredSpec) -> set[str]:
    """The networks that a spec names."""
    listed = [*(spec.template.get("Networks") or ()), *(spec.doc.get("Networks") or ())]
    return {network.get("Target", "") for network in listed}


def _references(spec: StoredSpec, word: str) -> list[Mapping[str, Any]]:
    container = spec.template.get("ContainerSpec") or {}
    return list(container.get(f"{word}s") or ())


Found = TypeVar("Found", Blob, SimNetwork)


def _found(kind: str, ref: str, held: Mapping[str, Found]) -> Found:
    if ref in held:
        return held[ref]
    for one in held.values():
        if one.name == ref:
            return one
    matches = [one for one in held.values() if ref and one.id.startswith(ref)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        text = f"{kind} {ref} is ambiguous ({len(matches)} matches found)"
        raise EngineError(text, status=400)
    raise EngineError(f"{kind} {ref} not found", status=404)


def _refused(code: str, text: str, *, status: int = 400) -> EngineError:
    return EngineError(f"rpc error: code = {code} desc = {text}", status=status)
