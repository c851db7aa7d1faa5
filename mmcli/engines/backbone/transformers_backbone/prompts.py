"""How a conversation is laid out for the processor of a family, and what the processor makes of it.

An `Ask` takes the loaded model, one conversation or several of them at once, and more arguments for the processor; it
gives what `generate` takes: tensors with a row for each conversation, padded on the left.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from jinja2.exceptions import TemplateError
from transformers.video_utils import VideoMetadata

from mmcli.engines.backbone.transformers_backbone.media import Film, Picture
from mmcli.text import without

if TYPE_CHECKING:
    from mmcli.engines.backbone.transformers_backbone.loading import Loaded

PLAIN_STOP = "\nUser:"
"""Where a model without a chat template begins to write the other side's next line."""
TASK_DONUT = re.compile(r"</?s_\w+>")
_HERTZ = 1000.0  # times of frames are told to the millisecond
_INSTRUCTBLIP_FRAMES = 4
_DOCVQA = "<s_docvqa>"


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side said, with its pixels."""

    role: str
    parts: tuple[str | Picture | Film, ...]

    @property
    def text(self) -> str:
        return "\n".join(part for part in self.parts if isinstance(part, str))

    @property
    def pictures(self) -> list[Picture]:
        return [part for part in self.parts if isinstance(part, Picture)]

    @property
    def films(self) -> list[Film]:
        return [part for part in self.parts if isinstance(part, Film)]


Turns = Sequence[Turn]
Inputs = Any
"""Tensors by name, as processors and tokenizers give them: a mapping of the library's own."""
Ask = Callable[["Loaded", Sequence[Turns], Mapping[str, Any]], Inputs]


# ---------------------------------------------------------------- conversations


def chat(loaded: Loaded, conversations: Sequence[Turns], call: Mapping[str, Any]) -> Inputs:
    """Pictures and videos in their places, laid out by the model's chat template."""
    given: dict[str, Any] = {**call, "padding": True}
    films = [[_metadata(film) for turn in turns for film in turn.films] for turns in conversations]
    if any(films):
        given |= {"do_sample_frames": False, "video_metadata": films}
    if loaded.template is None:
        return _plain_call(loaded, conversations, given)

    # A processor's own template is not named: some have another one for videos.
    named = {} if loaded.processor.chat_template else {"chat_template": loaded.template}

    def apply(rows: Sequence[Turns], **more: Any) -> Inputs:
        return loaded.processor.apply_chat_template(
            [
                [{"role": turn.role, "content": [_block(part) for part in turn.parts]} for turn in turns]
                for turns in rows
            ],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs=dict(given),
            **named,
            **loaded.template_values,
            **more,
        )

    return _rendered(loaded, conversations, apply)


def text_chat(loaded: Loaded, conversations: Sequence[Turns], call: Mapping[str, Any]) -> Inputs:
    """A language model alone: through its chat template, or plain lines "User: ..." and "Assistant: ..."."""
    if loaded.template is None:
        texts = [_plain(loaded, turns) for turns in conversations]
        return loaded.tokenizer(texts, return_tensors="pt", padding=True, split_special_tokens=True, **call)

    def apply(rows: Sequence[Turns], **more: Any) -> Inputs:
        return loaded.tokenizer.apply_chat_template(
            [[{"role": turn.role, "content": turn.text} for turn in turns] for turns in rows],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            padding=True,
            **loaded.template_values,
            **more,
        )

    return _rendered(loaded, conversations, apply)


def _rendered(loaded: Loaded, conversations: Sequence[Turns], apply: Callable[..., Inputs]) -> Inputs:
    """What `apply` makes of conversations; what their texts have of control tokens stays text."""

    def safe(rows: Sequence[Turns]) -> Inputs:
        try:
            return apply(rows, sanitize_control_tokens=True)
        except (NotImplementedError, ValueError):  # a tokenizer or a processor that cannot
            return apply([[_without_tokens(loaded, turn) for turn in turns] for turns in rows])

    try:
        return safe(conversations)
    except TemplateError:
        folded = [_fold_system(turns) for turns in conversations]
        if folded == [list(turns) for turns in conversations]:
            raise
        return safe(folded)


def _fold_system(turns: Turns) -> list[Turn]:
    """The system message at the head of the first question, for templates that know no system."""
    if len(turns) < 2 or turns[0].role != "system":
        return list(turns)
    return [replace(turns[1], parts=(turns[0].text, *turns[1].parts)), *turns[2:]]


