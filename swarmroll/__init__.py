"""Rolls Docker Swarm services forward, and back, without downtime. Start with ``connect()``."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swarmroll._public import *  # noqa: F403
    from swarmroll._public import __all__ as __all__
else:
    # Imported when the first of it is asked for: all of it takes longer than Python's own start.

    def __getattr__(name: str) -> object:
        if not name.startswith("_") or name == "__all__":
            public = import_module("swarmroll._public")
            names = {each: getattr(public, each) for each in public.__all__}
            globals().update(names, __all__=public.__all__)
            if name in globals():
                return globals()[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *import_module("swarmroll._public").__all__})
