"""What `generate` is told, and how much room a prompt leaves for an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformers import LogitsProcessorList

from mmcli.engines import torch_streams
from mmcli.engines.answers import read_schema
from mmcli.errors import MissingPackage, UsageError

if TYPE_CHECKING:
    from mmcli.engines.backbone.transformers_backbone.loading import Loaded
    from mmcli.options import AnswerOptions


def check(options: AnswerOptions) -> None:
    """UsageError for a value out of its range or a schema that is none."""
    torch_streams.check(options)
    if options.schema is not None:
        read_schema(options.schema)


def arguments(loaded: Loaded, options: AnswerOptions) -> dict[str, Any]:
    """How to decode, as arguments of `generate`; what is not asked for stays as the checkpoint has it."""
    given: dict[str, Any] = {"num_beams": 1, **loaded.family.generate}
    if loaded.family.ends:
        given["eos_token_id"] = sorted(ends(loaded))
    if loaded.family.never:
        given["bad_words_ids"] = [[id] for id in _ids(loaded, loaded.family.never)]
    given |= torch_streams.sampling(options)
    if options.schema is not None:
        given["logits_processor"] = LogitsProcessorList([_grammar(loaded, options.schema)])
        # The grammar alone says what may be written; what it wants most may be forbidden otherwise.
        given |= {"suppress_tokens": [], "begin_suppress_tokens": []}
    return given


def _grammar(loaded: Loaded, schema: str) -> Any:
    """What lets only those tokens pass with which a document of the schema can go on; good for one call."""
    try:
        import xgrammar
        from xgrammar.contrib.hf import LogitsProcessor
    except ModuleNotFoundError as error:
        raise MissingPackage("--schema needs the Python package xgrammar", "pip install 'mmcli[vlm]'") from error
    try:
        vocabulary = loaded.model.config.get_text_config(decoder=True).vocab_size
        info = xgrammar.TokenizerInfo.from_huggingface(
            loaded.tokenizer, vocab_size=vocabulary, stop_token_ids=sorted(ends(loaded)) or None
        )
        return LogitsProcessor(xgrammar.GrammarCompiler(info).compile_json_schema(schema, any_whitespace=False))
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"--schema cannot be followed ({reason})", "is it a JSON schema?") from error


def ends(loaded: Loaded) -> set[int]:
    """The tokens with which an answer ends."""
    told = getattr(loaded.model.generation_config, "eos_token_id", None)
    found = set(told) if isinstance(told, list | tuple) else {told}
    own = _ids(loaded, loaded.family.ends)
    return {int(id) for id in (*found, *own, loaded.tokenizer.eos_token_id) if id is not None}


def _ids(loaded: Loaded, tokens: tuple[str, ...]) -> list[int]:
    """Those of the tokens that the tokenizer has."""
    known = loaded.tokenizer.get_added_vocab()
    return [known[token] for token in tokens if token in known]


@dataclass(frozen=True, slots=True)
class Room:
    """How many tokens a prompt has and how many an answer may have, of the model's context."""

    prompt: int
    answer: int
    context: int | None


def room(loaded: Loaded, inputs: dict[str, Any], options: AnswerOptions) -> Room:
    """As many tokens as were asked for, or as the context leaves; none or fewer where the prompt fills it."""
    config = loaded.model.config
    text = config.get_text_config(decoder=True)
    context = getattr(text, "max_position_embeddings", None)
    name = "decoder_input_ids" if config.is_encoder_decoder else "input_ids"
    ids = inputs.get(name)
    begun = 1 if ids is None else int(ids.shape[-1])
    prompt = begun if "input_ids" not in inputs else int(inputs["input_ids"].shape[-1])
    left = options.max_new_tokens if context is None else min(options.max_new_tokens, context - begun)
    return Room(prompt, left, context)
