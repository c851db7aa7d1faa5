"""A Whisper folder of transformers turned into one of CTranslate2, once, and kept in the user's cache by its content."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
import tokenizers

from mmcli.engines.stt.whisper_loading import LANGUAGES, read_json
from mmcli.errors import EngineError, MissingPackage, OutputError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger(__name__)

_WEIGHTS = "model.safetensors", "model.safetensors.index.json"
_SMALL_FILES = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
)
# What a conversion makes may change with it.
_VERSION = b"1"


def converted(name: str, folder: Path) -> Path:
    """The folder itself where CTranslate2 can read it, else the one in the cache that it was converted to, now or before.

    MissingPackage where torch or transformers is absent, EngineError for a folder that is no Whisper model of theirs.
    """
    if (folder / "model.bin").is_file() or not any((folder / file).is_file() for file in _WEIGHTS):
        return folder
    kind = read_json(name, folder / "config.json").get("model_type")
    if kind != "whisper":
        raise EngineError(f'model "{name}": {folder} holds a model of the kind {kind!r}, not whisper')
    try:
        target = platformdirs.user_cache_path("mmcli") / "ctranslate2" / _digest(folder)
        if not target.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            _convert(name, folder, target)
    except OSError as error:
        raise OutputError(f'model "{name}" cannot be converted ({error})') from error
    return target


def _weights(folder: Path) -> Iterator[Path]:
    yield from sorted(file for file in folder.glob("model*.safetensors") if file.is_file())


def _digest(folder: Path) -> str:
    digest = hashlib.sha256(_VERSION)
    for file in (*(folder / small for small in _SMALL_FILES), *_weights(folder)):
        if file.is_file():
            with file.open("rb") as content:
                digest.update(file.name.encode() + b"\0" + hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()[:32]


def _convert(name: str, folder: Path, target: Path) -> None:
    for package in ("torch", "transformers"):
        _need(name, package)
    from ctranslate2.converters import TransformersConverter
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    _log.warning(f"{name}: is converted for CTranslate2, once, into {target}")
    aside = Path(tempfile.mkdtemp(prefix=".converting-", dir=target.parent))
    try:
        out = aside / "model"
        try:
            TransformersConverter(str(folder), low_cpu_mem_usage=True).convert(str(out))
            _add_tokenizer(folder, out)
            _repair_config(out)
        except (OSError, MemoryError):
            raise
        except Exception as error:
            raise EngineError(
                f'model "{name}": {folder} cannot be converted for CTranslate2 ({one_line(error)})', "fetch it anew"
            ) from error
        if (folder / "preprocessor_config.json").is_file():
            shutil.copyfile(folder / "preprocessor_config.json", out / "preprocessor_config.json")
        try:
            out.rename(target)
        except OSError:
            if not target.is_dir():  # another process was faster
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _need(name: str, package: str) -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise MissingPackage(
            f'model "{name}" is in the form of transformers and has to be converted once, which needs {package}',
            "pip install 'mmcli[vlm]', or take the model converted for CTranslate2",
        )


def _add_tokenizer(folder: Path, out: Path) -> None:
    """tokenizer.json, made from the older vocab.json and merges.txt where there is none."""
    if (folder / "tokenizer.json").is_file():
        shutil.copyfile(folder / "tokenizer.json", out / "tokenizer.json")
        return
    from transformers import AutoTokenizer

    made: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    made.backend_tokenizer.save(str(out / "tokenizer.json"))


def _repair_config(out: Path) -> None:
    """The ids of the languages, which get lost where generation_config.json does not hold them."""
    file = out / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    if config.get("lang_ids"):
        return
    tokenizer = tokenizers.Tokenizer.from_file(str(out / "tokenizer.json"))
    ids = [tokenizer.token_to_id(f"<|{code}|>") for code in LANGUAGES]
    config["lang_ids"] = sorted(token for token in ids if token is not None)
    aside = out / f".config-{os.getpid()}"
    aside.write_text(json.dumps(config, indent=2), encoding="utf-8")
    aside.replace(file)
