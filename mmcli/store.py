"""Where the weights of a model lie on this machine, whether they are whole, and how they are removed. No network.

What `mmcli models pull` fetched has a manifest: sizes and hashes by file, in mmcli/COMMIT.json beside the snapshots of
the repository. What another tool fetched has none, and is whole when it holds what its engine needs.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mmcli import cache, families
from mmcli.errors import ConfigError, MissingModel, MissingPackage, OutputError, UsageError
from mmcli.media.files import atomic_path, unwritable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mmcli.catalogue import ModelCard

SCHEMES = ("embedded", "path", "hf", "coqui")
SERVED = ("http", "https")
"""Schemes of a source that is the address of a server: nothing of it lies on this machine."""
_CHUNK = 1 << 20
PARTIAL = ".incomplete"
"""How the name of a blob ends that is not whole yet; the hub's library has the same habit."""


def is_served(card: ModelCard) -> bool:
    """Whether a model runs on a server, so that there is nothing of it to locate, pull or remove."""
    return card.source.partition(":")[0] in SERVED


def locate(card: ModelCard) -> Path:
    """The folder with a model's weights: that of its package, the user's own, or a whole snapshot in the hub's cache.

    ConfigError for a source that cannot be understood or that is a server, MissingPackage or MissingModel where the
    model is not (wholly) here.
    """
    scheme, _, place = card.source.partition(":")
    if is_served(card):
        raise ConfigError(
            f'{card.origin}: [models.{card.name}] source "{card.source}" is a server, and engine {card.engine} takes weights',
            "engines openai, openai-stt and openai-tts ask servers",
        )
    if scheme == "embedded":
        spec = find_spec(place)
        if spec is None or not spec.submodule_search_locations:
            raise MissingPackage(f'model "{card.name}" comes with the Python package {place}', f"pip install {place}")
        return Path(spec.submodule_search_locations[0])
    if scheme == "path":
        folder = Path(place).expanduser()
        if not folder.is_dir():
            raise MissingModel(
                f'model "{card.name}": there is no folder {folder}', f"correct `source` in {card.origin}"
            )
        gaps = families.lacking(card.engine, families.file_names(folder))
        if gaps:
            raise _lacking(card, folder, gaps)
        return folder
    if scheme in ("hf", "coqui"):
        return _locate_snapshot(card)
    raise ConfigError(
        f'{card.origin}: [models.{card.name}] source "{card.source}" is none of {", ".join(f"{s}:" for s in SCHEMES)}'
    )


def _lacking(card: ModelCard, folder: Path, gaps: tuple[str, ...]) -> MissingModel:
    pickle = next((name for name in families.file_names(folder) if name in families.PICKLED), None)
    if pickle and any(gap.endswith(".safetensors") for gap in gaps):
        return MissingModel(
            f'model "{card.name}": its weights are pickles ({pickle}), which may run any program, and none are safetensors',
            "convert them, or take another revision",
        )
    return MissingModel(f'model "{card.name}": {folder} has no {" and no ".join(gaps)}', "it is needed there")


def snapshot(card: ModelCard) -> Path | None:
    """The folder of a model that was fetched, whole or not; None where there is none, or it is not for fetching."""
    if card.source.startswith(cache.COQUI):
        release = cache.parse_release(card.source, card.revision)
        return release.folder if release.folder.is_dir() else None
    if not card.source.startswith(cache.SCHEME):
        return None
    return cache.snapshot(*cache.parse(card.source, card.revision))


def _locate_snapshot(card: ModelCard) -> Path:
    folder = snapshot(card)
    mend = f"mmcli models pull {card.name}"
    if folder is None:
        raise MissingModel(f'model "{card.name}" is not on this machine', mend)
    manifest = cache.read_manifest(folder)
    names = families.file_names(folder)
    gaps = [name for name, facts in manifest.items() if size(folder / name) != facts.size]
    gaps += [need for need in families.lacking(card.engine, names) if need not in gaps]
    if not manifest:
        gaps += _lost_shards(folder)
    if gaps or not names:
        raise MissingModel(f'model "{card.name}" is not whole: {", ".join(gaps[:3]) or "all of it"} is missing', mend)
    return folder


def _lost_shards(folder: Path) -> list[str]:
    """The files that an index of sharded weights names and that are not there."""
    lost: set[str] = set()
    for index in folder.glob("*.index.json"):
        try:
            weights = json.loads(index.read_bytes())["weight_map"].values()
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        lost |= {str(name) for name in weights if not (folder / str(name)).is_file()}
    return sorted(lost)


