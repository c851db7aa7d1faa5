"""Pipelines around one model from speech: what it hears at once, a voice behind it, what fits and what does not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from mmcli.catalogue import Catalogue, package_data, read_catalogue
from mmcli.checks import advise, check
from mmcli.endtoend import EndToEnd
from mmcli.errors import ConfigError, InputError, UsageError
from mmcli.fitting import Taker
from mmcli.media.audio import open_audio
from mmcli.options import AttachOptions, ConverseOptions, SpeakOptions, VadOptions
from mmcli.pipeline import build
from mmcli.speech import contiguous
from mmcli.stages import Audio, AudioSource, Conversation, Done, Said, Spoke, Turn, Usage

TEXT_ONLY = """
[models.listens]
role = "e2e"
engine = "fake-e2e"
source = "embedded:mmcli"
inputs = ["audio", "text"]
outputs = ["text"]
languages = ["de"]
license = "CC-BY-NC-4.0"
"""


def _catalogue(tmp_path: Path, text: str) -> Catalogue:
    file = tmp_path / "config.toml"
    file.write_text(text)
    return read_catalogue(file)


class Listener:
    """Notes the lengths of the pieces that it hears."""

    rate = 16000
    most_s = 60.0

    def __init__(self, *, alone: bool, longest_s: float) -> None:
        self.alone, self.longest_s = alone, longest_s
        self.heard: list[list[float]] = []

    def converse(self, conversation: Conversation, options: ConverseOptions) -> Iterator[Said | Spoke | Usage]:
        parts = conversation.messages[-1].parts
        self.heard.append([part.seconds or 0.0 for part in parts if isinstance(part, AudioSource)])
        yield Said(f"answer {len(self.heard)}")
        yield Usage(10, 2)


def _around(model: Listener, **stages: Any) -> EndToEnd:
    options = {"e2e": ConverseOptions(), "vad": VadOptions(), "attachments": AttachOptions(), "tts": SpeakOptions()}
    taker = Taker("listener", ("audio", "text"))
    return EndToEnd({"e2e": model, **stages}, options, {"pipeline": "p"}, {}, taker)


def _detector() -> Any:
    from mmcli.engines import load

    return load(read_catalogue().model("fake-vad"))


def test_all_of_a_recording_is_heard_in_pieces_that_the_model_can_hear(speech: Path) -> None:
    model = Listener(alone=False, longest_s=3.0)
    events = list(_around(model).run(Turn(audio=open_audio(speech))))
    assert len(model.heard) == 1
    assert sum(model.heard[0]) == pytest.approx(7.0)
    assert max(model.heard[0]) <= 3.0
    assert isinstance(events[-1], Done)
    assert events[-1].timings["first_text"] >= 0


def test_utterances_are_answered_one_by_one_on_lines_of_their_own(speech: Path) -> None:
    model = Listener(alone=True, longest_s=30.0)
    events = list(_around(model, vad=_detector()).run(Turn(audio=open_audio(speech))))
    assert [len(pieces) for pieces in model.heard] == [1, 1, 1]
    assert "".join(event.text for event in events if isinstance(event, Said)) == "answer 1\nanswer 2\nanswer 3"
    assert isinstance(events[-1], Done)
    assert events[-1].usage == Usage(30, 6)


def test_utterances_are_answered_while_the_recording_is_still_decoded() -> None:
    decoded = []

    def blocks(rate: int) -> Iterator[Audio]:
        for second in range(3600):
            decoded.append(second)
            loud = np.full(rate, 0.5 if second % 2 else 0.0, np.float32)
            yield Audio(loud, rate)

    model = Listener(alone=True, longest_s=30.0)
    events = _around(model, vad=_detector()).run(Turn(audio=AudioSource("endless", None, blocks)))
    assert isinstance(next(events), Said)
    assert len(decoded) < 10
    events.close()


def test_more_than_the_model_hears_is_refused() -> None:
    minute = AudioSource("long.wav", 90.0, lambda rate: (Audio(np.zeros(rate, np.float32), rate) for _ in range(90)))
    with pytest.raises(InputError, match=r"long\.wav: the model hears 60 s in one question at most"):
        list(_around(Listener(alone=False, longest_s=30.0)).run(Turn(audio=minute)))


def test_silence_is_no_question_for_a_translator() -> None:
    silence = AudioSource("still.wav", 5.0, lambda rate: iter([Audio(np.zeros(5 * rate, np.float32), rate)]))
    with pytest.raises(InputError, match="no speech was heard"):
        list(_around(Listener(alone=True, longest_s=30.0), vad=_detector()).run(Turn(audio=silence)))


def test_nothing_is_lost_where_sound_is_cut() -> None:
    rate = 16000
    samples = np.random.default_rng(1).normal(0, 0.1, 5 * rate + 77).astype(np.float32)
    windows = list(contiguous([Audio(part, rate) for part in np.array_split(samples, 7)], rate, 2.0))
    assert len(windows) >= 3
    np.testing.assert_array_equal(np.concatenate([window.audio.samples for window in windows]), samples)


def test_a_voice_speaks_what_a_model_only_writes(tmp_path: Path, speech: Path) -> None:
    catalogue = _catalogue(
        tmp_path, f'{TEXT_ONLY}\n[pipelines.p]\ne2e = "listens"\ntts = "fake-tts"\nvad = "fake-vad"\n'
    )
    assert all(finding.error is None for finding in check(catalogue.pipeline("p"), catalogue))
    pipeline = build(catalogue.pipeline("p"), catalogue)
    events = list(pipeline.run(Turn(audio=open_audio(speech))))
    assert "".join(event.text for event in events if isinstance(event, Said)) == "I heard 7.0 seconds."
    # The model's own sound is not heard: one tone of 0.3 s a word is.
    assert sum(event.audio.seconds for event in events if isinstance(event, Spoke)) == pytest.approx(4 * 0.3)
    assert isinstance(events[-1], Done)
    assert {"e2e", "tts", "first_text", "first_audio"} <= events[-1].timings.keys()


def test_two_voices_are_refused_with_what_mends_it(tmp_path: Path) -> None:
    catalogue = _catalogue(tmp_path, '[pipelines.p]\ne2e = "fake-e2e"\ntts = "fake-tts"\nvad = "fake-vad"\n')
    with pytest.raises(ConfigError, match=r'"fake-e2e" speaks by itself; take out tts, or let .* outputs = \["text"\]'):
        build(catalogue.pipeline("p"), catalogue)


def test_languages_and_licences_are_told(tmp_path: Path) -> None:
    text = f"""{TEXT_ONLY}
