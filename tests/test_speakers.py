"""Turns of speakers are given to segments and words; segments are cut where the speaker changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from mmcli import channels, engines, speakers
from mmcli.catalogue import read_catalogue
from mmcli.errors import InputError, UsageError
from mmcli.options import DiarizeOptions, TranscribeOptions, VadOptions
from mmcli.stages import Audio, AudioSource, Decoding, Segment, SpeakerTurn, Window, Word

RATE = 16000


class Told:
    """A transcriber or diarizer that gives what it was given."""

    rate = RATE
    packs = False
    words = True

    def __init__(self, segments: Iterable[Segment] = (), turns: tuple[SpeakerTurn, ...] = ()) -> None:
        self.segments, self.turns = segments, turns

    def transcribe(self, windows: Iterable[Window], options: TranscribeOptions) -> Iterator[Segment]:
        yield from self.segments

    def speakers(self, windows: Iterable[Window], options: DiarizeOptions) -> tuple[SpeakerTurn, ...]:
        self.starts = [window.start for window in windows]
        return self.turns


def tone(seconds: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * 300 * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def source(samples: np.ndarray, channels: tuple[np.ndarray, ...] = ()) -> AudioSource:
    alone = tuple(source(channel) for channel in channels)
    return AudioSource("x", None, lambda rate: iter([Audio(samples, rate)]), channels=alone)


def hearing(stt: Any, diarizer: Any = None, **options: Any) -> speakers.Hearing:
    detector = engines.load(read_catalogue().model("fake-vad"))
    return speakers.Hearing(
        detector, diarizer or Told(), stt, VadOptions(), DiarizeOptions(**options), TranscribeOptions()
    )


def by_voice(segments: Iterable[Segment], turns: tuple[SpeakerTurn, ...], **options: Any) -> list[Segment]:
    return list(speakers.transcribe(source(tone(1)), hearing(Told(segments), Told(turns=turns), **options)))


TURNS = (SpeakerTurn(0, 2, 5), SpeakerTurn(2, 4, 3), SpeakerTurn(6, 8, 5))


def words(*texts: str, apart: str = "") -> tuple[Word, ...]:
    return tuple(Word(apart + text, 1.0 * place, place + 0.9) for place, text in enumerate(texts))


def test_a_segment_without_words_is_of_who_speaks_longest_in_it() -> None:
    told = by_voice([Segment(0, 3.5, "a"), Segment(1.8, 4.5, "b"), Segment(6, 7, "c")], TURNS)
    assert [(s.text, s.speaker) for s in told] == [("a", "SPEAKER_00"), ("b", "SPEAKER_01"), ("c", "SPEAKER_00")]


def test_where_nobody_speaks_it_is_the_nearest() -> None:
    told = by_voice([Segment(4.2, 4.6, "a"), Segment(5.5, 5.9, "b"), Segment(20, 21, "c")], TURNS)
    assert [s.speaker for s in told] == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_01"]
    assert [s.speaker for s in by_voice([Segment(0, 1, "a")], ())] == ["SPEAKER_00"]


@pytest.mark.parametrize("apart", ["", " "])
def test_a_segment_is_cut_between_words_where_the_speaker_changes(apart: str) -> None:
    spoken = words("one", "two", "three", "four", apart=apart)
    segment = Segment(-0.1, 4.1, " one two three four", spoken, "en")
    first, second = by_voice([segment], TURNS)
    assert (first.start, first.end, first.text.strip(), first.speaker) == (-0.1, 1.9, "one two", "SPEAKER_00")
    assert (second.start, second.end, second.text.strip(), second.speaker) == (2.0, 4.1, "three four", "SPEAKER_01")
    assert [word.speaker for part in (first, second) for word in part.words] == ["SPEAKER_00"] * 2 + ["SPEAKER_01"] * 2
    assert first.language == second.language == "en"


def test_the_parts_of_a_segment_share_its_decoding_but_not_its_tokens() -> None:
    decoding = Decoding((5, 6), 0, 0.2, -0.4, 1.25, 0.01)
    whole = Segment(0, 4, " one two three four", words("one", "two", "three", "four", apart=" "), "en", None, decoding)
    parts = by_voice([whole], TURNS)
    assert len(parts) > 1
    assert {part.decoding for part in parts} == {dataclasses.replace(decoding, tokens=())}


def test_a_segment_of_one_speaker_stays_as_it_is() -> None:
    segment = Segment(0, 2, " one  two", words("one", "two", apart=" "))
    (told,) = by_voice([segment], TURNS)
    assert dataclasses.replace(told, speaker=None, words=segment.words) == segment


@pytest.mark.parametrize("windowing, start", [("vad", 2.0), ("sequential", 0.0)])
def test_speakers_are_looked_for_on_the_clock_of_what_is_heard(windowing: str, start: float) -> None:
    late = np.concatenate([np.zeros(2 * RATE, np.float32), tone(1)])
    audio = dataclasses.replace(source(late), blocks16=source(tone(1)).blocks)
    told = Told()
    asked = hearing(Told(), told)
    asked = dataclasses.replace(asked, transcribe=TranscribeOptions(windowing=windowing))
    assert list(speakers.transcribe(audio, asked)) == []
    assert told.starts == [pytest.approx(start, abs=0.5)]


def test_names_are_given_in_the_order_of_the_first_words() -> None:
    segments = [Segment(2.5, 3, "a"), Segment(6, 7, "b"), Segment(7, 8, "c")]
    turns = (*TURNS[:2], SpeakerTurn(6, 7, 0), SpeakerTurn(7, 8, 9))
    assert [s.speaker for s in by_voice(segments, turns, names=("Ann", "Ben"))] == ["Ann", "Ben", "SPEAKER_02"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"by": "chanel"}, "did you mean"),
        ({"min_speakers": 0}, "at least 1"),
        ({"min_speakers": 3, "max_speakers": 2}, "cannot be 2"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        by_voice([], TURNS, **options)


def test_one_channel_cannot_tell_speakers() -> None:
    with pytest.raises(InputError, match="no two channels"):
        by_voice([], TURNS, by="channel")


# ---------------------------------------------------------------- channels


def call(*, other: float = 0.0) -> AudioSource:
    """Two people take turns of two seconds; each is heard in the other's channel `other` times as loud."""
    silence = np.zeros(2 * RATE, np.float32)
    random = np.random.default_rng(2)
    # Levels that rise and fall, as those of speech do.
    waves = [np.repeat(random.uniform(0.1, 1.0, 125), 256).astype(np.float32) * tone(2) for _ in range(4)]
    left = np.concatenate([waves[0], silence, waves[1], silence])
    right = np.concatenate([silence, waves[2], silence, waves[3]])
    return source(0.5 * (left + right), (left + other * right, right + other * left))


