"""How long `import swarmroll` takes, beside `import docker` and a bare start of Python."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from typing import Any

from bench.process import run

IMPORTS = {
    "nothing": "pass",
    "docker": "import docker",
    "swarmroll": "import swarmroll",
    "all of swarmroll": "import swarmroll, swarmroll.engine.docker; swarmroll.connect",
}


def starts(rounds: int) -> Iterator[dict[str, Any]]:
    """Fresh interpreters, in another order every time; the first round only fills caches."""
    for number in range(rounds + 1):
        for name, code in random.sample(list(IMPORTS.items()), len(IMPORTS)):
            done = run([sys.executable, "-I", "-c", code])
            if number:
                yield {
                    "kind": "import",
                    "cell": "import",
                    "peer": name,
                    "round": number,
                    "seconds": done.ended - done.began,
                    "cpu": done.cpu,
                    "load": done.load,
                }