def size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


# ---------------------------------------------------------------- what was fetched


def write_manifest(folder: Path, repo: str, files: Mapping[str, cache.FileFacts]) -> None:
    """Write down what a snapshot holds. Raises OutputError."""
    content = {
        "schema": cache.MANIFEST_SCHEMA,
        "repo": repo,
        "commit": folder.name,
        "files": {name: {"size": facts.size, "hash": facts.hash} for name, facts in sorted(files.items())},
    }
    with atomic_path(cache.manifest_path(folder)) as aside:
        aside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def expected(folder: Path) -> dict[str, cache.FileFacts]:
    """What each file of a snapshot should be: by its manifest, else by its blob, which is named by its own hash."""
    manifest = cache.read_manifest(folder)
    if manifest:
        return manifest
    facts = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            blob = Path(os.readlink(path)).name
            if len(blob) in (40, 64) and not set(blob) - set("0123456789abcdef"):
                facts[path.relative_to(folder).as_posix()] = cache.FileFacts(None, blob)
    return facts


def digest(path: Path, like: str, advance: Callable[[int], None] = lambda count: None) -> str:
    """The hash of a file, of the kind of the hash `like`. `advance` is told the bytes as they are read."""
    if len(like) == 40:
        # Git's own hash of a blob; it protects against broken lines and disks, not against an attacker.
        state = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    else:
        state = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
            advance(len(chunk))
    return state.hexdigest()


def check(folder: Path, advance: Callable[[int], None] = lambda count: None) -> list[str]:
    """The files of a snapshot whose size or hash is wrong, or that are gone. `advance` is told the bytes read."""
    broken = []
    for name, facts in expected(folder).items():
        path = folder / name
        try:
            whole = facts.size in (None, path.stat().st_size) and digest(path, facts.hash, advance) == facts.hash
        except OSError:
            whole = False
        if not whole:
            broken.append(name)
    return broken


def discard(folder: Path, name: str) -> None:
    """Take a file out of a snapshot, with its content, so that it is fetched again."""
    path = folder / name
    if path.is_symlink():
        blob = Path(os.path.normpath(path.parent / os.readlink(path)))
        if blob.parent == folder.parent.parent / "blobs":
            blob.unlink(missing_ok=True)
    path.unlink(missing_ok=True)


# ---------------------------------------------------------------- removing


def check_removable(card: ModelCard) -> None:
    """UsageError for what is not in the hub's cache, MissingModel where there is nothing to remove."""
    scheme, _, place = card.source.partition(":")
    if scheme not in ("hf", "coqui"):
        where = (
            f"comes with the Python package {place}" if scheme == "embedded" else f"lies in {place}, a folder of yours"
        )
        if is_served(card):
            where = "runs on a server"
        raise UsageError(f'model "{card.name}" {where}, and is not removed')
    if snapshot(card) is None:
        raise MissingModel(f'model "{card.name}" is not on this machine')


def remove(card: ModelCard) -> int:
    """Delete the snapshot of a model and what only it uses; half-fetched files go too. Gives the bytes freed.

    What check_removable raises, and OutputError where the cache does not let go.
    """
    check_removable(card)
    folder = snapshot(card)
    assert folder is not None
    if card.source.startswith(cache.COQUI):
        return _remove_folder(folder)
    return _remove_partials(folder.parent.parent / "blobs") + _remove_snapshot(folder)


def _remove_folder(folder: Path) -> int:
    freed = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    try:
        shutil.rmtree(folder)
        cache.manifest_path(folder).unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(str(folder), error) from error
    return freed


def _remove_partials(blobs: Path) -> int:
    freed = 0
    for partial in blobs.glob(f"*{PARTIAL}"):
        freed += size(partial) or 0
        partial.unlink(missing_ok=True)
    return freed


def _remove_snapshot(folder: Path) -> int:
    from huggingface_hub import scan_cache_dir

    # The library calls a repository with one link to nothing corrupt and leaves all of it alone.
    for path in folder.parent.rglob("*"):
        if path.is_symlink() and not path.exists():
            path.unlink()
    cache.manifest_path(folder).unlink(missing_ok=True)
    plan = scan_cache_dir(folder.parent.parent.parent).delete_revisions(folder.name)
    plan.execute()
    if folder.is_dir():
        raise OutputError(
            f"{folder}: cannot be removed, the cache around it is not as it should be", "delete it by hand"
        )
    return plan.expected_freed_size
