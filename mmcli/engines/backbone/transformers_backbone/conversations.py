"""A conversation as the processor of a model takes it: which parts, how fine, and whether they fit into the context."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmcli.engines.backbone.transformers_backbone import generation
from mmcli.engines.backbone.transformers_backbone.media import Film, Media, Picture, most_pixels
from mmcli.engines.backbone.transformers_backbone.prompts import Turn
from mmcli.errors import ContextOverflow, InputError, UsageError
from mmcli.stages import Image, Video

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmcli.engines.backbone.transformers_backbone.loading import Loaded
    from mmcli.options import AnswerOptions
    from mmcli.stages import Conversation, Part

_OTHERS = "mmcli models list --role backbone names others"
# Attachments whose tokens are told one by one.
_TOLD = 4
# Where configurations and processors name the tokens that stand for pixels.
_MEDIA = ("image_token_id", "image_token_index", "video_token_id", "video_token_index", "image_patch_id")


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """What `generate` takes, with a row for each conversation. `ids` and `digests` are those of the only one."""

    inputs: Mapping[str, Any]
    turns: tuple[Sequence[Turn], ...]
    room: generation.Room
    digests: tuple[bytes, ...] = ()
    ids: tuple[int, ...] = ()


class Reader:
    """Makes prompts of conversations. Safe for several threads."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._media = Media()
        # Fast tokenizers are set up anew by each call.
        self._lock = threading.Lock()
        tokenizer, processor, config = loaded.tokenizer, loaded.processor, loaded.model.config
        found = {getattr(holder, name, None) for holder in (config, processor, tokenizer) for name in _MEDIA}
        self.media_tokens = frozenset(id for id in found if isinstance(id, int))

    def decode(self, part: Image | Video) -> None:
        """Have the pixels ready. InputError where they are damaged."""
        if isinstance(part, Image):
            self._media.picture(part, None)
        else:
            self._media.film(part, None)

    def prompt(self, conversations: Sequence[Conversation], options: AnswerOptions) -> Prompt:
        """UsageError or InputError for what the model cannot take or has no room for; what the library raises else."""
        side = most_pixels(options.detail, self._loaded.family.low_side)
        turns = tuple(self._turns(conversation, side) for conversation in conversations)
        inputs = self._loaded.place(self._asked(turns, options.detail))
        room = generation.room(self._loaded, inputs, options)
        if room.answer < 1:
            raise self._too_long(room, turns[0], inputs, options.detail)
        shown = [part.digest for turn in turns[0] for part in turn.parts if not isinstance(part, str)]
        detail = [] if options.detail is None else [options.detail.encode()]
        ids = tuple(inputs["input_ids"][0].tolist()) if "input_ids" in inputs and len(turns) == 1 else ()
        return Prompt(inputs, turns, room, tuple(shown + detail) if shown else (), ids)

    def _asked(self, turns: Sequence[Sequence[Turn]], detail: str | None) -> Mapping[str, Any]:
        family = self._loaded.family
        call = {**family.call, **self._loaded.card.settings.get("processor", {})}
        looks = self._looks(detail)
        if looks and any(not isinstance(part, str) for row in turns for turn in row for part in turn.parts):
            call["images_kwargs"] = {**looks, **call.get("images_kwargs", {})}
        with self._lock:
            return dict(family.ask(self._loaded, turns, call))

    def _looks(self, detail: str | None) -> dict[str, Any]:
        """Arguments of the image processor for a detail."""
        family = self._loaded.family
        if detail is None or detail in ("low", "high"):
            return dict({None: {}, "low": family.low, "high": family.high}[detail])
        return {"size": {family.edge: int(detail)}} if family.edge else {}

    # ------------------------------------------------------------ parts

    def _turns(self, conversation: Conversation, side: int | None) -> list[Turn]:
        turns: list[Turn] = []
        for message in conversation.messages:
            parts = tuple(self._part(part, side) for part in message.parts)
            if turns and turns[-1].role == message.role:
                turns[-1] = Turn(message.role, (*turns[-1].parts, *parts))
            else:
                turns.append(Turn(message.role, parts))
        self._check(turns)
        return turns

    def _part(self, part: Part, side: int | None) -> str | Picture | Film:
        family, name = self._loaded.family, self._loaded.card.name
        if isinstance(part, str):
            return part
        if isinstance(part, Image):
            if family.images == "none":
                raise InputError(part.source, f'model "{name}" takes no pictures', _OTHERS)
            return self._media.picture(part, side)
        if isinstance(part, Video):
            if not family.video:
                raise InputError(part.source, f'model "{name}" takes no videos', _OTHERS)
            return self._media.film(part, side)
        raise InputError(part.source, f'model "{name}" takes no documents', "give its text or its pages as pictures")

    def _check(self, turns: Sequence[Turn]) -> None:
        name, family = self._loaded.card.name, self._loaded.family
        if not turns or turns[-1].role != "user":
            raise UsageError("the last message of a conversation has to be a question")
        if not family.chat and any(turn.role == "system" for turn in turns):
            raise UsageError(f'model "{name}" takes no system message', "leave out --system")
        if family.images == "one":
            shown = [[part for part in turn.parts if not isinstance(part, str)] for turn in turns]
            newest = next((parts for parts in reversed(shown) if parts), [])
            if not newest:
                raise UsageError(f'model "{name}" answers about a picture, and there is none', "give one with -a FILE")
            if len(newest) > 1:
                raise UsageError(f'model "{name}" takes one picture at a time, not {len(newest)}', _OTHERS)

    # ------------------------------------------------------------ room

    def _too_long(
        self, room: generation.Room, turns: Sequence[Turn], inputs: Mapping[str, Any], detail: str | None
    ) -> ContextOverflow:
        shown = [part for turn in turns for part in turn.parts if not isinstance(part, str)]
        total = self._media_count(inputs)
        costs = [f"{part.source} {self._cost(part, detail)}" for part in shown[:_TOLD]] if total else []
        if total and len(shown) > _TOLD:
            costs.append(f"{len(shown) - _TOLD} more, all of them {total}")
        costs.append(f"text {room.prompt - total}")
        mend = "ask with less text"
        if total * 2 > room.prompt:
            mend = "take --detail low, or fewer or smaller pictures"
        return ContextOverflow(
            "the question",
            f"has {room.prompt} tokens ({', '.join(costs)}), "
            f'and the context of model "{self._loaded.card.name}" is {room.context}, which leaves none for an answer',
            mend,
        )

    def _cost(self, part: Picture | Film, detail: str | None) -> int:
        """The tokens that a picture takes by itself."""
        return self._media_count(self._asked([[Turn("user", (part, "?"))]], detail))

    def _media_count(self, inputs: Mapping[str, Any]) -> int:
        ids = inputs["input_ids"][0].tolist() if "input_ids" in inputs else []
        return sum(id in self.media_tokens for id in ids)
