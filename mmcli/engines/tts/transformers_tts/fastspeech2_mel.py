"""FastSpeech 2 with Conformer blocks and without a vocoder: English phonemes in, spectrograms out (arXiv:2006.04558).

What its spectrograms are stands in facts.py.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mmcli.engines.options import refuse_others
from mmcli.engines.tts.transformers_tts import facts
from mmcli.engines.tts.transformers_tts.embeddings import Embeddings
from mmcli.engines.tts.transformers_tts.fastspeech2 import (
    FastSpeech2,
    check_dictionary,
    not_english,
    numbered,
    phonemes,
    speaker,
)
from mmcli.engines.tts.transformers_tts.loading import check_speed, choose_voice, drawing, language
from mmcli.errors import UsageError, did_you_mean
from mmcli.mel import Mel
from mmcli.text import utterances

if TYPE_CHECKING:
    from mmcli.engines.tts.transformers_tts.loading import Source
    from mmcli.mel import MelFacts
    from mmcli.options import SpeakOptions
    from mmcli.stages import Voice

_HONOURED = ("voice", "language", "speed", "seed")


class FastSpeech2Acoustic:
    """Speakers are numbered from 0, or embeddings. Languages are those of the model's entry, in order, or numbers, too."""

    reads_numbers = True

    def __init__(self, source: Source) -> None:
        check_dictionary(source)
        self.card = source.card
        made = facts.of_model(source.card)
        assert made is not None
        self.facts: MelFacts = made
        self._device = source.device
        self._tokenizer = source.part("FastSpeech2ConformerTokenizer")
        self._model = source.model(facts.FASTSPEECH2)
        config = self._model.config
        self._pace = float(config.speaking_speed)
        count = config.num_languages or 1
        listed = list(source.card.languages)
        own = listed if len(listed) == count and "*" not in listed else [str(number) for number in range(count)]
        self._languages = own if count > 1 else []
        by_vector = config.speaker_embed_dim and (config.num_speakers or 1) == 1
        self._embeddings = Embeddings(source, int(config.speaker_embed_dim)) if by_vector else None
        spoken = ", ".join(self._languages) or language(source.card)
        self._voices = self._embeddings.voices() if self._embeddings else numbered(config.num_speakers, spoken)
        self._lock = threading.Lock()

    @property
    def device(self) -> str:
        """cpu, or cuda:N."""
        return str(self._device)

    def voices(self) -> tuple[Voice, ...]:
        return self._voices

    def check(self, options: SpeakOptions) -> None:
        refuse_others(options, _HONOURED, f'model "{self.card.name}"')
        check_speed(options)
        self._conditions(options)

    def spectrogram(self, text: str, options: SpeakOptions) -> Mel:
        """Frames of all pieces of the text, one after the other; nothing is drawn at random."""
        conditions = self._conditions(options)
        frames = []
        for piece in utterances(text, FastSpeech2.longest):
            given = phonemes(self._tokenizer, " ".join(piece.split()), self._device)
            if given is None:
                continue
            with drawing(self.card, self._device, self._lock, 0, piece):
                # The library takes the factor of all durations from the model's configuration alone.
                self._model.config.speaking_speed = self._pace / options.speed
                try:
                    said = self._model(**given, **conditions, return_dict=True)
                finally:
                    self._model.config.speaking_speed = self._pace
                frames.append(said.spectrogram[0].float().cpu().numpy().T)
        values = np.concatenate(frames, axis=1) if frames else np.zeros((self.facts.n_mels, 0))
        return Mel(values.astype(np.float32), self.facts, not_english(text))

    def _conditions(self, options: SpeakOptions) -> dict[str, Any]:
        """Speaker and language as the model takes them. UsageError for those that it has not."""
        given: dict[str, Any] = {}
        if self._languages:
            given["lang_ids"] = torch.tensor([[self._language(options)]], device=self._device)
        spoken = None if self._languages else options.language
        if self._embeddings is None:
            voice = choose_voice(self.card, self._voices, options.voice, spoken)
            return given | speaker(self._model.config, voice, self._device)
        values = self._embeddings.vector(self._embeddings.voice(options.voice, spoken))
        return given | {"speaker_embedding": torch.from_numpy(values)[None].to(self._device, self._model.dtype)}

    def _language(self, options: SpeakOptions) -> int:
        if options.language is None:
            return 0
        if options.language not in self._languages:
            raise UsageError(
                f'model "{self.card.name}" does not speak the language "{options.language}"',
                did_you_mean(options.language, self._languages) or f"it speaks {', '.join(self._languages)}",
            )
        return self._languages.index(options.language)