def counted(audio: AudioSource, **options: Any) -> list[tuple[str | None, float, float]]:
    stt = engines.load(read_catalogue().model("fake-stt"))
    told = speakers.transcribe(audio, hearing(stt, Told(turns=(SpeakerTurn(0, 8, 0),)), **options))
    return [(segment.speaker, round(segment.start, 1), round(segment.end, 1)) for segment in told]


@pytest.mark.parametrize("other", [0.0, 0.03, 0.3])
@pytest.mark.parametrize("by", ["auto", "channel"])
def test_each_channel_of_a_call_is_a_speaker_and_what_leaks_is_heard_once(by: str, other: float) -> None:
    heard = counted(call(other=other), by=by)
    assert [who for who, _, _ in heard] == ["SPEAKER_00", "SPEAKER_01"] * 2
    for place, (_, start, end) in enumerate(heard):
        assert start == pytest.approx(2 * place, abs=0.8)
        assert end == pytest.approx(2 * place + 2, abs=0.8)


def test_two_who_talk_at_once_are_both_heard() -> None:
    random = np.random.default_rng(3)
    left, right = (np.repeat(random.uniform(0.1, 1.0, 200), 256).astype(np.float32) * tone(3.2) for _ in range(2))
    assert sorted(who for who, _, _ in counted(source(left, (left, 0.4 * right)))) == ["SPEAKER_00", "SPEAKER_01"]


@pytest.mark.parametrize("second", [1.0, 0.4, 0.0])
def test_channels_with_one_voice_are_no_speakers(second: float) -> None:
    random = np.random.default_rng(3)
    voice = np.repeat(random.uniform(0.1, 1.0, 200), 256).astype(np.float32) * tone(3.2)
    assert [who for who, _, _ in counted(source(voice, (voice, second * voice)))] == ["SPEAKER_00"]


def test_each_of_many_turns_is_heard_with_a_little_around_it() -> None:
    times = [(1.0, 2.0), (2.1, 3.0), (10.0, 13.5), (40.0, 40.5)]
    loud = AudioSource("x", None, lambda rate: (Audio(np.ones(rate, np.float32), rate) for _ in range(60)))
    heard = channels.gated(loud, [SpeakerTurn(start, end, 0) for start, end in times])
    sound = np.concatenate([block.samples for block in heard.blocks(1000)])
    wanted = np.zeros(60_000, np.float32)
    for start, end in times:
        pad = channels._PAD_S
        wanted[round((start - pad) * 1000) : round((end + pad) * 1000)] = 1
    np.testing.assert_array_equal(sound, wanted)


def test_closing_closes_every_channel() -> None:
    closed: list[int] = []

    def endless(number: int) -> AudioSource:
        def blocks(rate: int) -> Iterator[Audio]:
            try:
                yield from alone.blocks(rate)
            finally:
                closed.append(number)

        alone = call().channels[number]
        return AudioSource("x", None, blocks)

    audio = dataclasses.replace(call(), channels=(endless(0), endless(1)))
    stt = engines.load(read_catalogue().model("fake-stt"))
    told = speakers.transcribe(audio, hearing(stt))
    next(told)
    assert sorted(closed) == [0, 1]
    told.close()
    assert sorted(closed) == [0, 0, 1, 1]
