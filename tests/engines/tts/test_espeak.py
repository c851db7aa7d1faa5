"""espeak: what it says is compared with the library called directly, its pitch measured in the sound itself."""

from __future__ import annotations

import math
import subprocess
import sys
from itertools import islice

import espeakng_loader
import numpy as np
import pytest

from mmcli import engines
from mmcli.catalogue import ModelCard
from mmcli.engines.tts.espeak import Espeak
from mmcli.errors import ConfigError, EngineError, MissingPackage, UsageError
from mmcli.options import SpeakOptions
from mmcli.stages import Synthesizer

CARD = ModelCard("espeak", "tts", "espeak", "embedded:espeakng_loader")
VOWELS = "We were away a year ago. Our animal will yell all along a long lane, you and I may marry now."


@pytest.fixture(scope="module")
def espeak() -> Espeak:
    loaded = engines.load(CARD)
    assert isinstance(loaded, Synthesizer)
    assert isinstance(loaded, Espeak)
    return loaded


def sound(espeak: Espeak, *sentences: str, **options: object) -> np.ndarray:
    blocks = [block.samples for block in espeak.speak(sentences, SpeakOptions(**options))]
    return np.concatenate([np.zeros(0, np.float32), *blocks])


def fundamental(samples: np.ndarray, rate: int) -> float:
    """The median pitch of the voiced stretches in hertz: first high peak of the normalised autocorrelation."""
    frame, found = rate // 25, []
    lags = np.arange(rate // 500, rate // 55)
    for start in range(0, len(samples) - 2 * frame, rate // 50):
        here = samples[start : start + frame]
        if np.sqrt((here**2).mean()) < 0.06:
            continue
        shifted = np.lib.stride_tricks.sliding_window_view(samples[start : start + frame + lags[-1]], frame)[lags]
        similar = shifted @ here / np.sqrt((here @ here) * (shifted**2).sum(axis=1) + 1e-9)
        inner = similar[1:-1]
        peaks = (inner > 0.92 * similar.max()) & (inner >= similar[:-2]) & (inner >= similar[2:])
        if similar.max() > 0.8 and peaks.any():
            found.append(rate / lags[1 + int(np.argmax(peaks))])
    assert len(found) > 20
    return float(np.median(found))


def spectrum(samples: np.ndarray) -> np.ndarray:
    """Log magnitudes in frames of 46 ms, averaged over eight bins: [frame, band]."""
    whole = samples[: len(samples) // 1024 * 1024].reshape(-1, 1024)
    bands = np.abs(np.fft.rfft(whole * np.hanning(1024)))[:, :512].reshape(len(whole), 64, 8).mean(axis=2)
    return np.log(bands + 0.01)


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    first, second = spectrum(one), spectrum(other)
    frames = min(len(first), len(second))
    return float(np.corrcoef(first[:frames].ravel(), second[:frames].ravel())[0, 1])


def test_samples_are_float32_within_one_at_22050_hertz(espeak: Espeak) -> None:
    blocks = list(espeak.speak(["The total is 18.40 euros."], SpeakOptions()))
    assert {block.rate for block in blocks} == {22050}
    assert all(block.samples.dtype == np.float32 and 0 < block.seconds <= 0.11 for block in blocks)
    peak = max(np.abs(block.samples).max() for block in blocks)
    assert 0.2 < peak < 1.0


def test_sound_grows_with_text_and_shrinks_with_speed(espeak: Espeak) -> None:
    short, long = len(sound(espeak, "One two.")), len(sound(espeak, "One two three four five six seven."))
    assert long > 2 * short
    slow, usual, fast = (len(sound(espeak, VOWELS, speed=speed)) for speed in (0.5, 1.0, 2.0))
    assert slow > 1.5 * usual
    assert fast < 0.65 * usual


@pytest.mark.parametrize("voice", ["en-us", "en-us+f3", "de"])
@pytest.mark.parametrize("pitch", [0.7, 1.5])
def test_pitch_scales_the_fundamental(espeak: Espeak, voice: str, pitch: float) -> None:
    own = fundamental(sound(espeak, VOWELS, voice=voice), espeak.rate)
    changed = fundamental(sound(espeak, VOWELS, voice=voice, pitch=pitch), espeak.rate)
    assert math.log2(changed / own) == pytest.approx(math.log2(pitch), abs=0.17)


@pytest.mark.parametrize(
    "options, identifier",
    [
        ({}, "gmw/en-US"),
        ({"language": "en"}, "gmw/en-US"),
        ({"voice": "en-GB"}, "gmw/en"),
        ({"voice": "en-us+F3"}, "gmw/en-US+f3"),
        ({"voice": "fr"}, "roa/fr"),
        ({"language": "fr"}, "roa/fr"),
        ({"language": "zh"}, "sit/cmn"),
        ({"language": "pt_BR"}, "roa/pt-BR"),
        ({"language": "de-AT"}, "gmw/de"),
        ({"voice": "+f3", "language": "de"}, "gmw/de+f3"),
        ({"voice": "en-gb", "language": "en"}, "gmw/en"),
    ],
)
def test_voice_and_language_choose_the_voice(espeak: Espeak, options: dict[str, str], identifier: str) -> None:
    assert espeak._find(options.get("voice"), options.get("language")) == identifier
    assert len(sound(espeak, "Seven.", **options)) > 0.5 * espeak.rate


def test_languages_sound_different(espeak: Espeak) -> None:
    text = "Information 1984 original"
    sounds = {language: sound(espeak, text, language=language) for language in ("en", "de", "fr", "es", "ru", "ja")}
    assert all(len(samples) > espeak.rate for samples in sounds.values())
    assert all(likeness(sounds["en"], sounds[other]) < 0.9 for other in ("de", "fr", "es", "ru", "ja"))
    assert likeness(sounds["en"], sound(espeak, text)) > 0.95


@pytest.mark.parametrize(
    "options, words",
    [
        ({"voice": "en-uss"}, ['"en-uss"', 'did you mean "en-us"?']),
        ({"voice": "en-us+f33"}, ['"f33"', 'did you mean "f3"?']),
        ({"voice": "xyzzy"}, ['"xyzzy"', "--list-voices"]),
        ({"voice": "en-us+"}, ["variant"]),
        ({"voice": "../../voice"}, ["../../voice"]),
        ({"language": "eng"}, ['"eng"', 'did you mean "en"?']),
        ({"language": "German"}, ['did you mean "de"?']),
        ({"voice": "en-gb", "language": "de"}, ['"en-gb"', '"de"']),
        ({"speed": 0.2}, ["0.46", "2.57"]),
        ({"speed": math.nan}, ["0.46"]),
        ({"speed": 3.0}, ["2.57"]),
        ({"pitch": 2.0}, ["0.6", "1.6"]),
        ({"pitch": 0.0}, ["0.6"]),
    ],
)
def test_what_espeak_does_not_have_is_one_clear_line_before_any_sound(
    espeak: Espeak, options: dict[str, object], words: list[str]
) -> None:
    with pytest.raises(UsageError) as raised:
        espeak.speak(["Hello."], SpeakOptions(**options))
    assert all(word in str(raised.value) for word in words)
    assert "\n" not in str(raised.value)


def test_every_listed_voice_speaks(espeak: Espeak) -> None:
    voices = espeak.voices()
    names = [voice.name for voice in voices]
    assert len(names) == len(set(names)) > 200
    assert {"en-us", "en-gb", "de", "fr-fr", "+f3", "+klatt"} <= set(names)
    for voice in voices:
        samples = sound(espeak, "12 abc", voice=voice.name)
        assert np.abs(samples).max() > 0.02, f"{voice.name} is silent"


@pytest.mark.parametrize("text", ["...", "?!", "😀 😀", "–", '"', "(*)", "&lt;", "<speak>", "\ud800", "5 < 6"])
def test_odd_text_gives_no_error(espeak: Espeak, text: str) -> None:
    assert len(sound(espeak, text)) < 10 * espeak.rate


@pytest.mark.parametrize("text", ["", "  \n ", "\0", "\u200b", "\x01\x02"])
def test_nothing_to_say_gives_no_sound(espeak: Espeak, text: str) -> None:
    assert list(espeak.speak([text], SpeakOptions())) == []


def test_phonemes_markup_and_commands_in_text_are_not_obeyed(espeak: Espeak) -> None:
    plain = len(sound(espeak, "hello"))
    # As phonemes, markup or a command for another speed these would be as long as the word alone or shorter.
    for text in ("[[h@'loU]]", "<prosody rate='x-fast'>hello</prosody>", "\x01+300Shello"):
        assert len(sound(espeak, text)) > 1.2 * plain


def test_a_nul_does_not_end_the_text(espeak: Espeak) -> None:
    assert len(sound(espeak, "one two\0 three four five six")) > 1.5 * len(sound(espeak, "one two"))


def test_closing_stops_reading_and_speaking(espeak: Espeak) -> None:
    read = []

    def sentences():
        for number in range(1000):
            read.append(number)
            yield f"This is sentence number {number}."

    speaking = espeak.speak(sentences(), SpeakOptions())
    assert len(list(islice(speaking, 40))) == 40
    speaking.close()
    assert len(read) <= 4
    assert next(speaking, None) is None


def test_the_first_sentence_sounds_before_the_second_is_known(espeak: Espeak) -> None:
    def sentences():
        yield "One."
        pytest.fail("asked for the second sentence before the sound of the first one was taken")

    assert next(espeak.speak(sentences(), SpeakOptions())).seconds > 0


def test_two_generators_at_the_same_time_sound_as_two_after_each_other(espeak: Espeak) -> None:
    first = (["How much is the total?", "When does the train leave?"], SpeakOptions(voice="en-us", speed=0.8))
    second = (["Der Zug fährt um neun Uhr.", "Das macht zwölf Euro."], SpeakOptions(voice="de+f3", pitch=1.3))
    alone = [np.concatenate([block.samples for block in espeak.speak(*use)]) for use in (first, second)]
    uses = [espeak.speak(*use) for use in (first, second)]
    together: list[list[np.ndarray]] = [[], []]
    running = {0, 1}
    while running:
        for index in sorted(running):
            block = next(uses[index], None)
            if block is None:
                running.discard(index)
            else:
                together[index].append(block.samples)
    for index in (0, 1):
        samples = np.concatenate(together[index])
        # The library carries the phase of its pitch flutter from one text to the next, so samples differ a little.
        assert len(samples) == pytest.approx(len(alone[index]), rel=0.005)
        assert likeness(samples, alone[index]) > 0.95
    assert likeness(alone[0], alone[1]) < 0.7


DIRECT = """
import ctypes, sys, zlib, espeakng_loader
lib = ctypes.CDLL(espeakng_loader.get_library_path())
sound = b""
@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
def take(samples, count, events):
    global sound
    if samples:
        sound += ctypes.string_at(samples, 2 * count)
    return 0
assert lib.espeak_Initialize(2, 100, espeakng_loader.get_data_path().encode(), 0x8000) == 22050
lib.espeak_ng_SetRandSeed(ctypes.c_long(1))
lib.espeak_SetSynthCallback(take)
assert lib.espeak_SetVoiceByName(b"gmw/en+f3") == 0
lib.espeak_SetParameter(1, 210, 0)
text = "Two coffees, please: 7.80 € in total.".encode() + bytes(1)
lib.espeak_Synth(text, len(text), 0, 1, 0, 0x1001, None, None)
print(len(sound) // 2, zlib.crc32(sound))
"""
ENGINE = """
import zlib, numpy
from mmcli.catalogue import read_catalogue
from mmcli.engines import load
from mmcli.options import SpeakOptions
speaking = load(read_catalogue().model("espeak")).speak(
    ["Two coffees, please: 7.80 € in total."], SpeakOptions(voice="en-gb+f3", speed=1.2))
sound = numpy.concatenate([block.samples for block in speaking])
print(len(sound), zlib.crc32((sound * 32768).astype(numpy.int16).tobytes()))
"""


def test_the_sound_is_the_librarys_own_bit_for_bit() -> None:
    printed = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for code in (DIRECT, ENGINE)
    ]
    assert printed[0] == printed[1]
    assert int(printed[0].split()[0]) > 22050


LONG = """
import resource, sys
from itertools import islice
from mmcli.catalogue import read_catalogue
from mmcli.engines import load
from mmcli.options import SpeakOptions
espeak = load(read_catalogue().model("espeak"))
text = "hello there " * 85000
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
seconds = sum(block.seconds for block in islice(espeak.speak([text], SpeakOptions()), 20000))
print(len(text), seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_megabyte_on_one_line_takes_constant_memory() -> None:
    printed = subprocess.run([sys.executable, "-c", LONG], capture_output=True, text=True, check=True).stdout
    characters, seconds, kilobytes = map(float, printed.split())
    assert characters > 1e6
    assert seconds > 1500
    # These 1500 s are 132 MB of samples.
    assert kilobytes < 20_000


INTERRUPTED = """
import os, signal, threading
from mmcli.catalogue import read_catalogue
from mmcli.engines import load
from mmcli.options import SpeakOptions
espeak = load(read_catalogue().model("espeak"))
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    for block in espeak.speak(["hello there " * 500000], SpeakOptions()):
        pass
    print("spoke to the end")
except KeyboardInterrupt:
    print("interrupted")
"""


def test_an_interrupt_in_the_middle_of_the_synthesis_is_not_lost() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "interrupted\n"
    assert done.stderr == ""


BROKEN = """
import sys, espeakng_loader
from mmcli.catalogue import read_catalogue
from mmcli.engines import load
from mmcli.errors import MmcliError
setattr(espeakng_loader, sys.argv[1], lambda: sys.argv[2])
try:
    print(len(load(read_catalogue().model("espeak")).voices()))
except MmcliError as error:
    print(type(error).__name__, error)
"""


def _load_with(function: str, path: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", BROKEN, function, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout


def test_a_library_that_is_absent_or_broken_is_one_clear_line(tmp_path) -> None:
    (tmp_path / "broken.so").write_bytes(b"not a library")
    absent = _load_with("get_library_path", tmp_path / "absent.so")
    assert absent.startswith(MissingPackage.__name__)
    assert "pip install" in absent
    assert _load_with("get_library_path", tmp_path / "broken.so").startswith(EngineError.__name__)
    assert _load_with("get_data_path", tmp_path).startswith(MissingPackage.__name__)


def test_data_behind_a_path_too_long_for_the_library_is_found(tmp_path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    (deep / "espeak-ng-data").symlink_to(espeakng_loader.get_data_path())
    assert int(_load_with("get_data_path", deep / "espeak-ng-data")) > 200


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(ConfigError, match=r'\[models.mine\] unknown setting "speed"'):
        engines.load(ModelCard("mine", "tts", "espeak", "embedded:espeakng_loader", settings={"speed": 2}))


def test_a_voice_is_not_taken_over_from_a_recording(espeak: Espeak) -> None:
    with pytest.raises(UsageError, match="--speaker-wav"):
        espeak.speak(iter(["Hello."]), SpeakOptions(speaker_wav=("me.wav",)))
