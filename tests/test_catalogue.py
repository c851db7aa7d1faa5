"""models.toml and the user's files: merging, origins, and a clear line for every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmcli.catalogue import make_options, package_data, read_catalogue, user_config
from mmcli.engines import ENGINES, spec_of
from mmcli.errors import ConfigError
from mmcli.families import FAMILIES
from mmcli.options import OPTIONS, SpeakOptions
from mmcli.stages import ROLES

MODEL = '[models.mine]\nrole = "tts"\nengine = "espeak"\nsource = "embedded:espeakng_loader"\n'


def _config(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "my.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_every_model_of_the_catalogue_names_an_engine_of_its_role_and_its_licence() -> None:
    for card in read_catalogue().models.values():
        assert spec_of(card).role == card.role
        assert card.license


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
    assert spec.origins["options.tts.speed"] == "flag"


@pytest.mark.parametrize(
    "text, words",
    [
        ("[model.x]\n", ['unknown key "model"', 'did you mean "models"?']),
        (MODEL + 'langages = ["de"]\n', ["[models.mine]", '"langages"', "languages"]),
        (MODEL + 'size_mb = "big"\n', ["[models.mine]", "size_mb must be float"]),
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
    for key in ("role", "engine", "source", "license", "size_mb", "languages", "inputs", "outputs", "settings"):
        assert key in head
