"""The engine of transformers over tiny checkpoints: options, room, keys and values that are kept, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import PIL.Image
import pytest
import torch
import transformers

from mmcli import engines
from mmcli.catalogue import ModelCard, read_catalogue
from mmcli.engines import torch_streams
from mmcli.engines.backbone.transformers_backbone import writing
from mmcli.engines.backbone.transformers_backbone.engine import TransformersBackbone
from mmcli.engines.backbone.transformers_backbone.families import FAMILIES
from mmcli.errors import ConfigError, EngineError, InputError, MissingModel, MmcliError, UsageError
from mmcli.families import FAMILIES as KNOWN
from mmcli.media.image import open_image
from mmcli.options import AnswerOptions, Runtime
from mmcli.stages import Backbone, Conversation, Document, Image, Message, Part, Usage, Video
from tests.tiny.checkpoints import checkpoint

QUESTION = "What colour is it?"
CPU = Runtime(device="cpu")
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "green"]}, "round": {"type": "boolean"}},
        "required": ["colour", "round"],
        "additionalProperties": False,
    }
)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def picture(seed: int, size: tuple[int, int] = (60, 44)) -> Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Image(f"picture{seed}.png", *size, lambda: PIL.Image.fromarray(pixels))


def clip(seed: int) -> Video:
    frames = [picture(seed * 10 + step).pixels() for step in range(4)]
    return Video(f"clip{seed}.mp4", 2.0, 60, 44, lambda: iter([(0.5 * n, frame) for n, frame in enumerate(frames)]))


def asked(*parts: Part, before: tuple[Message, ...] = ()) -> Conversation:
    return Conversation((*before, Message("user", parts)))


def card_of(name: str, **settings: Any) -> ModelCard:
    return dataclasses.replace(read_catalogue().model(str(checkpoint(name)), "backbone"), settings=settings)


def load(name: str, runtime: Runtime = CPU, **settings: Any) -> TransformersBackbone:
    engine = engines.load(card_of(name, **settings), runtime)
    assert isinstance(engine, TransformersBackbone)
    return engine


@pytest.fixture(scope="module")
def loaded() -> Callable[[str], TransformersBackbone]:
    """Each checkpoint is loaded once."""
    held: dict[str, TransformersBackbone] = {}

    def get(name: str) -> TransformersBackbone:
        if name not in held:
            held[name] = load(name)
        return held[name]

    return get


Loader = Callable[[str], TransformersBackbone]


def answer(engine: TransformersBackbone, conversation: Conversation, **options: Any) -> tuple[str, Usage]:
    *pieces, usage = engine.answer(conversation, greedy(**options))
    assert isinstance(usage, Usage)
    assert all(isinstance(piece, str) for piece in pieces)
    return "".join(piece for piece in pieces if isinstance(piece, str)), usage


def greedy(**options: Any) -> AnswerOptions:
    return AnswerOptions(**{"max_new_tokens": 8, "temperature": 0.0, **options})


def tokens_of(engine: TransformersBackbone, conversation: Conversation, detail: str | None = None) -> int:
    return answer(engine, conversation, max_new_tokens=1, detail=detail)[1].prompt


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[str], tuple[Path, ModelCard]]:
    def copy(name: str) -> tuple[Path, ModelCard]:
        folder = tmp_path / name
        shutil.copytree(checkpoint(name), folder)
        return folder, ModelCard(name, "backbone", "transformers", f"path:{folder}")

    return copy


Copier = Callable[[str], tuple[Path, ModelCard]]


# ---------------------------------------------------------------- tables


def test_it_is_a_backbone(loaded: Loader) -> None:
    engine = loaded("llava")
    assert isinstance(engine, Backbone)
    assert engine.device == "cpu"


def test_every_family_of_the_engine_is_recognised_by_its_folder_with_what_it_takes() -> None:
    ours = {name for name, family in KNOWN.items() if family.engine == "transformers"}
    assert ours == set(FAMILIES)
    for name, family in FAMILIES.items():
        takes = {"text", *(["image"] if family.images != "none" else []), *(["video"] if family.video else [])}
        assert set(KNOWN[name].inputs) == takes, name
        assert KNOWN[name].role == "backbone"


def test_every_class_of_the_table_is_one_of_the_library() -> None:
    for family in FAMILIES.values():
        assert hasattr(transformers, family.model)
        assert hasattr(transformers, family.processor)


# ---------------------------------------------------------------- writing


@pytest.mark.parametrize("name", ["llava", "gpt2", "instructblip"])
def test_pieces_of_text_are_whole_characters_and_make_the_whole(name: str, loaded: Loader) -> None:
    tokenizer = loaded(name)._loaded.tokenizer
    decode: Callable[[list[int]], str] = lambda ids: str(tokenizer.decode(ids, skip_special_tokens=True))  # noqa: E731
    shuffled = random.Random(3)
    for text in ("a café, 日本語 and 👩‍👩‍👧 !", "  two  spaces\nand a line\n\n", "don't stop . now ?"):
        ids = tokenizer(text, add_special_tokens=False).input_ids
        noise = [shuffled.randrange(len(tokenizer)) for _ in range(60)]
        for row in (ids, noise):
            pieces = list(torch_streams.pieces([[id] for id in row], decode))
            assert "".join(pieces) == decode(row)
        assert not any("\ufffd" in piece for piece in torch_streams.pieces([[id] for id in ids], decode))


@pytest.mark.parametrize("size", [1, 2, 3, 50])
def test_a_stop_string_ends_the_text_however_it_is_cut(size: int) -> None:
    text = "one two STOP three"
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    found: list[str] = []
    with pytest.raises(writing.Ended):
        found.extend(writing.until(pieces, ("never", "STOP")))
    assert "".join(found) == "one two "
    assert "".join(writing.until(pieces, ("never", "STOPS"))) == text


def test_white_space_around_an_answer_is_not_given() -> None:
    assert list(writing.stripped([" ", "\n", " a", " ", "\n\n", "b ", "\n"])) == ["a", " \n\nb"]
    assert list(writing.stripped(["\n", " "])) == []


# ---------------------------------------------------------------- options


def test_the_temperature_0_is_what_the_library_writes_greedily(loaded: Loader) -> None:
    engine = loaded("llama")
    model, tokenizer = engine._loaded.model, engine._loaded.tokenizer
    given = tokenizer.apply_chat_template(
        [{"role": "user", "content": QUESTION}], add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    written = model.generate(**given, do_sample=False, max_new_tokens=12)[0, given["input_ids"].shape[1] :]
    text, usage = answer(engine, asked(QUESTION), max_new_tokens=12)
    assert text == tokenizer.decode(written, skip_special_tokens=True).strip()
    assert (usage.prompt, usage.answer) == (given["input_ids"].shape[1], len(written))


def test_sampling_is_repeated_by_its_seed_and_bound_by_top_k(loaded: Loader) -> None:
    engine = loaded("llava")
    ask = asked(picture(1), QUESTION)
    drawn = [answer(engine, ask, temperature=3.0, seed=seed)[0] for seed in (5, 5, 6)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert answer(engine, ask, temperature=3.0, top_k=1)[0] == answer(engine, ask)[0]
    assert answer(engine, ask, temperature=3.0, top_p=1e-6)[0] == answer(engine, ask)[0]
    assert answer(engine, ask, temperature=3.0, min_p=1.0)[0] == answer(engine, ask)[0]


def test_a_seed_leaves_the_random_numbers_of_others_alone(loaded: Loader) -> None:
    torch.manual_seed(1)
    expected = torch.rand(2)[1]
    torch.manual_seed(1)
    torch.rand(1)
    answer(loaded("llava"), asked(QUESTION), temperature=1.0, seed=9)
    assert torch.rand(1) == expected


def test_what_was_said_is_avoided_with_a_repetition_penalty(loaded: Loader) -> None:
    engine = loaded("gemma")
    plain = answer(engine, asked(QUESTION))[0].split()
    assert len(set(plain)) < len(plain)
    varied = answer(engine, asked(QUESTION), repetition_penalty=50.0)[0].split()
    assert len(set(varied)) > len(set(plain))


def test_an_answer_ends_before_a_stop_string_and_says_so(loaded: Loader) -> None:
    engine = loaded("llava")
    whole, usage = answer(engine, asked(picture(1), QUESTION))
    assert usage.finish == "length"
    assert usage.answer == 8
    words = whole.split()
    cut, usage = answer(engine, asked(picture(1), QUESTION), stop=("nowhere", words[2]))
    assert cut.split() == words[:2]
    assert usage.finish == "stop"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temperature": -1.0}, "--temperature"),
        ({"top_p": 1.5}, "--top-p"),
        ({"top_k": -1}, "--top-k"),
        ({"min_p": 2.0}, "--min-p"),
        ({"repetition_penalty": 0.0}, "--repetition-penalty"),
        ({"max_new_tokens": 0}, "--max-tokens"),
        ({"stop": ("",)}, "--stop"),
        ({"schema": "{"}, "the schema is not JSON"),
        ({"schema": '{"type": "nonsense"}'}, "the schema is no JSON schema"),
        ({"detail": "fine"}, "--detail"),
    ],
)
def test_an_option_that_makes_no_sense_is_one_clear_line(options: dict[str, Any], said: str, loaded: Loader) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        answer(loaded("llava"), asked(picture(1), QUESTION), **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["llava", "qwen2", "mllama", "blip2-opt"])
def test_with_a_schema_the_answer_is_a_document_that_it_allows(name: str, loaded: Loader) -> None:
    ask = asked(QUESTION) if name == "qwen2" else asked(picture(1), QUESTION)
    text, usage = answer(loaded(name), ask, schema=SCHEMA, max_new_tokens=60)
    document = json.loads(text)
    assert set(document) == {"colour", "round"}
    assert document["colour"] in ("red", "green")
    assert usage.finish == "stop"


NESTED = {
    "type": "object",
    "properties": {
        "größe": {"enum": ["klein", "groß", "大きい"]},
        "parts": {
            "type": "array",
            "minItems": 2,
            "maxItems": 2,
            "items": {
                "type": "object",
                "properties": {"kind": {"const": "é"}, "there": {"type": "boolean"}},
                "required": ["kind", "there"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["größe", "parts"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "schema", [NESTED, {"type": "array", "items": {"enum": ["a", 1, None]}, "minItems": 1, "maxItems": 3}]
)
def test_documents_may_be_nested_lists_and_of_any_script(schema: dict[str, Any], loaded: Loader) -> None:
    text, usage = answer(loaded("llava"), asked(picture(1), QUESTION), schema=json.dumps(schema), max_new_tokens=200)
    jsonschema.validate(json.loads(text), schema)
    assert usage.finish == "stop"
    assert text.isascii() or "größe" in text


def test_a_document_that_was_cut_off_is_an_error_that_names_the_flag(loaded: Loader) -> None:
    with pytest.raises(EngineError, match=r"cut off before its document was whole; .*--max-tokens"):
        answer(loaded("llava"), asked(QUESTION), schema=SCHEMA, max_new_tokens=4)


def test_a_batch_keeps_to_a_schema_too(loaded: Loader) -> None:
    asks = [asked(picture(seed), QUESTION + " Say." * seed) for seed in (1, 2, 3)]
    for text in loaded("llava").answers(asks, greedy(schema=SCHEMA, max_new_tokens=60)):
        assert json.loads(text)["colour"] in ("red", "green")


# ---------------------------------------------------------------- streaming and interrupting


def test_closing_stops_the_model_at_once_and_it_can_be_asked_again(loaded: Loader) -> None:
    engine = loaded("llava")
    steps: list[int] = []
    hook = engine._loaded.model.register_forward_hook(lambda *_: steps.append(1))
    try:
        with closing(engine.answer(asked(picture(1), QUESTION), greedy(max_new_tokens=2000))) as pieces:  # type: ignore[type-var]
            assert list(islice(pieces, 2))
        assert not engine._lock.locked()
        seen = len(steps)
        assert seen < 1000
    finally:
        hook.remove()
    assert answer(engine, asked(picture(1), QUESTION))[0]


def test_the_first_piece_comes_before_the_last_token_is_made(loaded: Loader) -> None:
    engine = loaded("llava")
    made = threading.Event()
    count = [0]

    def step(*_: Any) -> None:
        count[0] += 1
        if count[0] == 4:
            assert made.wait(60)  # the fourth token is not made before the first piece was read

    hook = engine._loaded.model.register_forward_hook(step)
    try:
        pieces = engine.answer(asked(picture(3), QUESTION), greedy())
        assert next(pieces)
        made.set()
        assert isinstance(list(pieces)[-1], Usage)
    finally:
        hook.remove()


def test_an_answer_that_nobody_reads_on_does_not_hold_up_another(loaded: Loader) -> None:
    engine = loaded("llava")
    left = engine.answer(asked(picture(1), QUESTION), greedy(max_new_tokens=40))
    first = next(left)
    assert answer(engine, asked(picture(2), QUESTION))[0]
    rest = [piece for piece in left if isinstance(piece, str)]
    assert "".join([str(first), *rest]) == answer(engine, asked(picture(1), QUESTION), max_new_tokens=40)[0]


def test_two_threads_get_what_each_would_get_alone(loaded: Loader) -> None:
    engine = loaded("qwen2-vl")
    asks = [asked(picture(seed, (60 + 40 * seed, 50)), QUESTION) for seed in range(4)]
    alone = [answer(load("qwen2-vl", cache_conversations=0), ask)[0] for ask in asks]
    got: dict[int, list[str]] = {}

    def run(which: int) -> None:
        got[which] = [answer(engine, asks[(which + step) % 4])[0] for step in range(4)]

    threads = [threading.Thread(target=run, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    for which in range(2):
        assert got[which] == [alone[(which + step) % 4] for step in range(4)]


# ---------------------------------------------------------------- conversations that are kept


def test_a_second_question_about_a_picture_reads_only_what_is_new(loaded: Loader) -> None:
    engine, fresh = load("llava"), loaded("llava")
    shown = picture(4)
    _, first = answer(engine, asked(shown, QUESTION))
    text, second = answer(engine, asked(shown, "Which shape is it?"))
    assert first.cached == 0
    assert second.cached > 16  # all of the picture's tokens
    fresh._held.clear()
    assert (text, 0) == (answer(fresh, asked(shown, "Which shape is it?"))[0], fresh._held._entries and 0)


@pytest.mark.parametrize("name", ["llava", "qwen2-vl", "qwen3-vl", "mllama", "gemma3", "glm4v", "internvl", "gemma2"])
def test_conversations_that_take_turns_answer_as_if_read_anew(name: str) -> None:
    engine, plain = load(name, cache_conversations=3), load(name, cache_conversations=0)
    shown: list[tuple[Part, ...]] = [(picture(1),), (picture(2, (220, 90)),), ("There was a boat.",)]
    if name == "gemma2":
        shown = [("Once there was a boat.",), ("The house beside the road is red.",), ()]
    histories: list[tuple[Message, ...]] = [(), (), ()]
    cached = 0
    for question in (QUESTION, "And which shape?", "Tell me more."):
        for which in range(3):
            parts = (*(shown[which] if not histories[which] else ()), question)
            ask = asked(*parts, before=histories[which])
            text, usage = answer(engine, ask)
            assert text == answer(plain, ask)[0], (name, question, which)
            cached += usage.cached
            histories[which] = (*ask.messages, Message("assistant", (text,)))
    assert cached > 0 or name == "gemma2"  # whose window is shorter than what would have to be forgotten


def test_the_same_words_about_another_picture_are_not_mixed_up(loaded: Loader) -> None:
    engine = loaded("llava")
    assert answer(engine, asked(picture(1), QUESTION))[0] != answer(engine, asked(picture(2), QUESTION))[0]
    assert answer(engine, asked(picture(1), QUESTION), detail="16")[1].cached == 0


def test_as_many_conversations_are_kept_as_the_card_says() -> None:
    def cached(**settings: Any) -> int:
        engine = load("llava", **settings)
        for seed in (1, 2, 3, 1):
            _, usage = answer(engine, asked(picture(seed), QUESTION))
        return usage.cached

    assert cached(cache_conversations=3) > 0
    assert cached(cache_conversations=2) == 0
    assert cached(cache_conversations=3, cache_mb=0) == 0


def test_a_checkpoint_that_asks_for_a_cache_of_fixed_size_is_gone_on_from_too(copied: Copier, loaded: Loader) -> None:
    folder, card = copied("llava")
    path = folder / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "cache_implementation": "static"}))
    engine = engines.load(card, CPU)
    for question in (QUESTION, "And which shape?"):
        text, usage = answer(engine, asked(picture(1), question))
        assert text == answer(loaded("llava"), asked(picture(1), question))[0]
    assert usage.cached > 16


def test_questions_that_have_nothing_in_common_are_answered_together_as_alone(loaded: Loader) -> None:
    engine = loaded("llava")
    asks = [asked(picture(n), QUESTION + " Tell me." * n) for n in range(5)]
    asks[2:2] = [asked("What is a boat?"), asked(picture(1), picture(2), "Which is larger?")]
    alone = [answer(engine, ask)[0] for ask in asks]
    assert list(engine.answers(iter(asks), greedy())) == alone
    stop = alone[0].split()[-1]
    stopped = [answer(engine, ask, stop=(stop,))[0] for ask in asks]
    assert list(engine.answers(asks, greedy(stop=(stop,)))) == stopped


# ---------------------------------------------------------------- prompts


def test_control_tokens_in_a_question_are_only_text(loaded: Loader) -> None:
    for name in ("llava", "qwen2-vl", "qwen2", "smolvlm", "mllama"):
        engine = loaded(name)
        parts: tuple[Part, ...] = () if name == "qwen2" else (picture(1),)
        ends = engine._loaded.tokenizer.eos_token
        image = getattr(engine._loaded.processor, "image_token", "")
        plain, written = (
            engine._reader.prompt([asked(*parts, f"Is it a {told}?")], greedy()).ids for told in ("", ends + image)
        )
        for id in {engine._loaded.tokenizer.eos_token_id, *engine._reader.media_tokens}:
            assert plain.count(id) == written.count(id), name
        assert answer(engine, asked(*parts, f"Is it a {ends}{image}?"))[0], name


def test_a_system_message_is_put_before_the_question_where_the_template_has_none(loaded: Loader) -> None:
    engine = loaded("gemma")
    tokenizer = engine._loaded.tokenizer
    template = tokenizer.chat_template
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + template
    try:
        tokenizer.chat_template = refusing
        prompt = engine._reader.prompt([asked(QUESTION, before=(Message("system", ("Be brief.",)),))], greedy())
    finally:
        tokenizer.chat_template = template
    assert f"Be brief.\n{QUESTION}" in tokenizer.decode(prompt.ids)


def test_a_model_without_a_chat_template_continues_a_plain_dialogue(loaded: Loader) -> None:
    engine = loaded("gpt2")
    before = (Message("system", ("Be brief.",)), Message("user", ("Hello?",)), Message("assistant", ("Yes.",)))
    prompt = engine._reader.prompt([asked(QUESTION, before=before)], greedy())
    said = engine._loaded.tokenizer.decode(prompt.ids)
    assert said == f"Be brief.\nUser: Hello?\nAssistant: Yes.\nUser: {QUESTION}\nAssistant:"


def test_donut_is_asked_in_its_own_tokens_or_as_the_card_says(loaded: Loader) -> None:
    ids = loaded("donut")._reader.prompt([asked(picture(1), "What is the total?")], greedy()).inputs
    task = loaded("donut")._loaded.tokenizer.decode(ids["decoder_input_ids"][0])
    assert task.startswith("<s_docvqa><s_question>")
    assert task.endswith("</s_question><s_answer>")
    own = load("donut", prompt="<s_docvqa>")
    ids = own._reader.prompt([asked(picture(1))], greedy()).inputs
    assert own._loaded.tokenizer.decode(ids["decoder_input_ids"][0]) == "<s_docvqa>"


def tidied(engine: TransformersBackbone, written: str, question: str, **options: Any) -> str:
    """What becomes of an answer that a model wrote as this text with its tokens for places and fields."""
    prompt = engine._reader.prompt([asked(picture(1, (600, 400)), question)], greedy(**options))
    ids = engine._loaded.tokenizer(written, add_special_tokens=False).input_ids
    assert engine.family.tidy is not None
    return engine.family.tidy(engine._loaded, ids, prompt.turns[0])


@pytest.mark.parametrize("detail", [None, "16"])
def test_florence_tells_places_in_pixels_of_the_file(detail: str | None) -> None:
    engine = load("florence2")
    said = tidied(engine, "</s><s>boat<loc_0><loc_0><loc_499><loc_999></s>", "<OD>", detail=detail)
    found = json.loads(said)
    assert found["labels"] == ["boat"]
    assert found["bboxes"] == [pytest.approx([0, 0, 300, 400], abs=1)]
    assert tidied(engine, "</s><s>a boat</s>", "<CAPTION>") == "a boat"


def test_kosmos_tells_places_where_it_is_asked_to(loaded: Loader) -> None:
    written = "<phrase> a boat</phrase><object><patch_index_0000><patch_index_0003></object> here"
    engine = loaded("kosmos2")
    found = json.loads(tidied(engine, written, "<grounding>An image of"))
    assert found["text"] == "An image of a boat here"
    assert [entity["phrase"] for entity in found["entities"]] == ["a boat"]
    assert "<" not in tidied(engine, written, "What is this?")


def test_donut_tells_its_answer_or_all_its_fields(loaded: Loader) -> None:
    engine = loaded("donut")
    assert tidied(engine, "21.23</s_answer></s>", "What is the total?") == "21.23"
    fields = tidied(engine, "<s_question>total?</s_question><s_answer>21.23</s_answer>", "<s_docvqa>")
    assert json.loads(fields) == {"question": "total?", "answer": "21.23"}


@pytest.mark.parametrize(("name", "end"), [("idefics", "<end_of_utterance>"), ("got-ocr2", "<|im_end|>")])
def test_an_answer_ends_with_the_token_that_its_family_ends_turns_with(name: str, end: str) -> None:
    engine = load(name)
    engine._loaded.model.generation_config.suppress_tokens = None  # which keeps a tiny model to words
    id = engine._loaded.tokenizer.convert_tokens_to_ids(end)
    steps = [0]

    def wish(module: Any, args: Any, given: Any, output: Any) -> Any:
        steps[0] += 1
        if steps[0] == 3:
            output.logits[:, -1, id] = 1e4
        return output

    hook = engine._loaded.model.register_forward_hook(wish, with_kwargs=True)
    try:
        text, usage = answer(engine, asked(picture(1), QUESTION))
    finally:
        hook.remove()
    assert (usage.answer, usage.finish) == (3, "stop")
    assert end not in text


def test_a_coarse_look_costs_fewer_tokens(loaded: Loader) -> None:
    large = asked(picture(1, (900, 700)), QUESTION)
    for name in ("idefics3", "smolvlm", "molmo2"):
        assert tokens_of(loaded(name), large, "low") < tokens_of(loaded(name), large), name
    assert tokens_of(loaded("gemma3"), large, "high") > tokens_of(loaded("gemma3"), large)
    assert tokens_of(loaded("smolvlm"), large, "64") < tokens_of(loaded("smolvlm"), large, "300")
    assert tokens_of(loaded("qwen3-vl"), large, "100") < tokens_of(loaded("qwen3-vl"), large)


@pytest.mark.parametrize(
    ("name", "images", "patch"),
    [
        ("llava-next", transformers.LlavaNextImageProcessor, 14),
        ("llava-onevision", transformers.LlavaOnevisionImageProcessor, 14),
    ],
)
def test_a_coarse_look_is_one_tile_where_pictures_are_cut(name: str, images: Any, patch: int) -> None:
    engine = load(name)
    # As published checkpoints have it; only the prompt is made.
    engine._loaded.processor.image_processor = images()
    engine._loaded.processor.patch_size = patch
    engine._loaded.processor.num_image_tokens = (384 // patch) ** 2
    engine._loaded.model.config.get_text_config().max_position_embeddings = 32768
    counts = []
    for detail in (None, "low"):
        prompt = engine._reader.prompt([asked(picture(1, (1600, 1200)), QUESTION)], greedy(detail=detail))
        counts.append((prompt.room.prompt, prompt.inputs["pixel_values"].shape[1]))
    assert counts[1][0] < counts[0][0] / 1.4
    assert counts[1][1] < counts[0][1]


def test_a_prompt_that_fills_the_context_says_what_costs_how_much(loaded: Loader) -> None:
    long = asked(picture(1), picture(2), "word " * 5000)
    with pytest.raises(InputError) as caught:
        answer(loaded("llava"), long)
    said = str(caught.value)
    assert "picture1.png 16, picture2.png 16, text" in said
    assert "4096" in said
    assert "less text" in said
    crowded = asked(*[picture(n) for n in range(300)], QUESTION)
    with pytest.raises(InputError, match="--detail low") as caught:
        answer(loaded("llava"), crowded)
    assert "296 more, all of them 4800, text" in str(caught.value)


def test_an_answer_is_bound_by_what_the_context_leaves(loaded: Loader) -> None:
    engine = loaded("trocr")
    room = engine._reader.prompt([asked(picture(1), QUESTION)], greedy(max_new_tokens=100_000)).room
    assert room.context == engine._loaded.model.config.decoder.max_position_embeddings
    assert room.answer == room.context - 1


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("name", "parts", "said"),
    [
        ("llama", (picture(1), QUESTION), "takes no pictures"),
        ("llava", (clip(1), QUESTION), "takes no videos"),
        ("llava", (Document("a.pdf", 1, lambda: iter(())), QUESTION), "takes no documents"),
        ("blip-vqa", (QUESTION,), "there is none"),
        ("blip-vqa", (picture(1), picture(2), QUESTION), "one picture at a time, not 2"),
    ],
)
def test_a_part_that_a_model_cannot_take_is_refused(
    name: str, parts: tuple[Part, ...], said: str, loaded: Loader
) -> None:
    with pytest.raises(MmcliError, match=said):
        answer(loaded(name), asked(*parts))


def test_a_model_for_single_questions_takes_no_system_message(loaded: Loader) -> None:
    with pytest.raises(UsageError, match="--system"):
        answer(loaded("vilt"), asked(picture(1), QUESTION, before=(Message("system", ("Be brief.",)),)))


def test_a_model_that_chooses_a_label_refuses_how_to_write(loaded: Loader) -> None:
    with pytest.raises(UsageError, match="--top-k"):
        answer(loaded("vilt"), asked(picture(1), QUESTION), top_k=3)


def test_a_damaged_picture_is_named_and_preparing_it_says_nothing(loaded: Loader, data: Path) -> None:
    broken = open_image(data / "x20_trunc.jpg")
    loaded("llava").prepare([broken, "text"])
    with pytest.raises(InputError, match=r"x20_trunc\.jpg: the picture is damaged"):
        answer(loaded("llava"), asked(broken, QUESTION))


def test_what_was_prepared_is_not_decoded_again(loaded: Loader) -> None:
    decoded: list[int] = []
    pixels = picture(1).pixels()

    def count() -> PIL.Image.Image:
        decoded.append(1)
        return pixels

    shown = Image("counted.png", *pixels.size, count)
    engine = loaded("llava")
    engine.prepare([shown])
    answer(engine, asked(shown, QUESTION))
    answer(engine, asked(shown, "And now?"))
    assert len(decoded) == 1


def change(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **values}))


def test_a_model_of_another_kind_is_a_mistake_of_configuration(copied: Copier) -> None:
    folder, card = copied("llama")
    change(folder, architectures=["CLIPModel"])
    with pytest.raises(ConfigError, match="knows no CLIPModel"):
        engines.load(card, CPU)


def test_settings_that_are_unknown_or_of_the_wrong_type_are_refused() -> None:
    with pytest.raises(ConfigError, match='unknown setting "cache_gb"; did you mean "cache_mb"'):
        load("llama", cache_gb=1)
    with pytest.raises(ConfigError, match="cache_mb must be a int"):
        load("llama", cache_mb="many")


def test_pickles_are_refused_by_name(copied: Copier) -> None:
    folder, card = copied("llama")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(MissingModel, match=r"pickles \(pytorch_model\.bin\)"):
        engines.load(card, CPU)


def test_a_checkpoint_that_lacks_tensors_is_no_model(copied: Copier) -> None:
    from safetensors.torch import load_file, save_file

    folder, card = copied("llama")
    tensors = load_file(folder / "model.safetensors")
    lost = next(name for name in tensors if name.endswith("q_proj.weight"))
    save_file({k: v for k, v in tensors.items() if k != lost}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(EngineError, match="1 of its tensors are missing"):
        engines.load(card, CPU)


def test_a_broken_file_of_a_folder_is_one_line(copied: Copier) -> None:
    folder, card = copied("llava")
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(EngineError, match="is no model that can be used") as caught:
        engines.load(card, CPU)
    assert "\n" not in str(caught.value)


PROGRAM = """
from transformers import LlamaConfig, LlamaForCausalLM
from pathlib import Path

