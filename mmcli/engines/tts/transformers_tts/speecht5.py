"""SpeechT5: text to spectrograms with the voice of a speaker embedding (Ao et al. 2022, arXiv:2110.07205).

The embedding is an x-vector of 512 numbers, as speechbrain's spkrec-xvect-voxceleb makes them; one that another model
makes means another voice, or none. Without any it is all zeros: clear speech in nobody's voice.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import torch

from mmcli.engines.options import refuse_others
from mmcli.engines.tts.transformers_tts import facts
from mmcli.engines.tts.transformers_tts.embeddings import Embeddings
from mmcli.engines.tts.transformers_tts.loading import drawing, drawn_seed
from mmcli.mel import Mel
from mmcli.text import utterances

if TYPE_CHECKING:
    from mmcli.engines.tts.transformers_tts.loading import Source
    from mmcli.mel import MelFacts
    from mmcli.options import SpeakOptions
    from mmcli.stages import Voice

_HONOURED = ("voice", "language", "seed")


class SpeechT5:
    """Voices are embeddings."""

    reads_numbers = False

    def __init__(self, source: Source) -> None:
        self.card = source.card
        made = facts.of_model(source.card)
        assert made is not None
        self.facts: MelFacts = made
        self._device = source.device
        self._tokenizer = source.part("SpeechT5Tokenizer")
        self._model = source.model("SpeechT5ForTextToSpeech")
        config = self._model.config
        # Positions beyond are unknown to it; the end of the text is one more.
        self._longest = int(config.max_text_positions) - 1
        self._embeddings = Embeddings(source, int(config.speaker_embedding_dim))
        self._english = set(source.card.languages) & {"*", "en"} != set()
        self._lock = threading.Lock()

    @property
    def device(self) -> str:
        """cpu, or cuda:N."""
        return str(self._device)

    def voices(self) -> tuple[Voice, ...]:
        return self._embeddings.voices()

    def check(self, options: SpeakOptions) -> None:
        refuse_others(options, _HONOURED, f'model "{self.card.name}"')
        self._embedding(options)

    def spectrogram(self, text: str, options: SpeakOptions) -> Mel:
        """Frames of all pieces of the text, one after the other. The network draws at random while it speaks."""
        embedding, seed = self._embedding(options), drawn_seed(options)
        frames, left_out = [], ""
        for piece in utterances(text, self._longest):
            ids = self._tokenizer(" ".join(piece.split()), normalize=self._english, return_tensors="pt")["input_ids"]
            left_out += self._left_out(piece)
            if ids.shape[1] <= 1:  # the end of the text alone
                continue
            with drawing(self.card, self._device, self._lock, seed, piece):
                said = self._model.generate_speech(ids[:, : self._longest + 1].to(self._device), embedding)
                frames.append(said.float().cpu().numpy().T)
        values = np.concatenate(frames, axis=1) if frames else np.zeros((self.facts.n_mels, 0), np.float32)
        return Mel(values.astype(np.float32), self.facts, left_out)

    def _left_out(self, text: str) -> str:
        """Letters without a sign; figures are written out in English."""
        unknown = self._tokenizer.unk_token_id
        return "".join(
            letter
            for letter in text
            if (letter.isalpha() or (letter.isdigit() and not self._english))
            and self._tokenizer.convert_tokens_to_ids(letter) == unknown
        )

    def _embedding(self, options: SpeakOptions) -> torch.Tensor:
        """[1, width]. UsageError for a file that holds no such vector."""
        values = self._embeddings.vector(self._embeddings.voice(options.voice, options.language))
        return torch.from_numpy(values)[None].to(self._device, self._model.dtype)
