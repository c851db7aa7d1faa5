"""What all of Coqui's models have in common: speakers, languages, pace, one use at a time, and errors as one line."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import torch

from mmcli.engines.options import refuse_others
from mmcli.engines.torch_runtime import while_running
from mmcli.engines.tts.coqui.pitch import check as check_pitch
from mmcli.errors import UsageError, did_you_mean
from mmcli.stages import Voice
from mmcli.text import has_words, primary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mmcli.catalogue import ModelCard
    from mmcli.engines.tts.coqui.cloning import DVectors
    from mmcli.engines.tts.coqui.pitch import Pitch
    from mmcli.options import SpeakOptions

_HONOURED = ("voice", "language", "speed", "seed")
_MIN_SPEED, _MAX_SPEED = 0.25, 4.0


class Model:
    """A loaded model that speaks."""

    reads_numbers = False

    def __init__(
        self, card: ModelCard, model: Any, vectors: DVectors | None = None, pitch: Pitch | None = None
    ) -> None:
        self._card = card
        self._model = model
        self._pitch = pitch
        self._vectors = vectors
        self._lock = threading.Lock()
        self.device = str(model.device)
        self.fallbacks: tuple[str, ...] = ()
        manager = model.speaker_manager
        self._speakers: list[str] = (
            list(manager.speaker_names) if manager is not None and manager.num_speakers > 1 else []
        )
        if vectors is not None:
            self._speakers = vectors.names
        self._languages: list[str] = list(model.language_manager.language_names)
        self._length_scale = float(getattr(model, "length_scale", 1.0))

    def check(self, options: SpeakOptions) -> None:
        """UsageError for a speaker, language, speed or anything else that the model cannot do.

        InputError for a recording of a voice that cannot be read or is too short.
        """
        honoured = (*_HONOURED, *(("pitch",) if self._pitch else ()), *(("speaker_wav",) if self._vectors else ()))
        self._check_options(options, honoured)
        check_pitch(options.pitch)
        if self._vectors is None:
            return
        self._check_voice(options)
        with while_running(self._card):
            self._vectors.check(options.speaker_wav)

    def _check_voice(self, options: SpeakOptions) -> None:
        """Of a model that takes over voices: exactly one is named, or the model has some."""
        if options.speaker_wav and options.voice:
            raise UsageError("--voice and --speaker-wav both name a voice", "leave one out")
        if not (options.speaker_wav or self._speakers):
            raise UsageError(f'model "{self._card.name}" has no voice of its own', "--speaker-wav FILE gives it one")

    def _check_options(self, options: SpeakOptions, honoured: tuple[str, ...]) -> None:
        refuse_others(options, honoured, f'model "{self._card.name}"')
        if not _MIN_SPEED <= options.speed <= _MAX_SPEED:
            raise UsageError(f"the speed goes from {_MIN_SPEED} to {_MAX_SPEED:g}, not {options.speed:g}")
        if options.voice is not None and options.voice not in self._speakers:
            mend = did_you_mean(options.voice, self._speakers) or "mmcli speak --list-voices names them"
            named = self._speakers or self._vectors is not None
            who = f'model "{self._card.name}" has {"no speaker" if named else "one voice only, not"}'
            raise UsageError(f'{who} "{options.voice}"', mend if named else "leave out --voice")
        self._language(options)

    def voices(self) -> tuple[Voice, ...]:
        """Its speakers, by the names that --voice takes; of a model with one voice, the model's own name."""
        language = ", ".join(self._languages)
        return tuple(Voice(name, language) for name in self._speakers or [self._card.name])

    def _language(self, options: SpeakOptions) -> str | None:
        """The language as the model calls it; None where it has only one. UsageError for one that it does not speak."""
        wanted = options.language
        known = self._languages if len(self._languages) > 1 else [*self._card.languages, *self._languages]
        if wanted is None:
            return self._default_language() if len(self._languages) > 1 else None
        found = next((name for name in known if name.lower() == wanted.lower()), None)
        found = found or next((name for name in known if primary(name) == primary(wanted)), None)
        if found is None and known != ["*", *self._languages]:
            names = ", ".join(dict.fromkeys(name for name in known if name != "*"))
            raise UsageError(f'model "{self._card.name}" speaks {names}, not "{wanted}"', "-m names another model")
        return found if len(self._languages) > 1 else None

    def _default_language(self) -> str:
        return next((name for name in self._languages if primary(name) == "en"), self._languages[0])

    def made(self, text: str, options: SpeakOptions) -> tuple[NDArray[np.float32] | None, str]:
        """What the model makes of a sentence, and the characters it had to leave out; None where no word is left."""
        language = self._language(options)
        tokenizer = self._model.tokenizer
        with self._lock, while_running(self._card), torch.inference_mode():
            tokenizer.not_found_characters.clear()
            only = self._languages[0] if len(self._languages) == 1 else None
            ids = tokenizer.text_to_ids(text, language=language or only)
            unknown = tokenizer.not_found_characters
            left_out = "".join(sign * max(1, text.casefold().count(sign.casefold())) for sign in unknown)
            signs = tokenizer.characters
            empty = {tokenizer.pad_id, tokenizer.blank_id, signs.bos_id, signs.eos_id}
            if not has_words(tokenizer.ids_to_text([sign for sign in ids if sign not in empty])):
                return None, left_out
            if options.seed is not None:
                torch.manual_seed(options.seed)
            self._bend(options.speed, options.pitch)
            try:
                speaker = options.voice or (self._speakers[0] if self._speakers else None)
                if self._vectors is not None:
                    # The library would take the only name of a file for a number, and read recordings itself.
                    vector = self._vectors.vector(options.voice, options.speaker_wav)
                    self._model._get_speaker_id_or_dvector = lambda *_: (None, vector)
                made = self._model.synthesize(text, speaker=speaker, language=language)
            finally:
                self._bend(1.0, 1.0)
            values = made["outputs"]["model_outputs"][0].float().cpu().numpy().squeeze()
            return values, left_out

    def _bend(self, speed: float, pitch: float) -> None:
        if self._pitch is not None:
            self._pitch.factor = pitch
        if hasattr(self._model, "length_scale"):
            self._model.length_scale = self._length_scale / speed