def _block(part: str | Picture | Film) -> dict[str, Any]:
    if isinstance(part, Picture):
        return {"type": "image", "image": part.pixels}
    if isinstance(part, Film):
        return {"type": "video", "video": part.frames}
    return {"type": "text", "text": part}


def _metadata(film: Film) -> VideoMetadata:
    return VideoMetadata(
        total_num_frames=round(film.seconds * _HERTZ),
        fps=_HERTZ,
        duration=film.seconds,
        frames_indices=[round(time * _HERTZ) for time in film.times],
        width=film.frames.shape[2],
        height=film.frames.shape[1],
    )


def _plain_call(loaded: Loaded, conversations: Sequence[Turns], given: Mapping[str, Any]) -> Inputs:
    """A chat without a template."""
    texts = [_plain(loaded, [_without_tokens(loaded, turn) for turn in turns]) for turns in conversations]
    images = [[picture.pixels for turn in turns for picture in turn.pictures] for turns in conversations]
    videos = [[film.frames for turn in turns for film in turn.films] for turns in conversations]
    return loaded.processor(
        text=texts,
        images=images if any(images) else None,
        videos=videos if any(videos) else None,
        return_tensors="pt",
        **given,
    )


_SIDES = {"system": "", "user": "User: ", "assistant": "Assistant: "}


def _plain(loaded: Loaded, turns: Turns) -> str:
    marks = {Picture: "image_token", Film: "video_token"}
    lines = []
    for turn in turns:
        parts = [part if isinstance(part, str) else _token(loaded, marks[type(part)]) for part in turn.parts]
        lines.append(_SIDES[turn.role] + "\n".join(parts))
    return "\n".join([*lines, "Assistant:"])


def _token(loaded: Loaded, name: str) -> str:
    token = getattr(loaded.processor, name, None) or getattr(loaded.tokenizer, name, None) or "<image>"
    return str(getattr(token, "content", token))


def _without_tokens(loaded: Loaded, turn: Turn) -> Turn:
    return replace(turn, parts=tuple(_neutral(loaded, p) if isinstance(p, str) else p for p in turn.parts))


def _neutral(loaded: Loaded, text: str) -> str:
    """A user's text without what the tokenizer would take for the end, or the processor for a picture."""
    return without(text, loaded.control_tokens)


def idefics(loaded: Loaded, conversations: Sequence[Turns], call: Mapping[str, Any]) -> Inputs:
    """IDEFICS, the first: lists of texts and pictures (arXiv:2306.16527; the layout of its instructed checkpoints)."""
    prompts = []
    for turns in conversations:
        prompt: list[Any] = []
        for number, turn in enumerate(turns):
            if turn.role == "system":
                prompt.append(_neutral(loaded, turn.text) + "\n")
                continue
            prompt.append("\n" * (number > 0) + _SIDES[turn.role].strip())
            prompt += [part.pixels for part in turn.pictures]
            prompt.append(_neutral(loaded, turn.text) + "<end_of_utterance>")
        prompts.append([*prompt, "\nAssistant:"])
    return loaded.processor(text=prompts, return_tensors="pt", padding=True, **call)


# ---------------------------------------------------------------- one question about one picture


def question_of(turns: Turns) -> str:
    """What the last message asks."""
    return turns[-1].text.strip()


def picture_of(turns: Turns) -> Picture | Film:
    """The picture or video of the newest message that has one; that there is one was checked."""
    return next(p for turn in reversed(turns) for p in turn.parts if not isinstance(p, str))


def bare(template: str, default: str | None = None) -> Ask:
    """The question alone, in a frame of words. `default` is asked where nothing is; None then gives no text at all."""

    def ask(loaded: Loaded, conversations: Sequence[Turns], call: Mapping[str, Any]) -> Inputs:
        frame = loaded.prompt or template
        asked = [_neutral(loaded, question_of(turns)) or default for turns in conversations]
        texts = None if None in asked else [frame.replace("{question}", str(question)) for question in asked]
        return _call(loaded, texts, conversations, call)

    return ask


def _call(loaded: Loaded, texts: list[str] | None, conversations: Sequence[Turns], call: Mapping[str, Any]) -> Inputs:
    images = [_pixels(turns) for turns in conversations]
    more = {} if texts is None else {"text": texts, "padding": True}
    return loaded.processor(images=images, return_tensors="pt", **more, **call)