[models.english]
role = "tts"
engine = "fake-tts"
source = "embedded:mmcli"
inputs = ["text"]
outputs = ["audio"]
languages = ["en"]
[pipelines.p]
vad = "fake-vad"
e2e = "listens"
tts = "english"
[pipelines.asked]
vad = "fake-vad"
e2e = "listens"
tts = "english"
options.e2e.target_language = "fr"
options.tts.language = "it-IT"
[pipelines.fits]
vad = "fake-vad"
stt = "fake-stt"
tts = "english"
"""
    catalogue = _catalogue(tmp_path, text)

    def told(name: str) -> str:
        return "\n".join(str(finding.error or finding.text) for finding in advise(catalogue.pipeline(name), catalogue))

    assert 'model "listens" writes de, model "english" speaks en; mmcli models list --role tts' in told("p")
    assert "CC-BY-NC-4.0: not for commercial use" in told("p")
    assert 'the answer is in fr, and model "english" speaks en' in told("asked")
    assert "the option language asks for it-IT" in told("asked")
    assert told("fits") == ""


def test_a_text_alone_and_pictures_reach_the_model(red: Path, mmcli: Callable[..., Any]) -> None:
    ended = mmcli("run", "fake-e2e", "-t", "what is it", "-a", red)
    assert ended.code == 0
    assert "a picture of 60 by 40 pixels" in ended.out
    assert 'the text "what is it"' in ended.out


def test_flags_of_translation_need_a_model_that_translates(mmcli: Callable[..., Any], speech: Path) -> None:
    ended = mmcli("run", "fake", "--audio", speech, "--to", "fr")
    assert (ended.code, len(ended.notes)) == (2, 1)
    assert 'pipeline "fake" has no e2e, which --to and --from are for' in ended.err
    ended = mmcli("run", "fake-e2e", "--audio", speech, "--to", "fr")
    assert (ended.code, len(ended.notes)) == (2, 1)
    assert "no use for --target-language" in ended.err


def test_an_interpreter_runs_through_the_whole_command(tmp_path: Path, mmcli: Callable[..., Any]) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'mmcli[vlm]'")
    from tests.engines.e2e import tiny

    folder = tmp_path / "seamless"
    folder.mkdir()
    tiny.build("SeamlessM4Tv2Model", folder)
    (tmp_path / "i.toml").write_text(f'[pipelines.mine]\ne2e = "{folder}"\noptions.runtime.device = "cpu"\n')
    question = package_data("samples") / "question-receipt.flac"
    args = ("run", "i.toml", "--max-tokens", "16")
    ended = mmcli(*args, "--audio", question, "--to", "fr", "--from", "en", "-o", "out.wav", "--json")
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    assert result["answer"]
    assert result["provenance"]["models"]["e2e"]["engine"] == "transformers-e2e"
    assert result["provenance"]["options"]["e2e"]["target_language"] == "fr"
    sound = soundfile.info(tmp_path / "out.wav")
    assert (sound.samplerate, sound.channels) == (16000, 1)
    assert sound.frames / 16000 == pytest.approx(result["reply_seconds"], abs=0.01)

    ended = mmcli(*args, "-t", "which one is larger", "--to", "de", "--from", "en")
    assert ended.code == 0, ended.err
    assert ended.out.strip()
    assert "writes deu and does not speak it" in ended.err

    for given, words in (((), "give --to CODE"), (("--to", "fr", "--system", "be brief"), "leave out --system")):
        ended = mmcli(*args, "--audio", question, *given)
        assert (ended.code, len(ended.notes)) == (2, 1), ended.err
        assert words in ended.err


def test_what_cannot_go_together_is_refused() -> None:
    model = Listener(alone=True, longest_s=30.0)

    class Other:
        rate = 8000

    with pytest.raises(ConfigError, match="vad works at 8000 Hz and e2e at 16000 Hz"):
        _around(model, vad=Other())
    with pytest.raises(ConfigError, match="has no tts"):
        _around(model).speak(["hello"])
    with pytest.raises(UsageError):
        list(_around(model).run(Turn(text="where is {1}?")))
