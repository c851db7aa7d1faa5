"""Any acoustic model with any vocoder: what is spoken, how loud, what is told, and what is refused before loading."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mmcli import engines
from mmcli.catalogue import Catalogue, ModelCard, PipelineSpec, read_catalogue
from mmcli.checks import check, with_vocoder
from mmcli.engines.tts.griffin_lim import GriffinLim
from mmcli.engines.tts.joined import Joined, limited
from mmcli.errors import ConfigError, MmcliError, UsageError
from mmcli.media.audio import open_audio
from mmcli.mel import Mel, MelFacts, analyse
from mmcli.options import SpeakOptions
from mmcli.stages import Audio, Voice

FACTS = MelFacts(rate=16000, n_fft=1024, hop=256, win=1024, n_mels=80, fmin=0.0, fmax=8000.0)


class Reads:
    """An acoustic model that has learned one recording and says so many of its frames as the sentence has letters."""

    facts = FACTS

    def __init__(self, recording: Audio) -> None:
        self.mel = analyse(recording.samples, FACTS)
        self.asked: list[str] = []

    def check(self, options: SpeakOptions) -> None:
        if options.voice:
            raise UsageError("one voice only")

    def spectrogram(self, text: str, options: SpeakOptions) -> Mel:
        self.asked.append(text)
        known = [character for character in text if character.isascii()]
        left_out = "".join(character for character in text if not character.isascii())
        return Mel(self.mel.values[:, : 10 * len(known)], FACTS, left_out)

    def voices(self) -> tuple[Voice, ...]:
        return (Voice("one", "en"),)


@pytest.fixture(scope="module")
def recording(data: Path) -> Audio:
    return Audio(np.concatenate([block.samples for block in open_audio(data / "a01.wav").blocks(16000)]), 16000)


@pytest.fixture
def acoustic(recording: Audio) -> Reads:
    return Reads(recording)


@pytest.fixture(scope="module")
def vocoder() -> GriffinLim:
    card = dataclasses.replace(read_catalogue().models["griffin-lim"], settings={"iterations": 8})
    loaded: GriffinLim = engines.load(card)
    return loaded


def _speak(stage: Joined, *sentences: str) -> list[Audio]:
    return list(stage.speak(iter(sentences), SpeakOptions()))


def test_a_spectrogram_is_made_and_heard_for_each_sentence_with_words(acoustic: Reads, vocoder: GriffinLim) -> None:
    blocks = _speak(Joined(acoustic, vocoder), "Good morning.", "...", "", " ", "🙂", "\x1b[31m7", "Yes")
    assert acoustic.asked == ["Good morning.", "[31m7", "Yes"]
    assert [len(block.samples) for block in blocks] == [256 * (10 * n - 1) for n in (13, 5, 3)]
    assert {block.rate for block in blocks} == {16000}


def test_the_next_sentence_is_not_asked_for_before_the_last_one_is_heard(acoustic: Reads, vocoder: GriffinLim) -> None:
    given: list[int] = []

    def endless() -> Iterator[str]:
        try:
            for number in range(1000):
                given.append(number)
                yield "again"
        finally:
            given.append(-1)

    sound = Joined(acoustic, vocoder).speak(endless(), SpeakOptions())
    assert len(next(sound).samples)
    assert given == [0]
    sound.close()


def test_characters_without_a_sign_are_told_once(
    acoustic: Reads, vocoder: GriffinLim, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "mmcli"):
        blocks = _speak(Joined(acoustic, vocoder), "Привет", "да yes", "no")
    assert len(blocks) == 2
    (told,) = caplog.messages
    assert told.startswith("8 characters were left out")


def test_options_are_refused_before_the_first_sentence(acoustic: Reads, vocoder: GriffinLim) -> None:
    with pytest.raises(UsageError, match="one voice"):
        Joined(acoustic, vocoder).speak(iter(["Yes"]), SpeakOptions(voice="two"))


def test_sound_beyond_full_scale_is_made_softer_and_not_cut() -> None:
    loud = np.array([0.5, -2.0, 1.0, np.nan], np.float64)
    assert limited(loud).tolist() == [0.25, -1.0, 0.5, 0.0]
    assert limited(np.array([0.5, -0.9])).tolist() == [0.5, np.float32(-0.9)]
    assert limited(np.zeros(0)).dtype == np.float32


def test_griffin_lim_gives_back_what_the_spectrogram_says(recording: Audio) -> None:
    mel = analyse(recording.samples[:32000], FACTS)
    card = dataclasses.replace(read_catalogue().models["griffin-lim"], settings={"sharpness": 1.0})
    again = engines.load(card).vocode(mel)
    assert np.abs(analyse(again.samples, FACTS).values[:, : mel.values.shape[1]] - mel.values[:, :126]).mean() < 0.15
    np.testing.assert_array_equal(engines.load(card).vocode(mel).samples, again.samples)


def test_pre_emphasis_is_taken_back(recording: Audio) -> None:
    facts = dataclasses.replace(FACTS, preemphasis=0.97)
    mel = analyse(recording.samples[:16000], facts)
    card = dataclasses.replace(read_catalogue().models["griffin-lim"], settings={"sharpness": 1})
    again = engines.load(card).vocode(mel)
    assert np.abs(analyse(again.samples, facts).values - mel.values[:, : len(again.samples) // 256 + 1]).mean() < 0.2


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"iteration": 3}, "iterations"), ({"momentum": "much"}, "number"), ({"sharpness": -1}, "0 to")],
)
def test_wrong_settings_are_told(settings: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        GriffinLim(dataclasses.replace(read_catalogue().models["griffin-lim"], settings=settings))


# ---------------------------------------------------------------- in pipelines


def _spec(tts: str, vocoder: str | None = None, flag: str = "") -> PipelineSpec:
    models = {"tts": tts, **({"vocoder": vocoder} if vocoder else {})}
    return PipelineSpec("p", models, {}, {role: "flag" if role == flag else "file" for role in models})


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        (_spec("espeak"), {"tts": "espeak"}),
        (_spec("espeak+griffin-lim"), {"tts": "espeak", "vocoder": "griffin-lim"}),
        (_spec("espeak", "griffin-lim"), {"tts": "espeak", "vocoder": "griffin-lim"}),
        (_spec("espeak", "griffin-lim", flag="tts"), {"tts": "espeak"}),
        (_spec("espeak+a", "griffin-lim", flag="vocoder"), {"tts": "espeak", "vocoder": "griffin-lim"}),
        (_spec("espeak+griffin-lim", "a", flag="tts"), {"tts": "espeak", "vocoder": "griffin-lim"}),
    ],
)
def test_the_vocoder_is_the_nearest_that_was_named(spec: PipelineSpec, wanted: dict[str, str]) -> None:
    assert dict(with_vocoder(spec, read_catalogue()).models) == wanted


def test_two_vocoders_at_one_place_are_refused() -> None:
    with pytest.raises(ConfigError, match="leave one out"):
        with_vocoder(_spec("espeak+a", "griffin-lim"), read_catalogue())


def _fault(spec: PipelineSpec, catalogue: Catalogue) -> MmcliError:
    (error,) = [finding.error for finding in check(spec, catalogue) if finding.error is not None]
    return error


def test_a_model_that_speaks_by_itself_takes_no_vocoder() -> None:
    assert "by itself" in str(_fault(_spec("espeak+griffin-lim"), read_catalogue()))


def test_a_vocoder_needs_a_voice() -> None:
    spec = PipelineSpec("p", {"stt": "pocketsphinx", "vocoder": "griffin-lim"}, {}, {"stt": "f", "vocoder": "f"})
    assert "no tts" in str(_fault(spec, read_catalogue()))


def test_a_vocoder_is_no_model_for_the_voice_itself() -> None:
    assert "role vocoder" in str(_fault(_spec("griffin-lim"), read_catalogue()))


def test_models_that_fit_and_do_not_are_known_before_they_load(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"espeak": FACTS, "griffin-lim": dataclasses.replace(FACTS, hop=200)}
    monkeypatch.setattr(engines, "mel_facts", lambda card: facts[card.name])
    told = _fault(_spec("espeak+griffin-lim"), read_catalogue())
    assert isinstance(told, ConfigError)
    assert 'vocoder "griffin-lim" does not fit model "espeak": hop is 256 and 200' in str(told)
    facts["griffin-lim"] = dataclasses.replace(FACTS, slope=0.4, offset=2.0)
    assert all(finding.error is None for finding in check(_spec("espeak"), read_catalogue()))
    chosen = with_vocoder(_spec("espeak"), read_catalogue())
    assert chosen.models["vocoder"] == "griffin-lim"
    assert chosen.origins["vocoder"] == "default"
    own = Catalogue({**read_catalogue().models, "espeak": _with_vocoder("mine")}, {})
    assert with_vocoder(_spec("espeak"), own).models["vocoder"] == "mine"


def _with_vocoder(name: str) -> ModelCard:
    return dataclasses.replace(read_catalogue().models["espeak"], vocoder=name)
