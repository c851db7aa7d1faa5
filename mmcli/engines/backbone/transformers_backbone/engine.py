"""Language models and vision-language models of transformers: processor and `generate` called directly."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

import torch

from mmcli import store
from mmcli.engines import torch_runtime, torch_streams
from mmcli.engines.answers import check_document, read_schema
from mmcli.engines.backbone.transformers_backbone import generation, loading, places, reuse, writing
from mmcli.engines.backbone.transformers_backbone.conversations import Prompt, Reader
from mmcli.engines.backbone.transformers_backbone.prompts import PLAIN_STOP
from mmcli.engines.options import refuse_others
from mmcli.errors import EngineError, InputError
from mmcli.stages import Image, Usage, Video
from mmcli.threads import Channel, merge

if TYPE_CHECKING:
    from mmcli.catalogue import ModelCard
    from mmcli.engines.backbone.transformers_backbone.families import Family
    from mmcli.options import AnswerOptions, Runtime
    from mmcli.places import Region
    from mmcli.stages import Conversation, Part

_LOG = logging.getLogger(__name__)
_BATCH = 8
_CONVERSATIONS = 2
_CACHE_MB = 2048
# Tokens that the model may be ahead of whoever reads them: all of an answer, so that it never waits with its lock.
_AHEAD = 1 << 20
_WAIT_S = 0.1


@dataclass(slots=True)
class _Written:
    """What became of an answer."""

    ids: list[int] = field(default_factory=list)
    cached: int = 0
    ended: bool = False


class TransformersBackbone:
    """Every family of `families.FAMILIES`.

    One answer is generated at a time, any number may be asked for at once. The last conversations are kept with their
    keys and values (settings `cache_conversations`, 2, and `cache_mb`, 2048): a question that goes on from one of them,
    or asks something else about the same pictures, reads only what is new.
    """

    def __init__(self, card: ModelCard, runtime: Runtime) -> None:
        """Loads the weights; raises as `loading.load`."""
        self._card = card
        self._loaded = loading.load(card, store.locate(card), runtime)
        self._reader = Reader(self._loaded)
        most = loading.setting(card, "cache_conversations", _CONVERSATIONS) if self.family.reuse else 0
        size = loading.setting(card, "cache_mb", _CACHE_MB) * 1_000_000
        self._held = reuse.Conversations(self._loaded.model, most, size)
        # Some families keep the positions of the running answer in the model.
        self._lock = threading.Lock()
        self.fallbacks: list[str] = []

    @property
    def family(self) -> Family:
        return self._loaded.family

    @property
    def device(self) -> str:
        """cpu, or cuda:N."""
        return str(self._loaded.device)

    def prepare(self, parts: Iterable[Part]) -> None:
        """Decode the pictures and videos. What fails here fails again in `answer`."""
        for part in parts:
            if isinstance(part, Image | Video):
                with suppress(InputError):
                    self._reader.decode(part)

    def answer(self, conversation: Conversation, options: AnswerOptions) -> Iterator[str | Region | Usage]:
        """The answer in pieces, then the places that it names, then Usage; closing stops after the token that is being made.

        UsageError for options that make no sense or that the model cannot honour, InputError for a part that it cannot
        take or a prompt longer than its context, EngineError where it fails or cuts off a JSON document.
        """
        prompt = self._prompt([conversation], options)
        if self.family.classify:
            yield self._labels(prompt)[0]
            yield Usage(prompt.room.prompt, 1)
            return
        written = _Written()
        text = ""
        with closing(self._tokens(prompt, options, written)) as tokens:
            for piece in self._texts(tokens, prompt, options, written):
                text += piece
                yield piece
        if options.schema is not None:
            check_document(text, read_schema(options.schema), whole=written.ended)
        with self._translated():
            named = places.regions(self._loaded, written.ids, prompt)
        yield from named
        finish = "stop" if written.ended else "length"
        yield Usage(prompt.room.prompt, len(written.ids), written.cached, finish)  # type: ignore[arg-type]

    def answers(self, conversations: Iterable[Conversation], options: AnswerOptions) -> Iterator[str]:
        """The whole answers to conversations that have nothing to do with each other, in order, several at once.

        Taken greedily they are those that `answer` gives. Raises as `answer`.
        """
        source = iter(conversations)
        while batch := list(islice(source, _BATCH if self.family.batch else 1)):
            # Processors want the same number of pictures in each row.
            for _, alike in groupby(batch, _media_of):
                yield from self._together(list(alike), options)

    def _prompt(self, conversations: list[Conversation], options: AnswerOptions) -> Prompt:
        generation.check(options)
        if self.family.classify:
            # It always takes the likeliest.
            plain = replace(options, temperature=options.temperature or None)
            refuse_others(plain, ("max_new_tokens", "detail"), f'model "{self._card.name}"')
        with self._translated():
            return self._reader.prompt(conversations, options)

    def _tokens(self, prompt: Prompt, options: AnswerOptions, written: _Written) -> Generator[list[int], None, None]:
        """The tokens of an answer as they are made, in a thread of its own."""
        stop = threading.Event()
        made: Channel[list[int]] = Channel(_AHEAD)

        def work() -> Iterator[list[int]]:
            try:
                while not self._lock.acquire(timeout=_WAIT_S):
                    if stop.is_set():
                        return
                try:
                    self._continue(prompt, options, (made, stop), written)
                finally:
                    self._lock.release()
            finally:
                made.send([])
            yield from ()

        def read() -> Iterator[list[int]]:
            for tokens in made:
                if not tokens:
                    return
                yield tokens

        return merge(read(), work(), size=_AHEAD, stop=stop.set)

    def _continue(
        self,
        prompt: Prompt,
        options: AnswerOptions,
        ways: tuple[Channel[list[int]], threading.Event],
        written: _Written,
    ) -> None:
        """Generate from where a kept conversation ends, and keep this one."""
        made, stop = ways
        inputs = prompt.inputs
        start = self._held.find(prompt.ids, prompt.digests, self._reader.media_tokens) if self.family.reuse else None
        if start is not None:
            written.cached = start.known
            inputs = {name: value for name, value in inputs.items() if name in reuse.KEPT}
            inputs["past_key_values"] = start.cache
            reuse.remind(self._loaded.model, start.memory)
        more = {"return_dict_in_generate": True} if self.family.reuse else {}
        given = {**generation.arguments(self._loaded, options), **more}
        with self._translated():
            made_of = self._generate(inputs, given, options, prompt.room.answer, made.send, stop)
        if self.family.reuse and not stop.is_set():
            self._held.keep(made_of.sequences[0].tolist(), prompt.digests, made_of.past_key_values)

    def _generate(
        self,
        inputs: Mapping[str, Any],
        given: Mapping[str, Any],
        options: AnswerOptions,
        most: int,
        give: Any,
        stop: Any,
    ) -> Any:
        with torch.inference_mode(), torch_streams.seeded(self._loaded.device, options.seed):
            return self._loaded.model.generate(
                **inputs,
                **given,
                max_new_tokens=most,
                streamer=torch_streams.Tokens(give),
                stopping_criteria=torch_streams.stopping(stop),
            )

    def _texts(
        self, tokens: Iterator[list[int]], prompt: Prompt, options: AnswerOptions, written: _Written
    ) -> Iterator[str]:
        """The text of tokens, up to a stop string or the model's own end."""
        ends = generation.ends(self._loaded)

        def counted() -> Iterator[list[int]]:
            for new in tokens:
                written.ids += new
                written.ended = new[-1] in ends
                yield new[:-1] if written.ended else new

        with suppress(writing.Ended):
            if self.family.tidy is not None:
                ids = [id for new in counted() for id in new]
                with self._translated():
                    texts: Iterable[str] = [self.family.tidy(self._loaded, ids, prompt.turns[0])]
            else:
                texts = torch_streams.pieces(counted(), self._decode)
            yield from writing.stripped(writing.until(texts, self._stops(options)))
            return
        written.ended = True

    def _stops(self, options: AnswerOptions) -> tuple[str, ...]:
        plain = self.family.chat and self.family.images != "one" and self._loaded.template is None
        return (*options.stop, PLAIN_STOP) if plain else options.stop

    def _decode(self, ids: list[int]) -> str:
        return str(self._loaded.tokenizer.decode(ids, skip_special_tokens=True))

    # ------------------------------------------------------------ several at once

    def _together(self, conversations: list[Conversation], options: AnswerOptions) -> list[str]:
        """The answers of a batch; one that memory cannot hold is halved."""
        try:
            return self._batch(conversations, options)
        except EngineError as error:
            if len(conversations) == 1 or not torch_runtime.is_memory(error.__cause__):
                raise
        half = len(conversations) // 2
        self.fallbacks.append(f"{self._card.name}: {self.device} batch size {len(conversations)} -> {half} (memory)")
        _LOG.warning(self.fallbacks[-1])
        return self._together(conversations[:half], options) + self._together(conversations[half:], options)

    def _batch(self, conversations: list[Conversation], options: AnswerOptions) -> list[str]:
        prompt = self._prompt(conversations, options)
        if self.family.classify:
            return self._labels(prompt)
        steps: list[list[int]] = []
        given = generation.arguments(self._loaded, options)
        with self._lock, self._translated():
            self._generate(prompt.inputs, given, options, prompt.room.answer, steps.append, threading.Event())
        texts = []
        for row, turns in enumerate(prompt.turns):
            alone = Prompt(prompt.inputs, (turns,), prompt.room, prompt.digests, prompt.ids)
            written = _Written()
            tokens = _row(steps, row, generation.ends(self._loaded))
            texts.append("".join(self._texts(tokens, alone, options, written)))
            if options.schema is not None:
                check_document(texts[-1], read_schema(options.schema), whole=written.ended)
        return texts

    def _labels(self, prompt: Prompt) -> list[str]:
        """The likeliest of the labels that a model chooses among, for each row."""
        with self._lock, self._translated(), torch.inference_mode():
            best = self._loaded.model(**prompt.inputs).logits.argmax(-1).tolist()
        return [str(self._loaded.model.config.id2label[label]) for label in best]

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """What the library raises as errors of ours, after which nothing is held any more: memory may be what lacked."""
        try:
            with torch_runtime.while_running(self._card):
                yield
        except EngineError:
            self._held.clear()
            raise


def _media_of(conversation: Conversation) -> tuple[int, int]:
    parts = [part for message in conversation.messages for part in message.parts]
    return sum(isinstance(part, Image) for part in parts), sum(isinstance(part, Video) for part in parts)


def _row(steps: Sequence[Sequence[int]], row: int, ends: set[int]) -> Iterator[list[int]]:
    """The tokens of one row of a batch; after its end only padding follows."""
    for step in steps:
        yield [step[row]]
        if step[row] in ends:
            return
