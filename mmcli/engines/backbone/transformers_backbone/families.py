"""The one table of what differs between the families of transformers, by `architectures` of config.json.

Where nothing is said, a family is asked through its chat template, takes any number of pictures in their places in the
text, repeats nothing of the prompt, and goes on from the keys and values of the turns before.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mmcli.engines.backbone.transformers_backbone import prompts, tidying

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Family:
    """`model` and `processor` are classes of transformers, `ask` lays a conversation out for the processor."""

    model: str = "AutoModelForImageTextToText"
    processor: str = "AutoProcessor"
    ask: prompts.Ask = prompts.chat
    chat: bool = True
    """Whether it knows earlier turns and system messages."""
    images: str = "many"
    """many | one | none: how many pictures a prompt may hold; `one` also needs it."""
    video: bool = False
    call: Mapping[str, Any] = field(default_factory=dict)
    """More arguments of the processor's call."""
    generate: Mapping[str, Any] = field(default_factory=dict)
    """More arguments of `generate`."""
    ends: tuple[str, ...] = ()
    """Tokens that end an answer beside those that the checkpoint names."""
    never: tuple[str, ...] = ()
    """Tokens that no answer may hold."""
    drop: tuple[str, ...] = ()
    """What the processor gives and `generate` does not take."""
    tidy: tidying.Tidy | None = None
    """What makes text of the raw answer with its special tokens; such an answer comes as a whole."""
    coordinates: str | None = None
    """What the coordinates that it writes count, one of media.regions.SCALES; None where it names no places."""
    marks: tidying.Marks | None = None
    """What reads places out of the raw answer, where the processor knows how; else media.regions does."""
    classify: bool = False
    """The answer is one of the model's labels: nothing is generated."""
    batch: bool = True
    """Whether several prompts can go through the model at once, padded."""
    reuse: bool = True
    """Whether keys and values of a conversation can be gone on from."""
    low: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the image processor with which it looks coarsely, beside a smaller picture."""
    low_side: int = 512
    """Pixels of the longer side of a picture that is looked at coarsely."""
    high: Mapping[str, Any] = field(default_factory=dict)
    """Those with which it looks as finely as it can."""
    edge: str | None = None
    """The key of the image processor's `size` that is the most pixels of a side, where pictures are enlarged to it."""
    packages: tuple[str, ...] = ()
    """What it needs beside torch and transformers."""


_TEXT = Family("AutoModelForCausalLM", "AutoTokenizer", prompts.text_chat, images="none")
_CHAT = Family()
_VIDEO = Family(video=True)
_PLACES = Family(video=True, coordinates="0..1000")
_ONE_SHOT = Family(ask=prompts.bare("{question}"), chat=False, images="one", reuse=False)
_ANSWERS = replace(_ONE_SHOT, ask=prompts.bare("{question}", "What is in the picture?"))
_PLAIN_TEXT = ("Llama", "Mistral", "Mixtral", "Gemma", "Gemma2", "Gemma3", "Qwen2", "Qwen2Moe", "Qwen3", "Qwen3Moe")
_MORE_TEXT = ("Phi", "Phi3", "Granite", "SmolLM3", "Olmo2", "StableLm", "GPTNeoX", "OPT", "Bloom", "Falcon")

