"""The real processors of transformers with a tokenizer of bytes, one for each family that has a rule for pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

SPECIAL = ("<image>", "<fake>", "<start>", "<end>", "<video>", "<context>", "<bos>", "<eos>", "<pad>")


def tokenizer(*, merged: bool = True, **marks: str) -> PreTrainedTokenizerFast:
    """Every byte a token, every mark one; two line breaks are one token where `merged`, as most models have it."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate([*letters, "ĊĊ"])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[("Ċ", "Ċ")] if merged else []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", extra_special_tokens=marks
    )
    made.add_special_tokens({"additional_special_tokens": list({*SPECIAL, *marks.values()})})
    return made


Made = tuple[Any, str, dict[str, Any]]
"""A processor, the mark that stands for a picture, and what config.json says of the family."""


def llava() -> Made:
    image = transformers.CLIPImageProcessorPil(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 70})
    made = transformers.LlavaProcessor(
        image, tokenizer(), patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1
    )
    return made, "<image>", {"model_type": "llava"}


def llava_next() -> Made:
    grid = [[56, 112], [112, 56], [112, 112], [168, 56], [56, 168]]
    image = transformers.LlavaNextImageProcessorPil(
        size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}, image_grid_pinpoints=grid
    )
    made = transformers.LlavaNextProcessor(
        image, tokenizer(), patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1
    )
    return made, "<image>", {"model_type": "llava_next"}


def llava_onevision() -> Made:
    grid = [[h * 56, w * 56] for h in range(1, 7) for w in range(1, 7)]
    image = transformers.LlavaOnevisionImageProcessorPil(size={"height": 56, "width": 56}, image_grid_pinpoints=grid)
    video = transformers.LlavaOnevisionVideoProcessor()
    made = transformers.LlavaOnevisionProcessor(
        image,
        tokenizer(),
        video,
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_9",
    )
    return made, "<image>", {"model_type": "llava_onevision"}


