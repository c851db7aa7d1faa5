"""The hand-over between stages: order, exceptions, closing."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from mmcli.threads import Ahead, Channel, merge, side_by_side


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


def test_side_by_side_keeps_the_order_whatever_takes_longer() -> None:
    gates = [threading.Event() for _ in range(6)]
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        assert gates[number].wait(10)
        return number * number

    done = side_by_side(work, range(6), 3)
    results: list[int] = []
    reader = threading.Thread(target=lambda: results.extend(done))
    reader.start()
    for number in (2, 1, 0, 5, 3, 4):
        gates[number].set()
    reader.join(10)
    assert results == [0, 1, 4, 9, 16, 25]
    assert sorted(begun) == list(range(6))


def test_side_by_side_has_as_many_at_work_as_it_was_told() -> None:
    meeting = threading.Barrier(3)
    assert list(side_by_side(lambda number: (meeting.wait(10), number)[1], range(9), 3)) == list(range(9))
    at_work = [0, 0]

    def alone(number: int) -> int:
        at_work[0] += 1
        at_work[1] = max(at_work)
        time.sleep(0.001)
        at_work[0] -= 1
        return number

    assert list(side_by_side(alone, range(20), 1)) == list(range(20))
    assert at_work == [0, 1]


@pytest.mark.parametrize("place", ["work", "items"])
def test_what_fails_side_by_side_is_raised_after_the_results_before_it(place: str) -> None:
    def items() -> Iterator[int]:
        for number in range(8):
            if place == "items" and number == 5:
                raise ValueError("broken 5")
            yield number

    def work(number: int) -> int:
        if place == "work" and number == 5:
            raise ValueError("broken 5")
        return number

    taken = side_by_side(work, items(), 2)
    assert [next(taken) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="broken 5"):
        next(taken)


def test_closing_what_goes_side_by_side_closes_its_source_and_wakes_who_is_at_work() -> None:
    woken, closed = threading.Event(), threading.Event()

    def endless() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.set()

    def work(number: int) -> int:
        if number:
            woken.wait(10)
        return number

    before = threading.active_count()
    done = side_by_side(work, endless(), 2, woken.set)
    assert next(done) == 0
    done.close()
    assert closed.is_set()
    assert woken.is_set()
    assert threading.active_count() == before


def test_what_goes_ahead_begins_before_it_is_asked_for_and_waits_where_it_is_full() -> None:
    made: list[int] = []
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            for number in range(100):
                made.append(number)
                yield number
        finally:
            closed.set()

    running = Ahead(items(), 5)
    deadline = time.monotonic() + 10
    while len(made) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert 5 <= len(made) <= 7
    assert list(running) == list(range(100))
    running = Ahead(items(), 5)
    closed.clear()
    running.close()
    assert closed.is_set()


def test_what_goes_ahead_may_be_closed_while_another_thread_waits_in_it() -> None:
    gate, closed = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        try:
            yield 1
            gate.wait(60)
        finally:
            closed.set()

    running = Ahead(items(), 5)
    taken: list[int] = []
    reader = threading.Thread(target=lambda: taken.extend(running))
    reader.start()
    while not taken:
        time.sleep(0.01)
    running.close()
    reader.join(10)
    assert not reader.is_alive()
    gate.set()
    assert closed.wait(10)
    assert taken == [1]
    assert list(running) == []


_PROGRAM = """
import atexit, sys, threading
import mmcli.cli
from mmcli.threads import merge

gate = threading.Event()

def stuck():
    yield 1
    gate.wait(60)

running = merge(stuck(), size=1)
next(running)
if sys.argv[1] == "over":
    gate.set()
    running.close()
atexit.register(print, "cleaned up")
mmcli.cli.run = lambda: 3
from mmcli.__main__ import main
main()
"""


@pytest.mark.parametrize("stage, said", [("stuck", ""), ("over", "cleaned up\n")])
def test_the_program_leaves_a_stage_behind_that_does_not_end(stage: str, said: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM, stage], capture_output=True, text=True, check=False, timeout=30
    )
    assert (ended.returncode, ended.stdout) == (3, said), ended.stderr
