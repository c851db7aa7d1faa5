"""The speech families of transformers: each on a tiny checkpoint, against the library called directly."""

from __future__ import annotations

import importlib.util
import itertools
import json
import logging
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'mmcli[vlm]'")
pytest.importorskip("transformers", reason="transformers is not installed: pip install 'mmcli[vlm]'")

import torch
import transformers

from mmcli import engines, families
from mmcli.catalogue import ModelCard, package_data
from mmcli.engines.stt.transformers_stt.engine import TransformersTranscriber
from mmcli.engines.stt.transformers_stt.families import FAMILIES
from mmcli.errors import ConfigError, EngineError, MissingModel, MissingPackage, UsageError
from mmcli.media.audio import open_audio
from mmcli.options import Runtime, TranscribeOptions
from mmcli.stages import Audio, Segment, Transcriber, Window


def _tiny() -> Any:
    spec = importlib.util.spec_from_file_location("tiny_speech", Path(__file__).with_name("tiny.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


tiny = _tiny()
PLAIN = TranscribeOptions(fast=True)
_NEEDS = {"GraniteSpeechForConditionalGeneration": "torchaudio", "SpeechT5ForSpeechToText": "sentencepiece"}


def _name(architecture: str) -> Any:
    package = _NEEDS.get(architecture)
    lacks = package is not None and importlib.util.find_spec(package) is None
    marks = [pytest.mark.skipif(lacks, reason=f"{package} is not installed")]
    return pytest.param(architecture, marks=marks)


NAMES = [_name(architecture) for architecture in tiny.BUILDERS]
WORDS = [_name(name) for name in tiny.BUILDERS if "word_timestamps" in FAMILIES[name].honours]
SILENT = [_name(name) for name in tiny.BUILDERS if "word_timestamps" not in FAMILIES[name].honours]


@dataclass(frozen=True)
class Zoo:
    """Folders and loaded engines by architecture, each built once."""

    root: Path
    loaded: dict[str, TransformersTranscriber]

    def folder(self, name: str, **given: Any) -> Path:
        folder = self.root / "-".join([name, *map(str, given.values())])
        if not folder.exists():
            folder.mkdir()
            tiny.build(name, folder, **given)
        return folder

    def card(self, name: str, **given: Any) -> ModelCard:
        settings = {"target_language": "en"} if name.startswith("Seamless") else {}
        source = f"path:{self.folder(name)}"
        return replace(
            ModelCard("tiny", "stt", "transformers-stt", source, languages=("en",), settings=settings), **given
        )

    def engine(self, name: str) -> TransformersTranscriber:
        if name not in self.loaded:
            self.loaded[name] = engines.load(self.card(name), Runtime(device="cpu"))
        return self.loaded[name]


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zoo]:
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Zoo(tmp_path_factory.mktemp("tiny"), {})
    torch.set_num_threads(threads)


def _sounds(rate: int) -> list[np.ndarray]:
    """Two questions of different lengths, 1.3 s and 1.8 s of speech."""
    found = []
    for name, seconds in (("receipt", 1.3), ("sign", 1.8)):
        blocks = open_audio(package_data("samples") / f"question-{name}.flac").blocks(rate)
        found.append(np.concatenate([block.samples for block in blocks])[: int(seconds * rate)])
    return found


def _windows(engine: TransformersTranscriber) -> list[Window]:
    return [Window(Audio(sound, engine.rate), 100.0 * index) for index, sound in enumerate(_sounds(engine.rate))]


def _options(name: str, **given: Any) -> TranscribeOptions:
    certain = {"temperature": (0.0,)} if name.startswith("Whisper") else {}
    return replace(PLAIN, **{**certain, **given})


def _texts(segments: list[Segment]) -> list[str]:
    """The text of each window, told apart by the hundreds of seconds that they begin at."""
    found: dict[int, list[str]] = {}
    for segment in segments:
        found.setdefault(int(segment.start // 100), []).append(segment.text.strip())
    return [" ".join(found[index]) for index in sorted(found)]


# ---------------------------------------------------------------- the library called directly


def _direct(name: str, folder: Path, sound: np.ndarray, rate: int) -> str:
    family = FAMILIES[name]
    processor = getattr(transformers, family.processor).from_pretrained(folder)
    model = getattr(transformers, family.model).from_pretrained(folder).eval()
    with torch.inference_mode():
        if name.startswith("Granite"):
            prompt = processor.tokenizer.apply_chat_template(
                [{"role": "user", "content": "<|audio|>can you transcribe the speech into a written format?"}],
                tokenize=False,
                add_generation_prompt=True,
            )
            given = processor(text=[prompt], audio=[sound], return_tensors="pt")
            bound = 16 + math.ceil(len(sound) / rate * 20)
            ids = model.generate(**given, do_sample=False, max_new_tokens=bound)[0, given["input_ids"].shape[1] :]
            return processor.tokenizer.decode(ids, skip_special_tokens=True).strip()
        given = processor(audio=[sound], sampling_rate=rate, return_tensors="pt", padding=True)
        if "CTC" in name:
            ids = model(**given).logits[0].argmax(-1).tolist()
            if name == "ParakeetForCTC":
                return processor.tokenizer.decode(ids, skip_special_tokens=True).strip()
            # <s>, </s> and <unk>, which a trained model does not say
            return processor.tokenizer.decode([id for id in ids if id not in (1, 2, 3)]).strip()
        if name == "ParakeetForTDT":
            return processor.decode(model.generate(**given, max_new_tokens=300).sequences, skip_special_tokens=True)[0]
        extra = {
            "SeamlessM4Tv2Model": {"tgt_lang": "eng"},
            "MoonshineForConditionalGeneration": {"max_new_tokens": int(len(sound) / rate * 6.5)},
        }.get(name, {})
        ids = model.generate(**given, do_sample=False, num_beams=1, **extra)
        return processor.tokenizer.decode(ids[0], skip_special_tokens=True).strip()


@pytest.mark.parametrize("name", [param for param in NAMES if not param.values[0].startswith("Whisper")])
def test_the_text_is_that_of_the_library_and_depends_on_the_sound(name: str, zoo: Zoo) -> None:
    engine = zoo.engine(name)
    heard = _texts(list(engine.transcribe(iter(_windows(engine)), _options(name))))
    assert heard == [_direct(name, zoo.folder(name), sound, engine.rate) for sound in _sounds(engine.rate)]
    assert heard[0] != heard[1]


def test_whispers_text_and_times_are_those_of_the_library(zoo: Zoo) -> None:
    name = "WhisperForConditionalGeneration"
    engine = zoo.engine(name)
    window = _windows(engine)[1]
    given = _options(name, language="de", task="translate")
    heard = list(engine.transcribe(iter([window]), given))
    processor = transformers.WhisperProcessor.from_pretrained(zoo.folder(name))
    model = transformers.WhisperForConditionalGeneration.from_pretrained(zoo.folder(name)).eval()
    features = processor.feature_extractor(
        window.audio.samples, sampling_rate=16000, return_tensors="pt", return_attention_mask=True
    )
    with torch.inference_mode():
        made = model.generate(
            **features, language="de", task="translate", return_timestamps=True, return_segments=True, num_beams=1
        )
    first = made["segments"][0][0]
    text = processor.tokenizer.decode(first["tokens"], skip_special_tokens=True)
    assert heard[0].text == text
    assert heard[0].start - window.start == pytest.approx(float(first["start"]))
    assert heard[0].language == "en"
    assert heard[0].text != next(engine.transcribe(iter([window]), replace(given, language="fr"))).text


# ---------------------------------------------------------------- what every family promises


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_hears_what_single_windows_say(name: str, zoo: Zoo) -> None:
    engine = zoo.engine(name)
    windows = [*_windows(engine), replace(_windows(engine)[0], start=200.0)]
    single = list(engine.transcribe(iter(windows), _options(name)))
    batch = list(engine.transcribe(iter(windows), _options(name, batched=True, batch_size=2)))
    assert _texts(batch) == _texts(single)
    assert [segment.start for segment in batch] == pytest.approx([segment.start for segment in single])


@pytest.mark.parametrize("name", NAMES)
def test_times_lie_in_order_within_their_window(name: str, zoo: Zoo) -> None:
    engine = zoo.engine(name)
    assert isinstance(engine, Transcriber)
    wanted = "word_timestamps" in FAMILIES[name].honours
    windows = _windows(engine)
    segments = list(engine.transcribe(iter(windows), _options(name, word_timestamps=wanted)))
    assert {int(segment.start // 100) for segment in segments} == {0, 1}
    for segment in segments:
        window = windows[int(segment.start // 100)]
        last = window.start + window.audio.seconds
        assert window.start <= segment.start < segment.end <= last
        edges = [edge for word in segment.words for edge in (word.start, word.end)]
        assert bool(edges) == wanted
        assert all(window.start <= edge <= last for edge in edges)
        starts = [word.start for word in segment.words]
        assert starts == sorted(starts)
        assert all(word.text.strip() and word.start <= word.end for word in segment.words)
        assert all(word.probability is None or 0 < word.probability <= 1 for word in segment.words)
        if not name.startswith("Whisper") and wanted:
            assert "".join(word.text for word in segment.words) == segment.text.replace(" ", "")


@pytest.mark.parametrize("name", NAMES)
def test_closing_closes_the_windows_and_the_next_one_is_not_waited_for(name: str, zoo: Zoo) -> None:
    engine = zoo.engine(name)
    closed: list[bool] = []

    def endless() -> Iterator[Window]:
        try:
            yield from itertools.repeat(_windows(engine)[0], 20)
            pytest.fail("all windows were asked for")
        finally:
            closed.append(True)

    segments = engine.transcribe(endless(), _options(name))
    assert next(segments).text
    segments.close()
    assert closed == [True]
    assert list(engine.transcribe(iter([]), _options(name))) == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("samples", [0, 1, 500])
def test_a_moment_of_sound_is_no_error(name: str, samples: int, zoo: Zoo) -> None:
    engine = zoo.engine(name)
    window = Window(Audio(_sounds(engine.rate)[0][:samples], engine.rate), 7.0)
    for segment in engine.transcribe(iter([window]), _options(name)):
        assert 7.0 <= segment.start <= segment.end <= 7.0 + samples / engine.rate


@pytest.mark.parametrize("name", SILENT)
def test_times_of_words_that_a_family_does_not_tell_are_refused(name: str, zoo: Zoo) -> None:
    with pytest.raises(UsageError, match="--word-timestamps"):
        list(zoo.engine(name).transcribe(iter([]), replace(PLAIN, word_timestamps=True)))


# ---------------------------------------------------------------- times against the library's own


def test_words_of_letters_are_where_the_librarys_tokenizer_has_them(zoo: Zoo) -> None:
    engine = zoo.engine("Wav2Vec2ForCTC")
    folder = zoo.folder("Wav2Vec2ForCTC")
    processor = transformers.Wav2Vec2Processor.from_pretrained(folder)
    # The names of letters as a row of frames: blanks part letters that are the same, | parts words.
    letters = "||hh_eelll_l_oo||_||ww_oooo_rr__l_dd_|"
    ids = [processor.tokenizer.convert_tokens_to_ids({"_": "<pad>"}.get(letter, letter)) for letter in letters]
    from mmcli.engines.stt.transformers_stt.ctc import timed_tokens
    from mmcli.engines.stt.transformers_stt.words import words_of

    tokens = timed_tokens(processor.tokenizer, ids, [0.5] * len(ids), 0.02)
    words = words_of(tokens, lambda row: processor.tokenizer.decode(row, group_tokens=False))
    offsets = processor.tokenizer.decode(ids, output_word_offsets=True).word_offsets
    assert [word.text for word in words] == ["hello", "world"] == [offset["word"] for offset in offsets]
    assert [(word.start, word.end) for word in words] == [
        pytest.approx((offset["start_offset"] * 0.02, offset["end_offset"] * 0.02)) for offset in offsets
    ]
    assert engine.rate == 16000


def test_words_of_a_delayed_stream_are_where_they_were_said(zoo: Zoo) -> None:
    from mmcli.engines.stt.transformers_stt.kyutai import timed_tokens

    loaded = zoo.engine("KyutaiSpeechToTextForConditionalGeneration")._loaded
    pad = 3
    said = loaded.tokenizer("harbour road", add_special_tokens=False)["input_ids"]
    ids = [pad] * 15 + [said[0]] + [pad] * 9 + said[1:2]
    tokens = timed_tokens(loaded, ids, seconds=10.0, late_s=1.0)
    assert [token.id for token in tokens] == said[:2]
    assert [token.start for token in tokens] == pytest.approx([15 * 0.08 - 1.0, 25 * 0.08 - 1.0])


def test_a_wav2vec2_without_masks_is_heard_alone_in_a_batch(zoo: Zoo) -> None:
    folder = zoo.folder("Wav2Vec2ForCTC", masked=False)
    engine = engines.load(zoo.card("Wav2Vec2ForCTC", source=f"path:{folder}"))
    single = list(engine.transcribe(iter(_windows(engine)), PLAIN))
    assert list(engine.transcribe(iter(_windows(engine)), replace(PLAIN, batched=True))) == single


# ---------------------------------------------------------------- languages and options


def test_whisper_takes_the_language_of_the_first_window_or_of_each(zoo: Zoo) -> None:
    name = "WhisperForConditionalGeneration"
    engine = zoo.engine(name)
    windows = _windows(engine)
    alone = [next(engine.transcribe(iter([window]), _options(name))).language for window in windows]
    by_first = {segment.language for segment in engine.transcribe(iter(windows), _options(name))}
    assert by_first == {alone[0]}
    each = list(engine.transcribe(iter(windows), _options(name, multilingual=True)))
    assert [next(s.language for s in each if s.start // 100 == index) for index in (0, 1)] == alone


def test_whisper_without_alignment_heads_refuses_words(zoo: Zoo) -> None:
    name = "WhisperForConditionalGeneration"
    folder = zoo.folder(name, alignment=False)
    engine = engines.load(zoo.card(name, source=f"path:{folder}"))
    with pytest.raises(UsageError, match="no alignment heads"):
        list(engine.transcribe(iter([]), replace(PLAIN, word_timestamps=True)))


def test_seamless_writes_in_the_language_it_is_told(zoo: Zoo) -> None:
    name = "SeamlessM4Tv2Model"
    engine = zoo.engine(name)
    windows = _windows(engine)[:1]
    texts = {
        code: next(engine.transcribe(iter(windows), replace(PLAIN, language=code))) for code in ("en", "de", "fra")
    }
    assert len({segment.text for segment in texts.values()}) > 1
    assert texts["de"].language == "de"
    translated = next(engine.transcribe(iter(windows), replace(PLAIN, language="de", task="translate")))
    assert (translated.text, translated.language) == (texts["en"].text, "en")
    with pytest.raises(UsageError, match='writes no language "it"'):
        list(engine.transcribe(iter([]), replace(PLAIN, language="it")))
    untold = TransformersTranscriber(zoo.card(name, settings={}), Runtime(device="cpu"))
    with pytest.raises(UsageError, match="--language"):
        list(untold.transcribe(iter([]), PLAIN))


def test_a_language_that_a_model_cannot_be_told_is_refused(zoo: Zoo) -> None:
    engine = zoo.engine("Wav2Vec2ForCTC")
    assert {s.language for s in engine.transcribe(iter(_windows(engine)), replace(PLAIN, language="en-GB"))} == {"en"}
    with pytest.raises(UsageError, match="it understands en"):
        list(engine.transcribe(iter([]), replace(PLAIN, language="de")))


@pytest.mark.parametrize(
    "name, given, why",
    [
        ("Wav2Vec2ForCTC", {"beam_size": 3}, "--beam-size"),
        ("Wav2Vec2ForCTC", {"task": "translate"}, "--task"),
        ("KyutaiSpeechToTextForConditionalGeneration", {"max_new_tokens": 3}, "--max-new-tokens"),
        ("MoonshineForConditionalGeneration", {"hotwords": "x"}, "--hotwords"),
        ("MoonshineForConditionalGeneration", {"beam_size": 0}, "at least 1"),
        ("MoonshineForConditionalGeneration", {"batch_size": 3}, "needs --batched"),
        ("MoonshineForConditionalGeneration", {"windowing": "sequential"}, "--windowing"),
        ("WhisperForConditionalGeneration", {"task": "sing"}, "transcribe or translate"),
        ("WhisperForConditionalGeneration", {"language": "xx"}, 'no language "xx"'),
        ("WhisperForConditionalGeneration", {"temperature": (3.0,)}, "from 0 to 2"),
        ("WhisperForConditionalGeneration", {"compression_ratio_threshold": 3.0}, "--compression-ratio-threshold"),
    ],
)
def test_options_that_a_family_cannot_honour_are_refused(name: str, given: dict[str, Any], why: str, zoo: Zoo) -> None:
    with pytest.raises(UsageError, match=why):
        list(zoo.engine(name).transcribe(iter([]), replace(TranscribeOptions(), **given)))


def test_beams_and_bounds_reach_the_search(zoo: Zoo) -> None:
    engine = zoo.engine("MoonshineForConditionalGeneration")
    windows = _windows(engine)[:1]
    long = next(engine.transcribe(iter(windows), PLAIN)).text
    short = next(engine.transcribe(iter(windows), replace(PLAIN, max_new_tokens=4))).text
    assert 0 < len(short) < len(long)
    varied = next(engine.transcribe(iter(windows), replace(PLAIN, no_repeat_ngram_size=1))).text
    assert varied != long
    searched = next(engine.transcribe(iter(windows), TranscribeOptions(beam_size=4))).text
    assert searched != long


# ---------------------------------------------------------------- memory


def test_a_batch_that_memory_cannot_hold_is_halved_and_told(zoo: Zoo, caplog: pytest.LogCaptureFixture) -> None:
    engine = TransformersTranscriber(zoo.card("Wav2Vec2ForCTC"), Runtime(device="cpu"))
    windows = [replace(_windows(engine)[0], start=100.0 * index) for index in range(4)]
    alone = _texts(list(engine.transcribe(iter(windows), PLAIN)))

    # The error is the real one of torch: a model of this size fills no memory by itself.
    def scarce(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        if kwargs["input_values"].shape[0] > 1:
            torch.empty(1 << 60, dtype=torch.float32)

    handle = engine._loaded.model.register_forward_pre_hook(scarce, with_kwargs=True)
    logging.getLogger("mmcli").propagate = True
    with caplog.at_level(logging.WARNING, "mmcli"):
        heard = list(engine.transcribe(iter(windows), replace(PLAIN, batched=True, batch_size=4)))
    handle.remove()
    assert _texts(heard) == alone
    assert any("batch size 4 -> 2" in step for step in engine.fallbacks)
    assert "batch size 4 -> 2" in caplog.text


def test_a_flag_that_needs_word_times_is_named_where_the_model_tells_none(
    zoo: Zoo, mmcli: Callable[..., Any], speech: Path
) -> None:
    folder = zoo.folder("MoonshineForConditionalGeneration")
    ended = mmcli("transcribe", speech, "-m", folder, "-f", "srt", "--sentence")
    assert (ended.code, ended.out) == (2, "")
    assert "--sentence needs the times of words" in ended.err


# ---------------------------------------------------------------- folders


def _copy(zoo: Zoo, tmp_path: Path, name: str = "Wav2Vec2ForCTC") -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in zoo.folder(name).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def _load(folder: Path, runtime: Runtime = Runtime(device="cpu"), **given: Any) -> Any:  # noqa: B008
    card = ModelCard("broken", "stt", "transformers-stt", f"path:{folder}", **given)
    return engines.load(card, runtime)


def test_pickled_weights_are_refused(zoo: Zoo, tmp_path: Path) -> None:
    folder = _copy(zoo, tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(MissingModel, match="pickles"):
        _load(folder)


def test_code_beside_the_weights_is_never_run(zoo: Zoo, tmp_path: Path) -> None:
    folder = _copy(zoo, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = dict.fromkeys(("AutoConfig", "AutoModelForCTC", "AutoProcessor"), "evil.Evil")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    engine = _load(folder)
    assert list(engine.transcribe(iter(_windows(engine)[:1]), PLAIN))
    assert not (tmp_path / "ran").exists()


def test_weights_that_lack_tensors_are_refused(zoo: Zoo, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = _copy(zoo, tmp_path)
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EngineError, match=r"1 of its tensors .* lm_head\.weight"):
        _load(folder)


@pytest.mark.parametrize(
    "file, content",
    [
        ("model.safetensors", b"\x08\x00\x00\x00\x00\x00\x00\x00garbage!"),
        ("model.safetensors", b""),
        ("vocab.json", b"["),
        ("processor_config.json", b"\xff\xfe"),
        ("config.json", b'{"architectures": ["Wav2Vec2ForCTC"], "model_type": "wav2vec2", "hidden_size": "wide"}'),
        ("config.json", b"{}"),
    ],
)
def test_a_damaged_folder_gives_one_line(file: str, content: bytes, zoo: Zoo, tmp_path: Path) -> None:
    folder = _copy(zoo, tmp_path)
    (folder / file).write_bytes(content)
    with pytest.raises(EngineError) as caught:
        _load(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_an_unknown_architecture_and_an_unknown_setting_are_named(zoo: Zoo, tmp_path: Path) -> None:
    folder = _copy(zoo, tmp_path)
    with pytest.raises(ConfigError, match='unknown setting "speed"'):
        _load(folder, settings={"speed": 2})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["Wav2Vec3ForCTC"]}))
    with pytest.raises(ConfigError, match='knows no Wav2Vec3ForCTC; did you mean "Wav2Vec2ForCTC"'):
        _load(folder)


def test_devices_and_numbers(zoo: Zoo) -> None:
    folder = zoo.folder("Wav2Vec2ForCTC")
    engine = _load(folder, Runtime(device="cpu", compute_type="bfloat16"), languages=("en",))
    assert (engine.device, engine._loaded.dtype) == ("cpu", torch.bfloat16)
    assert list(engine.transcribe(iter(_windows(engine)), PLAIN))
    with pytest.raises(UsageError, match="int8 is not for models of transformers"):
        _load(folder, Runtime(device="cpu", compute_type="int8"))
    with pytest.raises(UsageError, match="the device is"):
        _load(folder, Runtime(device="gpu"))
    with pytest.raises(MissingPackage, match="cuda:99"):
        _load(folder, Runtime(device="cuda:99"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_model_on_cuda_hears_the_same(zoo: Zoo) -> None:
    folder = zoo.folder("Wav2Vec2ForCTC")
    engine = _load(folder, Runtime(device="cuda:0", compute_type="float32"))
    on_cpu = zoo.engine("Wav2Vec2ForCTC")
    heard = _texts(list(engine.transcribe(iter(_windows(engine)), PLAIN)))
    assert heard == _texts(list(on_cpu.transcribe(iter(_windows(engine)), PLAIN)))


def test_the_table_of_folders_knows_what_the_engine_knows() -> None:
    known = {name for name, family in families.FAMILIES.items() if family.engine == "transformers-stt"}
    assert known == set(FAMILIES) - {"WhisperForConditionalGeneration"}
    for family in FAMILIES.values():
        assert hasattr(transformers, family.model)
        assert hasattr(transformers, family.processor)
