"""PrometheusGate and a real Prometheus, which scrapes itself and a shop of ours."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import attrs
import pytest

from integration.lab import eventually
from integration.lab.host import Host
from swarmroll import Answer, GateContext, Moment, PrometheusGate, Verdict

METRICS = """\
# TYPE shop_error_ratio gauge
shop_error_ratio{shop="berlin"} 0.002
shop_error_ratio{shop="paris"} 0.2
# TYPE shop_requests_total counter
shop_requests_total{shop="berlin"} 0
"""
CONFIG = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: prometheus
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
  - job_name: shop
    static_configs: [{{targets: ["127.0.0.1:{shop}"]}}]
"""
CONTEXT = GateContext(
    rollout_id="r1",
    service="web",
    service_id="s1",
    moment=Moment.BETWEEN,
    phase="holding",
    step=0,
    steps=2,
    image="web:2",
)


class _Shop(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(METRICS.encode())

    def log_message(self, *_args: Any) -> None:
        """Not of interest."""


@attrs.frozen(kw_only=True)
class Prometheus:
    """One that runs."""

    url: str
    process: subprocess.Popen[bytes]

    def ask(self, query: str, condition: str | Callable[[float], bool], **options: Any) -> Verdict:
        return PrometheusGate(self.url, query, condition, **options).check(CONTEXT)


@contextmanager
def running(program: str, directory: Path, shop: int = 9) -> Iterator[Prometheus]:
    """Start one with its data in a directory, and end it."""
    port = _free_port()
    (directory / "prometheus.yml").write_text(CONFIG.format(port=port, shop=shop), encoding="utf-8")
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={directory}/prometheus.yml",
                f"--storage.tsdb.path={directory}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    found = Prometheus(url=f"http://127.0.0.1:{port}", process=process)
    try:
        eventually(partial(_has, found, "vector(1)"))
        yield found
    except AssertionError:
        print((directory / "log").read_text(encoding="utf-8"))
        raise
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _has(prometheus: Prometheus, query: str) -> bool:
    return prometheus.ask(query, ">= 0").answer is Answer.PASSED


@pytest.fixture(scope="module")
def program(lab: Host) -> str:
    if lab.prometheus is None:
        missing = "no Prometheus could be had: put `prometheus` into PATH"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return lab.prometheus


@pytest.fixture(scope="module")
def prometheus(program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It has scraped the shop at least twice, so that there are rates."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Shop) as shop:
        threading.Thread(target=shop.serve_forever, daemon=True).start()
        directory = tmp_path_factory.mktemp("prometheus")
        with running(program, directory, shop.server_port) as found:
            eventually(partial(_has, found, "rate(shop_requests_total[1m])"))
            yield found
        shop.shutdown()


def test_a_condition_that_is_met_passes(prometheus: Prometheus) -> None:
    """The reason shows the series and its value."""
    verdict = prometheus.ask('shop_error_ratio{shop="berlin"}', "< 0.01")
    assert Answer.PASSED == verdict.answer
    assert 'shop="berlin"} is 0.002; wanted < 0.01' in verdict.reason


def test_one_series_that_does_not_meet_it_fails(prometheus: Prometheus) -> None:
    """It is the one that is named."""
    verdict = prometheus.ask("sum by (shop) (shop_error_ratio)", "< 0.01")
    assert Verdict.failed('{shop="paris"} is 0.2; wanted < 0.01') == verdict


def test_a_function_judges_real_values(prometheus: Prometheus) -> None:
    """Also those that Prometheus has of itself."""
    verdict = prometheus.ask("prometheus_build_info", lambda value: value == 1)
    assert Answer.PASSED == verdict.answer


def test_a_scalar_is_a_value(prometheus: Prometheus) -> None:
    """As scalar() and time() return it."""
    assert Verdict.passed("is 3; wanted == 3") == prometheus.ask("scalar(vector(3))", "== 3")


def test_no_series_is_inconclusive(prometheus: Prometheus) -> None:
    """A typing error in a name looks like this."""
    verdict = prometheus.ask("shop_eror_ratio", "< 0.01")
    assert Verdict.inconclusive("the query has no result") == verdict


def test_nothing_divided_by_nothing_is_inconclusive(prometheus: Prometheus) -> None:
    """The ratio of errors where nobody has asked for anything."""
    rate = "sum(rate(shop_requests_total[1m]))"
    verdict = prometheus.ask(f"{rate} / {rate}", "< 0.01")
    assert Verdict.inconclusive("is nan: nothing to judge") == verdict


def test_a_bad_query_fails_in_prometheus_s_words(prometheus: Prometheus) -> None:
    """It will not become better by waiting."""
    verdict = prometheus.ask("sum(shop_error_ratio", "< 0.01")
    assert Answer.FAILED == verdict.answer
    assert 'Prometheus says "bad_data: ' in verdict.reason
    assert "parse error: unclosed left parenthesis" in verdict.reason


def test_a_query_that_cannot_be_carried_out_fails(prometheus: Prometheus) -> None:
    """Two series where one is wanted."""
    query = "shop_error_ratio * on(job) shop_error_ratio"
    verdict = prometheus.ask(query, "< 0.01")
    assert Answer.FAILED == verdict.answer
    assert 'Prometheus says "execution: ' in verdict.reason


def test_a_range_of_values_is_no_value(prometheus: Prometheus) -> None:
    """A query of which the rate() was forgotten."""
    verdict = prometheus.ask("shop_requests_total[1m]", "< 0.01")
    assert Answer.FAILED == verdict.answer


def test_a_page_of_prometheus_is_no_api(prometheus: Prometheus) -> None:
    """A url with too much in it."""
    gate = PrometheusGate(f"{prometheus.url}/graph", "up", "> 0")
    assert Answer.FAILED == gate.check(CONTEXT).answer


def test_one_that_hangs_and_one_that_is_dead_are_inconclusive(program: str, tmp_path: Path) -> None:
    """Whether the release is good cannot be told then: ``no_data`` says what that counts for."""
    with running(program, tmp_path) as prometheus:
        prometheus.process.send_signal(signal.SIGSTOP)
        verdict = prometheus.ask("up", "> 0", timeout=0.5)
        expected = f"Prometheus at {prometheus.url} does not answer"
        assert Verdict.inconclusive(f"{expected}: no answer in time") == verdict
        prometheus.process.kill()
        prometheus.process.wait()
        verdict = prometheus.ask("up", "> 0")
        assert Verdict.inconclusive(f"{expected}: connection refused") == verdict