def _qwen(cls: Any, video: Any, kind: str, patch: int) -> Made:
    image = transformers.Qwen2VLImageProcessorPil(
        patch_size=patch, merge_size=2, size={"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * 300}
    )
    marks = tokenizer(image_token="<image>", video_token="<video>")
    return cls(image_processor=image, tokenizer=marks, video_processor=video), "<image>", {"model_type": kind}


def qwen2_vl() -> Made:
    return _qwen(transformers.Qwen2VLProcessor, transformers.Qwen2VLVideoProcessor(), "qwen2_vl", 14)


def qwen2_5_vl() -> Made:
    return _qwen(transformers.Qwen2_5_VLProcessor, transformers.Qwen2VLVideoProcessor(), "qwen2_5_vl", 14)


def qwen3_vl() -> Made:
    return _qwen(transformers.Qwen3VLProcessor, transformers.Qwen3VLVideoProcessor(), "qwen3_vl", 16)


def glm4v() -> Made:
    image = transformers.Glm4vImageProcessorPil(size={"shortest_edge": 112 * 112, "longest_edge": 28 * 28 * 400})
    marks = tokenizer(image_token="<image>", video_token="<video>")
    made = transformers.Glm4vProcessor(image, marks, transformers.Glm4vVideoProcessor())
    return made, "<image>", {"model_type": "glm4v"}


def pixtral() -> Made:
    image = transformers.PixtralImageProcessorPil(patch_size={"height": 16, "width": 16}, size={"longest_edge": 512})
    made = transformers.PixtralProcessor(
        image, tokenizer(), patch_size=16, image_token="<image>", image_break_token="<start>", image_end_token="<end>"
    )
    return made, "<image>", {"model_type": "llava", "vision_config": {"model_type": "pixtral"}}


def mistral3() -> Made:
    image = transformers.PixtralImageProcessorPil(patch_size=14, size={"longest_edge": 700})
    made = transformers.PixtralProcessor(
        image,
        tokenizer(),
        patch_size=14,
        spatial_merge_size=2,
        image_token="<image>",
        image_break_token="<start>",
        image_end_token="<end>",
    )
    return made, "<image>", {"model_type": "mistral3"}


def _idefics_marks(*, merged: bool) -> PreTrainedTokenizerFast:
    places = {f"place_{r}_{c}": f"<row_{r}_col_{c}>" for r in range(1, 7) for c in range(1, 7)}
    return tokenizer(
        merged=merged,
        image_token="<image>",
        fake_image_token="<fake_token_around_image>",
        global_image_token="<global-img>",
        end_of_utterance_token="<end_of_utterance>",
        **places,
    )


def idefics3(*, merged: bool = True) -> Made:
    image = transformers.Idefics3ImageProcessorPil(size={"longest_edge": 256}, max_image_size={"longest_edge": 64})
    made = transformers.Idefics3Processor(image, _idefics_marks(merged=merged), image_seq_len=5)
    return made, "<image>", {"model_type": "idefics3"}


def idefics3_unmerged() -> Made:
    return idefics3(merged=False)


def smolvlm() -> Made:
    image = transformers.SmolVLMImageProcessorPil(size={"longest_edge": 192}, max_image_size={"longest_edge": 64})
    video = transformers.SmolVLMVideoProcessor()
    made = transformers.SmolVLMProcessor(image, _idefics_marks(merged=True), video, image_seq_len=7)
    return made, "<image>", {"model_type": "smolvlm"}


def idefics2() -> Made:
    image = transformers.Idefics2ImageProcessorPil(do_image_splitting=True)
    made = transformers.Idefics2Processor(image, tokenizer(), image_seq_len=6)
    return made, "<image>", {"model_type": "idefics2"}


def internvl() -> Made:
    image = transformers.GotOcr2ImageProcessorPil(size={"height": 56, "width": 56}, min_patches=1, max_patches=12)
    marks = tokenizer(
        start_image_token="<start>", end_image_token="<end>", context_image_token="<image>", video_token="<video>"
    )
    made = transformers.InternVLProcessor(image, marks, transformers.InternVLVideoProcessor(), image_seq_length=4)
    return made, "<image>", {"model_type": "internvl"}


def gemma3() -> Made:
    image = transformers.Gemma3ImageProcessorPil(size={"height": 56, "width": 56})
    marks = tokenizer(image_token="<image>", boi_token="<start>", eoi_token="<end>")
    return transformers.Gemma3Processor(image, marks, image_seq_length=9), "<start>", {"model_type": "gemma3"}


def paligemma() -> Made:
    image = transformers.SiglipImageProcessorPil(size={"height": 56, "width": 56})
    image.image_seq_length = 16
    made = transformers.PaliGemmaProcessor(image, tokenizer(image_token="<image>"))
    return made, "<image>", {"model_type": "paligemma"}


def blip_2() -> Made:
    image = transformers.BlipImageProcessorPil(size={"height": 56, "width": 56})
    made = transformers.Blip2Processor(image, tokenizer(), num_query_tokens=11)
    return made, "", {"model_type": "blip-2"}


def instructblip() -> Made:
    image = transformers.BlipImageProcessorPil(size={"height": 56, "width": 56})
    made = transformers.InstructBlipProcessor(image, tokenizer(), tokenizer(), num_query_tokens=13)
    return made, "", {"model_type": "instructblip"}


def florence2() -> Made:
    image = transformers.CLIPImageProcessorPil(size={"height": 56, "width": 56}, do_center_crop=False)
    image.image_seq_length = 17
    made = transformers.Florence2Processor(image, tokenizer(image_token="<image>"))
    return made, "", {"model_type": "florence2"}


def video_llama_3() -> Made:
    image = transformers.VideoLlama3ImageProcessorPil(
        patch_size=14, merge_size=1, size={"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * 100}
    )
    marks = tokenizer(image_token="<image>", video_token="<video>")
    made = transformers.VideoLlama3Processor(image, marks, transformers.VideoLlama3VideoProcessor())
    return made, "<image>", {"model_type": "video_llama_3"}


def video_llava() -> Made:
    image = transformers.VideoLlavaImageProcessor(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    made = transformers.VideoLlavaProcessor(
        image,
        transformers.VideoLlavaVideoProcessor(),
        tokenizer(),
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    return made, "<image>", {"model_type": "video_llava"}


def aria() -> Made:
    image = transformers.AriaImageProcessorPil()
    made = transformers.AriaProcessor(image, tokenizer(image_token="<image>"), size_conversion={980: 12})
    return made, "<image>", {"model_type": "aria"}


def molmo2() -> Made:
    image = transformers.Molmo2ImageProcessor(
        size={"height": 112, "width": 112}, patch_size=14, max_crops=8, overlap_margins=[1, 1], pooling_size=[2, 2]
    )
    names = ("im_patch", "im_col", "im_start", "low_res_im_start", "frame_start", "im_end", "frame_end", "im_low")
    marks = tokenizer(image_token="<image>", video_token="<video>", **{name: f"<{name}>" for name in names})
    made = transformers.Molmo2Processor(image, transformers.Molmo2VideoProcessor(), marks)
    return made, "<image>", {"model_type": "molmo2"}


def mllama() -> Made:
    image = transformers.MllamaImageProcessorPil(size={"height": 56, "width": 56}, max_image_tiles=4)
    marks = tokenizer(image_token="<|image|>")
    marks.image_token = "<|image|>"
    return transformers.MllamaProcessor(image, marks), "<|image|>", {"model_type": "mllama"}


FAMILIES: dict[str, Callable[[], Made]] = {
    made.__name__: made
    for made in (
        *(llava, llava_next, llava_onevision, qwen2_vl, qwen2_5_vl, qwen3_vl, glm4v, pixtral, mistral3),
        *(idefics2, idefics3, idefics3_unmerged, smolvlm, internvl, gemma3, paligemma, blip_2, aria, molmo2, mllama),
        *(instructblip, florence2, video_llama_3, video_llava),
    )
}
