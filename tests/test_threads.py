"""The hand-over between stages: order, exceptions, closing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from mmcli.threads import Channel, merge


def test_merge_keeps_the_order_of_each_source_and_loses_nothing() -> None:
    mixed = list(merge(iter(range(500)), iter(range(1000, 1500)), size=3))
    assert [item for item in mixed if item < 1000] == list(range(500))
    assert [item for item in mixed if item >= 1000] == list(range(1000, 1500))


def test_an_exception_comes_after_the_items_before_it() -> None:
    def failing() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("broken")

    merged = merge(failing())
    assert [next(merged), next(merged)] == [1, 2]
    with pytest.raises(ValueError, match="broken"):
        next(merged)


def test_closing_closes_every_source_even_one_that_waits_for_room() -> None:
    closed: list[str] = []

    def endless(name: str) -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.append(name)

    before = threading.active_count()
    merged = merge(endless("a"), endless("b"), size=1)
    next(merged)
    merged.close()
    assert sorted(closed) == ["a", "b"]
    assert threading.active_count() == before


def test_a_slow_source_does_not_hold_up_a_fast_one() -> None:
    gate = threading.Event()

    def slow() -> Iterator[str]:
        gate.wait(10)
        yield "slow"

    merged = merge(slow(), iter(["fast"]))
    assert next(merged) == "fast"
    gate.set()
    assert list(merged) == ["slow"]


def test_a_channel_gives_what_was_sent_before_it_was_stopped() -> None:
    channel: Channel[int] = Channel(10)
    for number in range(5):
        assert channel.send(number)
    channel.stop()
    assert list(channel) == [0, 1, 2, 3, 4]
    assert not channel.send(5)


def test_a_full_channel_lets_its_sender_go_when_the_reader_has_gone() -> None:
    channel: Channel[int] = Channel(1)
    channel.send(0)
    answers: list[bool] = []
    sender = threading.Thread(target=lambda: answers.append(channel.send(1)))
    sender.start()
    time.sleep(0.05)
    channel.stop()
    sender.join(5)
    assert answers == [False]


def test_stop_wakes_a_source_that_waits_for_something_of_its_own() -> None:
    woken = threading.Event()
    left: list[bool] = []

    def waiting() -> Iterator[int]:
        left.append(woken.wait(60))
        yield 1

    def failing() -> Iterator[int]:
        yield 2
        raise ValueError("broken")

    for end in ("an exception", "closing"):
        woken.clear()
        left.clear()
        merged = merge(waiting(), failing(), stop=woken.set)
        assert next(merged) == 2
        if end == "closing":
            merged.close()
        else:
            with pytest.raises(ValueError, match="broken"):
                next(merged)
        assert left == [True]