class OwnConfig(LlamaConfig):
    model_type = "own"

class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig

Path(__file__)
Path("{mark}").touch()
"""


@pytest.mark.parametrize(("entry", "user"), [(False, False), (True, False), (False, True), (True, True)])
def test_a_models_own_program_runs_only_where_entry_and_user_allow_it(
    entry: bool, user: bool, copied: Copier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformers.dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder, card = copied("llama")
    mark = tmp_path / "ran"
    (folder / "own.py").write_text(PROGRAM.replace("{mark}", str(mark)))
    own = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnForCausalLM"}
    change(folder, architectures=["OwnForCausalLM"], model_type="own", auto_map=own)
    card = dataclasses.replace(card, settings={"trust_remote_code": entry})
    runtime = Runtime(device="cpu", trust_remote_code=user)
    if entry and user:
        engine = engines.load(card, runtime)
        assert answer(engine, asked(QUESTION))[0] == answer(load("llama"), asked(QUESTION))[0]
        assert mark.exists()
        return
    with pytest.raises(ConfigError, match=r"program in its folder.*--trust-remote-code"):
        engines.load(card, runtime)
    assert not mark.exists()


# ---------------------------------------------------------------- how it computes


@pytest.mark.parametrize(
    ("runtime", "said"),
    [
        (Runtime(device="tpu"), "the device is"),
        (Runtime(device="cuda:99"), "--device cuda:99"),
        (Runtime(device="cpu", compute_type="int3"), "--compute-type int3"),
        (Runtime(device="cpu", quantize="int2"), "--quantize is int8 or int4"),
        (Runtime(device="cpu", attention="egaer"), 'did you mean "eager"'),
    ],
)
def test_what_cannot_be_computed_with_is_refused(runtime: Runtime, said: str) -> None:
    with pytest.raises(MmcliError, match=said):
        load("llama", runtime)


def test_numbers_and_attention_are_as_asked_for() -> None:
    engine = load("llava", Runtime(device="cpu", compute_type="bfloat16", attention="eager"))
    assert engine._loaded.model.dtype == torch.bfloat16
    assert engine._loaded.model.config._attn_implementation == "eager"
    assert answer(engine, asked(picture(1), QUESTION))[0]
    assert load("llava")._loaded.model.dtype == torch.float32


def test_a_model_is_spread_over_what_there_is(loaded: Loader) -> None:
    pytest.importorskip("accelerate")
    spread = load("llava", Runtime(device="balanced"))
    assert answer(spread, asked(picture(1), QUESTION))[0] == answer(loaded("llava"), asked(picture(1), QUESTION))[0]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("kind", "most"), [("int8", 0.1), ("int4", 0.5)])
def test_a_quantised_model_is_smaller_and_says_nearly_the_same(kind: str, most: float, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    torch.manual_seed(1)
    shape = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}
    tokenizer = load("llama")._loaded.tokenizer
    config = transformers.LlamaConfig(vocab_size=len(tokenizer), num_key_value_heads=4, **shape)
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    card = ModelCard("own", "backbone", "transformers", f"path:{tmp_path}")
    exact, small = engines.load(card, CPU), engines.load(card, Runtime(device="cpu", quantize=kind))
    assert small._loaded.model.get_memory_footprint() < exact._loaded.model.get_memory_footprint() * 0.7
    ids = torch.tensor([[5, 60, 7, 80]])
    with torch.inference_mode():
        want, got = (engine._loaded.model(ids).logits.float() for engine in (exact, small))
    assert ((want - got).norm() / want.norm()).item() < most
    assert answer(small, asked(QUESTION))[1].answer == 8


def test_a_lack_of_memory_is_said_and_a_batch_is_halved(loaded: Loader) -> None:
    engine = loaded("llava")
    asks = [asked(picture(n), QUESTION) for n in range(4)]
    alone = [answer(engine, ask)[0] for ask in asks]

    def crowded(module: Any, args: Any, given: dict[str, Any]) -> None:
        if given["input_ids"].shape[0] > 1:
            raise torch.OutOfMemoryError("out of memory")

    hook = engine._loaded.model.register_forward_pre_hook(crowded, with_kwargs=True)
    try:
        assert list(engine.answers(asks, greedy())) == alone
    finally:
        hook.remove()
    assert engine.fallbacks[0].endswith("batch size 4 -> 2 (memory)")


def test_a_question_is_answered_by_the_whole_command(mmcli: Any, red: Path) -> None:
    folder = checkpoint("llava")
    done = mmcli("ask", QUESTION, "-a", red, "-m", folder, "--max-tokens", 6, "--json")
    assert done.code == 0, done.err
    assert done.err == ""
    said = json.loads(done.out)
    assert said["provenance"]["usage"]["answer"] == 6
    own = asked(open_image(red), QUESTION)
    assert said["answer"] == answer(load("llava"), own, max_new_tokens=6, temperature=None)[0]
