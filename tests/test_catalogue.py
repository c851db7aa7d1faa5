"""models.toml and the user's files: merging, origins, and a clear line for every mistake."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mmcli import cache, families
from mmcli.catalogue import make_options, package_data, read_catalogue, user_config
from mmcli.engines import ENGINES, spec_of
from mmcli.errors import ConfigError
from mmcli.families import FAMILIES
from mmcli.options import OPTIONS, SpeakOptions
from mmcli.stages import ROLES
from tests.conftest import Result

MODEL = '[models.mine]\nrole = "tts"\nengine = "espeak"\nsource = "embedded:espeakng_loader"\n'


def _config(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "my.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_every_model_of_the_catalogue_names_an_engine_of_its_role_and_its_licence() -> None:
    for card in read_catalogue().models.values():
        assert spec_of(card).role == card.role
        assert card.license


# Commits of these could not be found out.
UNPINNED = {"granite-speech-3.3-2b", "granite-speech-3.3-2b-chat", "speecht5-tts", "bark-small", "wavlm-base-sv"}


def test_every_model_of_the_hub_is_pinned_to_a_commit() -> None:
    cards = [card for card in read_catalogue().models.values() if card.source.startswith(cache.SCHEME)]
    assert {card.name for card in cards if not cache.is_commit(card.revision)} == UNPINNED
    commits: dict[str, set[str]] = {}
    for card in cards:
        commits.setdefault(card.source, set()).add(card.revision)
    assert [source for source, known in commits.items() if len(known) > 1] == []


def test_a_size_is_told_or_said_not_to_be_known(tmp_path: Path, mmcli: Callable[..., Result]) -> None:
    models = read_catalogue().models
    assert all(card.size_mb is None or card.size_mb > 0 or card.name.startswith("fake-") for card in models.values())
    mine = _config(tmp_path, MODEL + MODEL.replace("mine", "sized") + "size_mb = 21\n")
    assert read_catalogue(mine).model("mine").size == "size not known"
    assert read_catalogue(mine).model("sized").size == "21 MB"
    told = {line.split("\t")[0]: line for line in mmcli("models", "list", "--config", mine).out.splitlines()}
    assert "\tnot known\t" in told["mine"]
    assert "\t21\t" in told["sized"]
    shown = mmcli("models", "show", "granite-speech-3.3-2b").out
    assert "size_mb\tnot known\n" in shown
    assert "revision\tnot pinned\n" in shown


def test_a_gated_model_says_so(mmcli: Callable[..., Result]) -> None:
    gated = [card.name for card in read_catalogue().models.values() if card.gated]
    assert gated == ["gemma-3-4b", "csm-1b"]
    assert mmcli("models", "list", "--role", "backbone").out.count("\tabsent, gated\t") == 1
    assert "gated\tTrue\n" in mmcli("models", "show", "csm-1b").out


def test_licences_that_set_conditions_are_asked_for() -> None:
    asking = {card.name for card in read_catalogue().models.values() if not families.is_free(card.license)}
    assert asking == {
        *("seamless-m4t-v2-large-stt", "seamless-m4t-v2", "mms-tts-eng", "xtts-v2"),
        *("qwen2.5-vl-3b", "gemma-3-4b", "internvl3-1b", "llava-1.5-7b"),
    }
    uncommercial = {card.name for card in read_catalogue().models.values() if families.is_noncommercial(card.license)}
    assert uncommercial == asking - {"gemma-3-4b", "internvl3-1b", "llava-1.5-7b"}
    assert families.is_noncommercial("coqui-public-model-license")


def test_csm_is_fetched_in_the_form_that_transformers_reads() -> None:
    both = ["transformers-00001-of-00002.safetensors", "transformers-00002-of-00002.safetensors"]
    others = ["config.json", "transformers.safetensors.index.json", "tokenizer.json"]
    assert set(families.wanted("transformers-tts", [*both, *others, "model.safetensors", "ckpt.pt"])) == {
        *both,
        *others,
    }
    plain = ["config.json", "model.safetensors", "tokenizer.json"]
    assert families.wanted("transformers-tts", plain) == plain
    assert not families.lacking("transformers-tts", plain)


def test_every_engine_has_a_model_and_every_role_has_options() -> None:
    used = {card.engine for card in read_catalogue().models.values()}
    # No server is anybody's by default.
    assert used == {name for name, engine in ENGINES.items() if not engine.served}
    assert set(OPTIONS) == {*ROLES, "runtime", "attachments"}


def test_every_family_that_is_recognised_has_an_engine() -> None:
    for family in FAMILIES.values():
        assert ENGINES[family.engine].role == family.role


def test_every_model_of_a_pipeline_exists() -> None:
    catalogue = read_catalogue()
    for spec in catalogue.pipelines.values():
        for role, name in spec.models.items():
            assert catalogue.model(name, role).name == name


def test_files_are_merged_and_every_value_knows_its_file(tmp_path: Path) -> None:
    user_config().parent.mkdir(parents=True)
    user_config().write_text('[pipelines.embedded.options.tts]\nvoice = "de"\nspeed = 2\n', encoding="utf-8")
    mine = _config(tmp_path, MODEL + '[pipelines.embedded]\ntts = "mine"\noptions.tts.speed = 1.5\n')
    spec = read_catalogue(mine).pipeline("embedded")
    assert spec.models["tts"] == "mine"
    assert spec.models["stt"] == "pocketsphinx"
    assert spec.options["tts"] == {"voice": "de", "speed": 1.5}
    assert spec.origins["tts"] == str(mine)
    assert spec.origins["stt"] == "models.toml"
    assert spec.origins["options.tts.voice"] == str(user_config())
    assert spec.origins["options.tts.speed"] == str(mine)


def test_a_flag_comes_last(tmp_path: Path) -> None:
    mine = _config(tmp_path, "[pipelines.embedded.options.tts]\nspeed = 2\n")
    spec = read_catalogue(mine).pipeline("embedded").with_options("tts", {"speed": 0.5, "voice": None}, "flag")
    assert make_options("tts", spec.options["tts"], spec.origins) == SpeakOptions(speed=0.5)
    spec = spec.with_options("stt", {"language": "de"}, "file")
    assert make_options("stt", spec.options["stt"], spec.origins).language == "de"
    spec = spec.with_options("stt", {"language": "auto"}, "flag").with_options("stt", {"language": None}, "flag")
    assert make_options("stt", spec.options["stt"], spec.origins).language is None
    assert spec.origins["options.tts.speed"] == "flag"


@pytest.mark.parametrize(
    "text, words",
    [
        ("[model.x]\n", ['unknown key "model"', 'did you mean "models"?']),
        (MODEL + 'langages = ["de"]\n', ["[models.mine]", '"langages"', "languages"]),
        (MODEL + 'size_mb = "big"\n', ["[models.mine]", "size_mb must be float"]),
        (MODEL + 'gated = "yes"\n', ["[models.mine]", "gated must be bool"]),
        (MODEL + 'inputs = ["sound"]\n', ["[models.mine]", '"sound" is none of audio']),
        (MODEL.replace('"tts"', '"speak"'), ["role", '"speak" is none of']),
        ('[models.new]\nrole = "tts"\nengine = "espeak"\n', ["[models.new] source is missing"]),
        ("models = 3\n", ["[models] must hold tables"]),
        ('[pipelines.p]\nttts = "espeak"\n', ["[pipelines.p]", '"ttts"', '"tts"']),
        ("[pipelines.p]\ntts = 3\n", ["[pipelines.p] tts must be str"]),
        ("[pipelines.p.options.tts]\nspeeed = 2\n", ["tts option", '"speeed"', '"speed"']),
        ("[pipelines.p.options.tts]\nspeed = true\n", ["tts option speed must be float"]),
        ('[pipelines.p.options.stt]\nfast = "yes"\n', ["stt option fast must be bool"]),
        ("[pipelines.p.options.xyz]\nspeed = 2\n", ['unknown key "xyz"']),
        ("[pipelines.p\n", ["is not TOML"]),
    ],
)
def test_a_mistake_is_told_with_file_table_and_key(tmp_path: Path, text: str, words: list[str]) -> None:
    file = _config(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_catalogue(file)
    message = str(caught.value)
    assert message.startswith(str(file))
    assert "\n" not in message
    for word in words:
        assert word in message
    assert caught.value.exit_code == 2


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_catalogue(tmp_path / "none.toml")


def test_unknown_names_get_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match='did you mean "espeak"'):
        read_catalogue().model("espaek", "tts")
    with pytest.raises(ConfigError, match='did you mean "embedded"'):
        read_catalogue().pipeline("embeded")
    with pytest.raises(ConfigError, match="has the role tts, not stt"):
        read_catalogue().model("espeak", "stt")


def test_the_catalogue_explains_every_key_in_its_head() -> None:
    text = package_data("models.toml").read_text(encoding="utf-8")
    head = text[: text.index("\n[models.")]
    for key in (
        "role",
        "engine",
        "source",
        "license",
        "gated",
        "size_mb",
        "languages",
        "inputs",
        "outputs",
        "settings",
    ):
        assert key in head
