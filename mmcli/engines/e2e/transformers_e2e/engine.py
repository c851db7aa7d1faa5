"""End-to-end speech models of transformers: processor and `generate` called directly."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from mmcli import store
from mmcli.engines import torch_runtime, torch_streams
from mmcli.engines.e2e.transformers_e2e import loading
from mmcli.engines.e2e.transformers_e2e.chat import takes
from mmcli.engines.e2e.transformers_e2e.families import FAMILIES, REMOTE
from mmcli.engines.options import refuse_others
from mmcli.errors import InputError, UsageError
from mmcli.threads import closable

if TYPE_CHECKING:
    from collections.abc import Generator

    from mmcli.catalogue import ModelCard
    from mmcli.options import ConverseOptions, Runtime
    from mmcli.stages import Conversation, Said, Spoke, Usage


class TransformersSpeechModel:
    """Every family of `families.FAMILIES`. One answer is generated at a time, any number may be asked for at once."""

    def __init__(self, card: ModelCard, runtime: Runtime) -> None:
        """Loads the weights; raises as `loading.load`."""
        self._card = card
        self._loaded = loading.load(card, store.locate(card), runtime, FAMILIES, REMOTE)
        family = self._loaded.family
        self.rate = self._loaded.rate
        self.alone = family.alone
        self.longest_s = family.longest_s
        self.most_s = family.most_s
        self.fallbacks: list[str] = []

    @property
    def device(self) -> str:
        """cpu, or cuda:N."""
        return str(self._loaded.device)

    def converse(
        self, conversation: Conversation, options: ConverseOptions
    ) -> Generator[Said | Spoke | Usage, None, None]:
        """Text while it is generated, sound when it is whole. Closing stops after the token that is being made.

        UsageError for what the model has no use for (a system message, earlier turns, options), InputError for a part
        that it cannot take, EngineError where it fails.
        """
        self._check(conversation, options)
        with torch_runtime.while_running(self._loaded.card):
            events = closable(self._loaded.family.answer(self._loaded, conversation, options))
            with closing(events):
                yield from events

    def _check(self, conversation: Conversation, options: ConverseOptions) -> None:
        family, name = self._loaded.family, self._card.name
        refuse_others(options, family.honours, f'model "{name}"')
        torch_streams.check(options)
        messages = conversation.messages
        if not family.instructed:
            if any(message.role == "system" for message in messages):
                raise UsageError(f'model "{name}" follows no instructions', "leave out --system")
            if len(messages) > 1:
                raise UsageError(f'model "{name}" knows no earlier turns and no examples', "ask one question at a time")
        if not messages or messages[-1].role != "user" or not messages[-1].parts:
            raise UsageError("there is nothing to answer")
        for message in messages:
            for part in message.parts:
                kind = takes(part)
                if kind not in family.takes:
                    source = getattr(part, "source", "the question")
                    raise InputError(
                        source, f'model "{name}" takes no {kind}', "mmcli models list --role e2e names others"
                    )
