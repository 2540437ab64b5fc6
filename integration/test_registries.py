"""Images in registries, with and without a login."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import swarmroll
from integration.lab import Cluster, ServiceFactory
from integration.lab.service import short_name
from swarmroll import Outcome, Rolling, Swarm

Images = Callable[[str], str]
QUICK = Rolling(parallelism=3, monitor=1)


@pytest.fixture
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The docker CLI's config.json, as yet without any login."""
    file = tmp_path / "config.json"
    file.write_text("{}")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return file


@pytest.fixture
def logged_in(docker_config: Path, login: dict[str, str], private_registry: str) -> None:
    """What `docker login` writes there."""
    word = base64.b64encode(f"{login['username']}:{login['password']}".encode()).decode()
    docker_config.write_text(json.dumps({"auths": {private_registry: {"auth": word}}}))


@pytest.fixture
def outsider(docker_config: Path, three_nodes: Cluster) -> Iterator[Swarm]:
    """swarmroll for somebody who has never logged in anywhere."""
    assert docker_config.exists()
    with swarmroll.connect(three_nodes.url) as swarm:
        yield swarm


@pytest.mark.main_story
@pytest.mark.usefixtures("logged_in")
def test_credentials_go_along_to_every_node(
    three_nodes: Cluster, outsider: Swarm, service: ServiceFactory
) -> None:
    """After `docker login`: the image is pinned, and nodes that never pulled it can do so."""
    web = service(replicas=None)
    image = three_nodes.private_image("web:2")
    report = outsider.update("web", image=image, strategy=QUICK)
    assert report.outcome is Outcome.COMPLETED
    assert set(three_nodes.nodes) == {proof.node for proof in report.slots}
    assert all(proof.image.startswith(f"{image}@sha256:") for proof in report.slots)
    assert Counter({"web:2": 3}) == web.runs()


def test_missing_credentials_are_told_before_and_after(
    three_nodes: Cluster, outsider: Swarm, service: ServiceFactory
) -> None:
    """The plan says that the registry would not tell the digest; the failure, what that means."""
    web = service(replicas=2)
    image = three_nodes.private_image("web:3")
    plan = outsider.plan("web", image=image, strategy=QUICK)
    (finding,) = [found for found in plan.findings if found.code == "digest-unresolved"]
    assert "no basic auth credentials" in finding.message
    report = outsider.start(plan).wait(120, check=False)
    assert report.outcome is Outcome.ROLLED_BACK
    evidence = report.failures[0]
    assert evidence.state == "rejected"
    assert f"No such image: {image}" in evidence.error
    assert "the registry wants a login" in evidence.likely_cause
    assert Counter({"web:1": 2}) == web.runs()


def test_image_that_is_in_no_registry_runs_from_the_nodes(
    outsider: Swarm, service: ServiceFactory
) -> None:
    """Built where it runs: it cannot be pinned, which the plan says, and runs all the same."""
    web = service(replicas=2, image="web:2")
    report = outsider.update("web", image="local/web:1", strategy=QUICK)
    assert report.outcome is Outcome.COMPLETED
    assert "digest-unresolved" in {finding.code for finding in report.findings}
    assert {"web:1"} == {short_name(proof.image) for proof in report.slots}
    assert Counter({"web:1": 2}) == web.runs()
