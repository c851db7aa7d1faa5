"""Utterances as sound: silences, voices, times, and cues at their places; by real and by small voices."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from mmcli import engines
from mmcli.catalogue import read_catalogue
from mmcli.errors import UsageError
from mmcli.media.cue_files import SpokenCue
from mmcli.options import SpeakOptions
from mmcli.speaking.dubbing import MAX_TEMPO, dub
from mmcli.speaking.script import Utterance
from mmcli.speaking.sound import Narration, at_volume, narrate, with_words
from mmcli.stages import Audio, Segment, Synthesizer, Voice

RATE = 16000


class Letters:
    """A tenth of a second of sound for each letter; without letters none. Notes what it was given."""

    reads_numbers = False

    def __init__(self) -> None:
        self.given: list[tuple[str | None, list[str]]] = []

    def speak(self, sentences: Iterable[str], options: SpeakOptions) -> Iterator[Audio]:
        if options.voice == "none":
            raise UsageError('there is no voice "none"')
        return self._speak(sentences, options.voice)

    def _speak(self, sentences: Iterable[str], voice: str | None) -> Iterator[Audio]:
        self.given.append((voice, []))
        for sentence in sentences:
            self.given[-1][1].append(sentence)
            for _ in filter(str.isalpha, sentence):
                yield Audio(np.full(RATE // 10, 0.5, np.float32), RATE)

    def voices(self) -> tuple[Voice, ...]:
        return (Voice("letters", "en"),)


@pytest.fixture(scope="module")
def espeak() -> Synthesizer:
    loaded = engines.load(read_catalogue().model("espeak"))
    assert isinstance(loaded, Synthesizer)
    return loaded


def joined(blocks: Iterable[Audio]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.float32), *(block.samples for block in blocks)])


def runs(samples: np.ndarray) -> list[tuple[bool, float]]:
    """Sound and silence in turn, with their seconds."""
    return [(bool(loud), round(len(list(group)) / RATE, 3)) for loud, group in itertools.groupby(samples != 0)]


def test_silence_stands_between_sentences_and_where_pauses_are() -> None:
    said = [Utterance("aa", 0.5), Utterance("bbb"), Utterance("...", 1.0), Utterance("c", 0.3), Utterance("", 2.0)]
    heard = joined(narrate(Letters(), said, Narration(SpeakOptions(), sentence_silence=0.2)))
    assert runs(heard) == [
        (False, 0.5), (True, 0.2), (False, 0.2), (True, 0.3), (False, 1.5), (True, 0.1), (False, 2.0),
    ]  # fmt: skip


def test_each_speaker_has_a_voice_and_a_run_of_lines_goes_to_the_engine_at_once() -> None:
    tts = Letters()
    said = [
        Utterance("a", 0, "A"),
        Utterance("b", 0, "A"),
        Utterance("c"),
        Utterance("d", 0, "B"),
        Utterance("e", 0, "A"),
    ]
    how = Narration(SpeakOptions(voice="own"), {"A": "one", "B": "two"})
    assert len(list(narrate(tts, said, how))) == 5
    assert tts.given == [("one", ["a", "b"]), ("own", ["c"]), ("two", ["d"]), ("one", ["e"])]


def test_an_unknown_voice_is_refused_before_anything_is_spoken() -> None:
    with pytest.raises(UsageError, match="no voice"):
        Narration(SpeakOptions(), {"A": "one", "B": "none"}).check(Letters())


def test_numbers_are_spelled_for_a_voice_that_does_not_read_them_and_told_as_they_were_written() -> None:
    told: list[Segment] = []
    tts = Letters()
    list(narrate(tts, [Utterance("It is 12.")], Narration(SpeakOptions(), told=told.append)))
    assert tts.given == [(None, ["It is twelve."])]
    assert [segment.text for segment in told] == ["It is 12."]


def test_the_first_block_comes_before_the_second_utterance_is_asked_for() -> None:
    asked: list[int] = []

    def endless() -> Iterator[Utterance]:
        for number in itertools.count():
            asked.append(number)
            yield Utterance("abc")

    sound = narrate(Letters(), endless(), Narration(SpeakOptions()))
    next(sound)
    assert asked == [0]
    sound.close()


def test_times_are_those_of_the_sound(espeak: Synthesizer) -> None:
    told: list[Segment] = []
    said = [Utterance("Good morning."), Utterance("It is 12 o'clock in well-known Paris - perhaps.", 1.0)]
    heard = list(narrate(espeak, said, Narration(SpeakOptions(), sentence_silence=0.25, told=told.append)))
    rate, samples = heard[0].rate, np.abs(joined(heard))
    assert [segment.text for segment in told] == [item.text for item in said]
    for segment in told:
        assert samples[round(segment.start * rate) : round(segment.end * rate)].max() > 0.2
        edges = [round(edge, 6) for word in segment.words for edge in (word.start, word.end)]
        assert edges == sorted(edges)
        assert segment.start - 1e-5 < edges[0] < edges[-1] < segment.end + 1e-5
    assert samples[round(told[0].end * rate) : round(told[1].start * rate)].max() < 0.01
    assert 1.25 < told[1].start - told[0].end < 2
    words = [word.text for word in told[1].words]
    assert words == ["It", "is", "12", "o'clock", "in", "well-known", "Paris", "perhaps."]


def test_a_cue_is_spoken_at_its_time_and_the_whole_lasts_as_long_as_the_cues() -> None:
    told: list[Segment] = []
    cues = [SpokenCue(1, 1.0, 2.0, "abcde"), SpokenCue(2, 3.0, 4.0, "a" * 12), SpokenCue(3, 6.0, 9.5, "ab")]
    heard = joined(dub(Letters(), cues, Narration(SpeakOptions(), told=told.append)))
    assert len(heard) / RATE == pytest.approx(9.5, abs=0.001)
    assert [(s.start, round(s.end, 2)) for s in told] == [(1.0, 1.5), (3.0, 4.0), (6.0, 6.2)]
    loud = np.abs(heard) > 0.1
    assert np.flatnonzero(loud)[0] / RATE == pytest.approx(1.0, abs=0.01)
    assert loud[round(3.1 * RATE) : round(3.9 * RATE)].mean() > 0.9
    assert not loud[round(4.05 * RATE) : round(5.95 * RATE)].any()


def test_a_cue_that_does_not_fit_goes_on_and_one_line_tells_it(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Segment] = []
    cues = [SpokenCue(1, 0.0, 1.0, "a" * 30), SpokenCue(2, 1.5, 3.0, "a" * 6), SpokenCue(3, 5, 6, "a")]
    with caplog.at_level(logging.WARNING, "mmcli"):
        heard = joined(dub(Letters(), cues, Narration(SpeakOptions(), told=told.append)))
    assert told[0].end == pytest.approx(3 / MAX_TEMPO, abs=0.05)
    assert told[1].start == pytest.approx(told[0].end, abs=0.05)
    assert told[2].start == 5.0
    assert len(heard) / RATE == pytest.approx(6.0, abs=0.001)
    assert [record.getMessage() for record in caplog.records] == ["1 of 3 cues last longer than their time: 1 by 1.0 s"]


def test_speakers_of_cues_have_their_voices() -> None:
    tts = Letters()
    cues = [SpokenCue(1, 0, 1, "a", "anna"), SpokenCue(2, 1, 2, "BEN: b"), SpokenCue(3, 2, 3, "c", "Carl")]
    list(dub(tts, cues, Narration(SpeakOptions(voice="own"), {"Anna": "one", "Ben": "two"})))
    assert tts.given == [("one", ["a"]), ("two", ["b"]), ("own", ["c"])]


@pytest.mark.parametrize("volume", [0.0, 0.5, 1.0, 3.0, 10.0])
def test_volume_scales_and_never_clips(espeak: Synthesizer, volume: float) -> None:
    plain = list(espeak.speak(["How loud is this?"], SpeakOptions()))
    samples, own = joined(at_volume(plain, volume)), joined(plain)
    assert samples.dtype == np.float32
    assert np.abs(samples).max() < 1.0
    soft = np.abs(own * volume) < 0.8
    np.testing.assert_allclose(samples[soft], own[soft] * volume, atol=1e-6)


def test_sound_that_nobody_hears_is_an_error_at_its_end() -> None:
    silent = [Audio(np.zeros(100, np.float32), RATE)] * 3
    taken = with_words(silent)
    assert len(list(itertools.islice(taken, 3))) == 3
    with pytest.raises(UsageError, match="nothing in the text"):
        next(taken)
