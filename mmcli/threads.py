"""How stages are joined: a bounded hand-over that keeps order and carries exceptions, and closing that goes through.

This is the one place where threads are started between stages.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

T = TypeVar("T")
R = TypeVar("R")

_NAME = "stage"
# A stage inside a long native call cannot be interrupted; its thread is a daemon and is left behind after this long. Where it is
# still there at the program's end, __main__.py leaves without waiting.
_JOIN_S = 2.0


class Channel(Generic[T]):
    """A bounded queue that one side fills and the other iterates; `stop()` from either side ends both at once.

    As `queue.Queue.shutdown` does from Python 3.13 on.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[T] = deque()
        self._stopped = False
        self._changed = threading.Condition()

    def send(self, item: T) -> bool:
        """Hand an item over, waiting for room; False once the other side has gone."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or len(self._items) < self._size)
            if self._stopped:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def stop(self) -> None:
        """No more items: the reader gets what lies in the channel and then ends."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._items)
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item


def closable(items: Iterable[T]) -> Generator[T, None, None]:
    """The same items from a generator whose closing closes what they come from."""
    iterator = iter(items)
    try:
        yield from iterator
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            close()


@dataclass(frozen=True, slots=True)
class _End:
    """A source has ended, by itself or with an exception."""

    error: BaseException | None


def left_behind() -> bool:
    """Whether a stage is still at work that nobody waits for any more."""
    return any(thread.name == _NAME for thread in threading.enumerate())


def merge(*sources: Iterator[T], size: int = 64, stop: Callable[[], None] | None = None) -> Generator[T, None, None]:
    """Run each source in a thread of its own and yield what they give as it comes.

    An exception of a source is raised here after the items before it. Closing this generator closes the sources;
    `stop` is called first, to wake those that wait for something of their own.
    """
    return _merged(Channel(size), sources, stop)


def _merged(
    items: Channel[T | _End], sources: Iterable[Iterator[T]], stop: Callable[[], None] | None
) -> Generator[T, None, None]:
    def run(source: Iterator[T]) -> None:
        error: BaseException | None = None
        try:
            for item in source:
                if not items.send(item):
                    break
        except BaseException as caught:  # noqa: BLE001 - carried to the reader, whatever it is
            error = caught
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()
        items.send(_End(error))

    threads = [threading.Thread(target=run, args=(source,), name=_NAME, daemon=True) for source in sources]
    for thread in threads:
        thread.start()
    running = len(threads)
    try:
        for item in items:
            if not isinstance(item, _End):
                yield item
                continue
            if item.error is not None:
                raise item.error
            running -= 1
            if not running:
                return
    finally:
        items.stop()
        if stop is not None:
            stop()
        limit = time.monotonic() + _JOIN_S
        for thread in threads:
            thread.join(max(0.0, limit - time.monotonic()))


def later(work: Callable[[], R]) -> Future[R]:
    """What `work` makes, in a thread from now on."""
    made: Future[R] = Future()

    def run() -> None:
        try:
            made.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised to whoever asks
            made.set_exception(error)

    threading.Thread(target=run, name=_NAME, daemon=True).start()
    return made


class Ahead(Iterator[T]):
    """The same items, made in a thread from now on, up to `size` of them before they are asked for.

    `close` may be called while another thread waits for an item, which then finds that there are no more.
    """

    def __init__(self, items: Iterable[T], size: int) -> None:
        def begun() -> Iterator[T | None]:
            yield None
            yield from closable(items)

        self._items: Channel[Any] = Channel(size)
        self._closed = False
        self._running = _merged(self._items, [begun()], None)
        try:
            next(self._running)
        except BaseException:
            self.close()
            raise

    def __next__(self) -> T:
        try:
            item: T = next(self._running)
        except ValueError:
            if self._closed:
                raise StopIteration from None
            raise
        return item

    def close(self) -> None:
        self._closed = True
        self._items.stop()
        # Where another thread is in it, that one comes to its end, and closes what is to be closed.
        with suppress(ValueError):
            self._running.close()


def side_by_side(
    work: Callable[[T], R], items: Iterable[T], count: int, stop: Callable[[], None] | None = None
) -> Generator[R, None, None]:
    """What `work` makes of each item, in the order of the items, as soon as it and those before it are done.

    `count` items are at work at a time, each in a thread, and another thread fetches the next. An exception of one is raised
    after the results before it. `stop` is called when this generator ends, to wake what is at work.
    """
    jobs: Channel[tuple[int, T]] = Channel(1)

    def feed() -> Iterator[tuple[int, R | _End]]:
        number = 0
        try:
            with closing(closable(items)) as source:
                for item in source:
                    if not jobs.send((number, item)):
                        return
                    number += 1
        except Exception as error:  # noqa: BLE001 - raised after the results before it
            yield number, _End(error)
        finally:
            jobs.stop()

    def labour() -> Iterator[tuple[int, R | _End]]:
        for number, item in jobs:
            try:
                result: R | _End = work(item)
            except Exception as error:  # noqa: BLE001 - raised after the results before it
                result = _End(error)
            yield number, result

    def end() -> None:
        jobs.stop()
        if stop is not None:
            stop()

    # As many may be done and unread as are at work: memory stays bounded for a slow reader.
    done = merge(feed(), *(labour() for _ in range(count)), size=count, stop=end)
    with closing(done):
        yield from _in_order(done)


def _in_order(numbered: Iterable[tuple[int, R | _End]]) -> Iterator[R]:
    waiting: dict[int, R | _End] = {}
    turn = 0
    for number, result in numbered:
        waiting[number] = result
        while turn in waiting:
            item = waiting.pop(turn)
            turn += 1
            if isinstance(item, _End):
                assert item.error is not None
                raise item.error
            yield item