def _pixels(turns: Turns) -> Any:
    picture = picture_of(turns)
    assert isinstance(picture, Picture)
    return picture.pixels


def blip2(loaded: Loaded, conversations: Sequence[Turns], call: Mapping[str, Any]) -> Inputs:
    """BLIP-2: questions and answers so far in one line (arXiv:2301.12597, section 4.1)."""
    texts = []
    for turns in conversations:
        sides = {"user": "Question: {} Answer:", "assistant": "{}.", "system": "{}"}
        words = [sides[turn.role].format(_neutral(loaded, turn.text.strip()).rstrip(".")) for turn in turns]
        texts.append(" ".join(words) if question_of(turns) else "")
    return _call(loaded, texts, conversations, call)


def frames(loaded: Loaded, conversations: Sequence[Turns], call: Mapping[str, Any]) -> Inputs:
    """InstructBLIP for videos: always four frames, those of a picture all alike."""
    texts, videos = [], []
    for turns in conversations:
        shown = picture_of(turns)
        if isinstance(shown, Film):
            steps = torch.linspace(0, len(shown.frames) - 1, _INSTRUCTBLIP_FRAMES).round().int().tolist()
            videos.append([shown.frames[step] for step in steps])
        else:
            videos.append([shown.pixels] * _INSTRUCTBLIP_FRAMES)
        texts.append(_neutral(loaded, question_of(turns)) or "A short video description:")
    return loaded.processor(images=videos, text=texts, return_tensors="pt", padding=True, **call)


def florence(loaded: Loaded, conversations: Sequence[Turns], call: Mapping[str, Any]) -> Inputs:
    """Florence-2: a task as <OD>, which may be followed by text, or a question for checkpoints that were taught some."""
    texts = [question_of(turns) or "<MORE_DETAILED_CAPTION>" for turns in conversations]
    return _call(loaded, texts, conversations, call)


def kosmos(loaded: Loaded, conversations: Sequence[Turns], call: Mapping[str, Any]) -> Inputs:
    """Kosmos-2 (arXiv:2306.14824): a question, or with <grounding> the start of a text about what is where."""
    texts = []
    for turns in conversations:
        question = question_of(turns) or "<grounding>An image of"
        texts.append(question if question.startswith("<grounding>") else f"Question: {question} Answer:")
    tokens = {"num_image_tokens": loaded.model.config.latent_query_num}
    return _call(loaded, texts, conversations, {**tokens, **call})


def git(loaded: Loaded, conversations: Sequence[Turns], call: Mapping[str, Any]) -> Inputs:
    """GIT (arXiv:2205.14100): the question after the first token and without the last, so that it is gone on from."""
    given = dict(_call(loaded, None, conversations, call))
    (turns,) = conversations
    question = _neutral(loaded, question_of(turns))
    if question:
        ids = loaded.tokenizer(question, add_special_tokens=False).input_ids
        given["input_ids"] = torch.tensor([[loaded.tokenizer.cls_token_id, *ids]])
        given["attention_mask"] = torch.ones_like(given["input_ids"])
    return given


def document(loaded: Loaded, conversations: Sequence[Turns], call: Mapping[str, Any]) -> Inputs:
    """TrOCR and Donut: a picture alone, or Donut's task, which begins the answer."""
    given = dict(_call(loaded, None, conversations, call))
    tasks = [donut_task(loaded, question_of(turns)) for turns in conversations]
    if all(tasks):
        encoded = loaded.tokenizer(tasks, add_special_tokens=False, return_tensors="pt", padding=True)
        given["decoder_input_ids"] = encoded.input_ids
        given["decoder_attention_mask"] = encoded.attention_mask
    return given


def donut_task(loaded: Loaded, question: str) -> str:
    """What Donut's answer begins with (arXiv:2111.15664): a task that was asked for, or a question; nothing for TrOCR."""
    if question.startswith("<s_") or not question:
        return question or loaded.prompt or ""
    inner = TASK_DONUT.sub("", _neutral(loaded, question))
    if loaded.prompt:
        return loaded.prompt.replace("{question}", inner)
    if _DOCVQA in loaded.tokenizer.get_vocab():
        return f"{_DOCVQA}<s_question>{inner}</s_question><s_answer>"
    return ""


def got(loaded: Loaded, conversations: Sequence[Turns], call: Mapping[str, Any]) -> Inputs:
    """GOT-OCR: it reads, whatever is asked."""
    return _call(loaded, None, conversations, {"padding": True, **call})
