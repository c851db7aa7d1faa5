"""XTTS: speaks seventeen languages with the voice of a recording of a few seconds, and gives sound while it still speaks."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import torch

from mmcli.engines.torch_runtime import while_running
from mmcli.engines.tts.coqui.model import Model
from mmcli.engines.tts.coqui.recordings import recording
from mmcli.engines.tts.joined import limited, spoken
from mmcli.stages import Audio
from mmcli.text import utterances

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mmcli.catalogue import ModelCard
    from mmcli.options import SpeakOptions

_REFERENCE_RATE = 22050
_MAX_CHARACTERS = 250

Latents = tuple[torch.Tensor, torch.Tensor]


class Xtts(Model):
    """The voice is that of --speaker-wav, else --voice, else the first of the model's own speakers."""

    def __init__(self, card: ModelCard, model: Any) -> None:
        super().__init__(card, model)
        manager = model.speaker_manager
        self._speakers = list(manager.speakers) if manager is not None else []
        self._languages = list(model.config.languages)

    def check(self, options: SpeakOptions) -> None:
        """As Model.check; UsageError also where no voice is named and the model has none."""
        self._check_options(options, ("voice", "language", "speed", "seed", "speaker_wav"))
        self._check_voice(options)

    def speak(self, sentences: Iterable[str], options: SpeakOptions) -> Iterator[Audio]:
        """Blocks of about a second, the first while the sentence is still being made.

        UsageError at once for options that cannot be honoured, InputError for a recording that cannot be read or is
        shorter than a third of a second.
        """
        self.check(options)
        return self._speak(sentences, options, self._latents(options))

    def _speak(self, sentences: Iterable[str], options: SpeakOptions, latents: Latents) -> Iterator[Audio]:
        language = self._language(options) or self._default_language()
        longest = int(self._model.tokenizer.char_limits.get(language.split("-")[0], _MAX_CHARACTERS))
        if options.seed is not None:
            torch.manual_seed(options.seed)
        for sentence in spoken(sentences):
            for text in utterances(sentence, longest):
                yield from self._stream(text, language, latents, options.speed)

    def _stream(self, text: str, language: str, latents: Latents, speed: float) -> Iterator[Audio]:
        config = self._model.config
        rate = int(config.model_args.output_sample_rate)
        with while_running(self._card):
            chunks = self._model.inference_stream(
                text,
                language,
                *latents,
                speed=speed,
                temperature=config.temperature,
                length_penalty=config.length_penalty,
                repetition_penalty=config.repetition_penalty,
                top_k=config.top_k,
                top_p=config.top_p,
            )
        with closing(chunks):
            while (chunk := self._next(chunks)) is not None:
                if len(chunk):
                    yield Audio(limited(chunk), rate)

    def _next(self, chunks: Iterator[torch.Tensor]) -> Any:
        with self._lock, while_running(self._card):
            chunk = next(chunks, None)
            return None if chunk is None else chunk.float().cpu().numpy()

    def _latents(self, options: SpeakOptions) -> Latents:
        """What the model keeps of a voice: [1, 32, 1024] for its speech and [1, 512, 1] for its timbre."""
        if not options.speaker_wav:
            known = self._model.speaker_manager.speakers[options.voice or self._speakers[0]]
            return known["gpt_cond_latent"], known["speaker_embedding"]
        config = self._model.config
        recordings = [
            torch.from_numpy(recording(name, _REFERENCE_RATE, config.max_ref_len)[None]) for name in options.speaker_wav
        ]
        if config.sound_norm_refs:
            recordings = [clip * (0.75 / clip.abs().max().clamp(min=1e-5)) for clip in recordings]
        with self._lock, while_running(self._card), torch.inference_mode():
            timbres = [self._model.get_speaker_embedding(clip, _REFERENCE_RATE) for clip in recordings]
            speech = self._model.get_gpt_cond_latents(
                torch.cat(recordings, dim=-1).to(self.device),
                _REFERENCE_RATE,
                length=config.gpt_cond_len,
                chunk_length=config.gpt_cond_chunk_len,
            )
            return speech, torch.stack(timbres).mean(dim=0)