FAMILIES: dict[str, Family] = {
    **{f"{name}ForCausalLM": _TEXT for name in (*_PLAIN_TEXT, *_MORE_TEXT)},
    "GPT2LMHeadModel": _TEXT,
    # Pixtral, too: it differs in its processor and its vision tower, which config.json names.
    "LlavaForConditionalGeneration": _CHAT,
    "Mistral3ForConditionalGeneration": _CHAT,
    # Larger pictures than one tile are cut into several.
    "LlavaNextForConditionalGeneration": Family(low_side=336),
    "LlavaNextVideoForConditionalGeneration": Family(low_side=336, video=True),
    "LlavaOnevisionForConditionalGeneration": Family(low_side=384, video=True),
    "VideoLlavaForConditionalGeneration": _VIDEO,
    "VideoLlama3ForConditionalGeneration": _VIDEO,
    "MllamaForConditionalGeneration": Family(low={"max_image_tiles": 1}),
    "Qwen2VLForConditionalGeneration": _PLACES,
    "Qwen2_5_VLForConditionalGeneration": Family(video=True, coordinates="pixels"),
    "Qwen3VLForConditionalGeneration": _PLACES,
    "Qwen3VLMoeForConditionalGeneration": _PLACES,
    "Glm4vForConditionalGeneration": _PLACES,
    "InternVLForConditionalGeneration": replace(
        _PLACES, low={"crop_to_patches": False}, high={"crop_to_patches": True}
    ),
    "IdeficsForVisionText2Text": Family(
        ask=prompts.idefics, reuse=False, ends=("<end_of_utterance>",), never=("<image>", "<fake_token_around_image>")
    ),
    "Idefics2ForConditionalGeneration": Family(low={"do_image_splitting": False}, high={"do_image_splitting": True}),
    "Idefics3ForConditionalGeneration": Family(low={"do_image_splitting": False}, edge="longest_edge"),
    "SmolVLMForConditionalGeneration": Family(
        video=True, low={"do_image_splitting": False}, edge="longest_edge", packages=("num2words",)
    ),
    "Gemma3ForConditionalGeneration": Family(high={"do_pan_and_scan": True}),
    # What it has read is looked at in both directions, so that longer conversations change it.
    "PaliGemmaForConditionalGeneration": replace(
        _ONE_SHOT, ask=prompts.bare("{question}", "caption en"), drop=("labels",), coordinates="0..1024"
    ),
    "Molmo2ForConditionalGeneration": replace(_PLACES, low={"max_crops": 1}),
    "AriaForConditionalGeneration": Family(low={"split_image": False}, high={"split_image": True}),
    "Emu3ForConditionalGeneration": _CHAT,
    "JanusForConditionalGeneration": Family(
        call={"generation_mode": "text"}, generate={"generation_mode": "text"}, reuse=False
    ),
    "FuyuForCausalLM": replace(_ONE_SHOT, ask=prompts.bare("{question}\n", "Generate a coco-style caption.")),
    "BlipForConditionalGeneration": _ONE_SHOT,
    # It makes no difference between a question and what pads it.
    "BlipForQuestionAnswering": replace(_ANSWERS, model="AutoModelForVisualQuestionAnswering", batch=False),
    "Blip2ForConditionalGeneration": replace(_ONE_SHOT, ask=prompts.blip2, chat=True),
    "InstructBlipForConditionalGeneration": replace(
        _ONE_SHOT, ask=prompts.bare("{question}", "A short image description:"), batch=False
    ),
    "InstructBlipVideoForConditionalGeneration": replace(
        _ONE_SHOT, model="InstructBlipVideoForConditionalGeneration", ask=prompts.frames, video=True, batch=False
    ),
    "Florence2ForConditionalGeneration": replace(
        _ONE_SHOT,
        ask=prompts.florence,
        tidy=tidying.florence,
        coordinates="pixels",
        marks=tidying.florence_marks,
    ),
    "Kosmos2ForConditionalGeneration": replace(
        _ONE_SHOT,
        ask=prompts.kosmos,
        tidy=tidying.kosmos,
        coordinates="0..1",
        marks=tidying.kosmos_marks,
        batch=False,
    ),
    "GitForCausalLM": replace(_ONE_SHOT, ask=prompts.git, drop=("token_type_ids",), batch=False),
    "ViltForQuestionAnswering": replace(_ANSWERS, model="AutoModelForVisualQuestionAnswering", classify=True),
    "VisionEncoderDecoderModel": replace(
        _ONE_SHOT, ask=prompts.document, tidy=tidying.document, drop=("labels",), batch=False
    ),
    "GotOcr2ForConditionalGeneration": replace(_ONE_SHOT, ask=prompts.got, ends=("<|im_end|>",)),
}
REMOTE = Family()
"""A model of a program of its own, which the user trusts: asked as its chat template says."""
