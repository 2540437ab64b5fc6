"""
One thread reads the events of the swarm, and wakes whoever watches the service concerned.

It does nothing else: an engine waits 100 ms for a reader that does not read, with every event, and
all other readers wait with it (moby daemon/events/events.go; moby#5456). An event is a hint to
look, never the truth, so nothing is queued: a watch is a flag.
"""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event, Lock, Thread

import urllib3

from swarmroll.engine import wire
from swarmroll.engine.dial import NotedDial
from swarmroll.engine.port import Clock
from swarmroll.engine.retry import Doors
from swarmroll.engine.transport import Ask, Door
from swarmroll.engine.trouble import Nonsense

OPEN_SECONDS = 2.0
"""How long a new watch waits for the stream; without one, the looks of its heartbeat must do."""

_MAX_LINE = 1024 * 1024
_SHORTEST_PAUSE = 0.1
_JOIN_SECONDS = 1.0


class ServiceWatch:
    """A flag that is raised when a service may have changed; see ``port.Watch``."""

    def __init__(self, events: Events, service_id: str) -> None:
        self.service_id = service_id
        self._events = events
        self._flag = Event()

    def wait(self, seconds: float) -> bool:
        """Return when something may have changed (True), or after ``seconds`` (False)."""
        woken = self._flag.wait(max(seconds, 0.0))
        if woken:
            # Whoever raises it between these two lines is served by the look that follows.
            self._flag.clear()
        return woken

    def wake(self) -> None:
        """End a wait from another thread."""
        self._flag.set()

    def calm(self) -> None:
        """Forget what it was woken for so far."""
        self._flag.clear()

    @property
    def unbroken_since(self) -> float | None:
        """See ``Snapshot.unbroken_since``."""
        return self._events.unbroken_since

    def close(self) -> None:
        """Stop being woken; a second call does nothing."""
        self._events.forget(self)


class Events:
    """The event stream of an engine: begins with its first watch, ends with its last."""

    def __init__(self, doors: Doors, clock: Clock, *, longest_pause: float) -> None:
        self._doors = doors
        self._clock = clock
        self._longest_pause = longest_pause
        self._watches: set[ServiceWatch] = set()
        self._reader: _Reader | None = None
        self._lock = Lock()

    @property
    def unbroken_since(self) -> float | None:
        """See ``Snapshot.unbroken_since``."""
        reader = self._reader
        return reader.unbroken_since if reader else None

    def watch(self, service_id: str) -> ServiceWatch:
        """A new watch; the stream is open by then, or could not be opened at once."""
        watch = ServiceWatch(self, service_id)
        with self._lock:
            self._watches.add(watch)
            if self._reader is None:
                self._reader = _Reader(self._doors, self._clock, self, self._longest_pause)
                self._reader.start()
            reader = self._reader
        reader.tried.wait(OPEN_SECONDS)
        if reader.unbroken_since is not None:
            # Whoever watches looks anyway before it waits, and after the stream was opened.
            watch.calm()
        return watch

    def forget(self, watch: ServiceWatch) -> None:
        """Take a watch away, and with the last one the stream."""
        with self._lock:
            self._watches.discard(watch)
            reader = None if self._watches else self._reader
            if reader is not None:
                self._reader = None
        if reader is not None:
            reader.stop()

    def close(self) -> None:
        """Take all watches away."""
        for watch in tuple(self._watches):
            watch.wake()
            self.forget(watch)

    def wake(self, service_id: str | None = None) -> None:
        """Wake the watches of a service, or all."""
        for watch in tuple(self._watches):
            if service_id in (None, watch.service_id):
                watch.wake()


class _Reader(Thread):
    """
    Reads, and opens the stream again when it ends.

    Attributes:
        tried: Set once the stream has been open, or could not be opened.
        unbroken_since: See ``Snapshot.unbroken_since``.
    """

    def __init__(self, doors: Doors, clock: Clock, events: Events, longest_pause: float) -> None:
        super().__init__(name="swarmroll-events", daemon=True)
        self.tried = Event()
        self.unbroken_since: float | None = None
        self._doors = doors
        self._clock = clock
        self._events = events
        self._longest_pause = longest_pause
        self._stopped = Event()
        self._dial: NotedDial | None = None
        self._lock = Lock()

    def stop(self) -> None:
        """End the stream and the thread."""
        self._stopped.set()
        with self._lock:
            if self._dial is not None:
                self._dial.hang_up()
        self.tried.set()
        # While it connects it cannot be interrupted; then it ends a little later by itself.
        self.join(_JOIN_SECONDS)

    def run(self) -> None:
        door, pause = self._doors.current, _SHORTEST_PAUSE
        while not self._stopped.is_set():
            if self._read(door):
                pause = _SHORTEST_PAUSE
            self.tried.set()
            door = self._doors.after(door)
            self._stopped.wait(pause)
            pause = min(pause * 2, self._longest_pause)

    def _read(self, door: Door) -> bool:
        """Read one stream to its end; returns whether it was ever open."""
        apart, dial = door.apart()
        with self._lock:
            self._dial = dial
            if self._stopped.is_set():
                return False
        try:
            response = apart.stream(_EVENTS)
        except Exception:  # noqa: BLE001 - the watches do without; their looks say what is wrong
            apart.close()
            return False
        try:
            self._follow(response, dial)
        except Exception:  # noqa: BLE001 - however it ended: it is over
            pass
        finally:
            self.unbroken_since = None
            response.close()
            apart.close()
        return True

    def _follow(self, response: urllib3.HTTPResponse, dial: NotedDial) -> None:
        # A quiet swarm is silent for days; the kernel's keep-alive and the looks of the
        # heartbeat notice a dead one.
        dial.be_patient()
        self.unbroken_since = self._clock.monotonic()
        # What happened until now was not heard.
        self._events.wake()
        self.tried.set()
        for line in _lines(response):
            hint = wire.hint(line)
            if hint.leader_changed:
                self.unbroken_since = self._clock.monotonic()
            self._events.wake(hint.service_id)


_EVENTS = Ask(path="/events", query={"filters": wire.filters(wire.EVENT_FILTERS)})


def _lines(response: urllib3.HTTPResponse) -> Iterator[bytes]:
    """One event each: the engine ends every event with a new line (Go's json.Encoder)."""
    rest = b""
    while data := response.read1(65536, decode_content=False):
        *lines, rest = (rest + data).split(b"\n")
        if len(rest) > _MAX_LINE:
            raise Nonsense("an event without an end")
        yield from filter(bytes.strip, lines)
