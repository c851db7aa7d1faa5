"""Where the caches of the Hugging Face Hub and of Coqui TTS keep a model on this machine.

Its layout is public and shared with every other tool: models--ORG--NAME/ holds refs/BRANCH (a file with the commit),
snapshots/COMMIT/FILE (links) and blobs/HASH (the content; a git SHA-1, or a SHA-256 for large files). Here it is only
looked at, with pathlib, so that listing models costs no import of the hub's library.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from mmcli.errors import ConfigError

SCHEME = "hf:"
COQUI = "coqui:"
FETCHED = (SCHEME, COQUI)
"""Schemes of the models that `mmcli models pull` fetches."""
DEFAULT_REVISION = "main"
# Both become names of folders, so nothing that leads out of the cache may pass.
_REPO = re.compile(r"[A-Za-z0-9_][\w.-]{0,95}(/[A-Za-z0-9_][\w.-]{0,95})?", re.ASCII)
_REVISION = re.compile(r"\w[\w./-]{0,250}", re.ASCII)
_RELEASE = re.compile(
    r"(?P<name>(tts|vocoder)_models(/\w[\w.-]*){3})(@(?P<tag>\w[\w.-]*))?(#sha256=(?P<hash>[0-9a-f]{64}))?", re.ASCII
)
_COMMIT = re.compile(r"[0-9a-f]{40}")
MANIFEST_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a file should be: bytes (None where nobody wrote it down), and a git SHA-1 (40 digits) or SHA-256 (64)."""

    size: int | None
    hash: str


def hub_cache() -> Path:
    """The folder of all cached models: HF_HUB_CACHE, or hub/ in HF_HOME, or the hub's own default."""
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if not named:
        home = os.environ.get("HF_HOME")
        if not home:
            home = os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
        named = os.path.join(home, "hub")
    return Path(os.path.expandvars(os.path.expanduser(named)))


def repo_folder(repo: str) -> Path:
    """What the cache holds of a repository, whether or not it is there."""
    return hub_cache() / f"models--{repo.replace('/', '--')}"


def is_commit(revision: str) -> bool:
    return _COMMIT.fullmatch(revision) is not None


def snapshot(repo: str, revision: str) -> Path | None:
    """The folder of a revision (a commit, branch or tag), None where it was never fetched. It may be incomplete."""
    folder = repo_folder(repo)
    commit = revision
    if not is_commit(revision):
        try:
            commit = (folder / "refs" / revision).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return None
        if not is_commit(commit):
            return None
    place = folder / "snapshots" / commit
    return place if place.is_dir() else None


def manifest_path(folder: Path) -> Path:
    """Where the manifest of a snapshot is, if it has one."""
    return folder.parent.parent / "mmcli" / f"{folder.name}.json"


def read_manifest(folder: Path) -> dict[str, FileFacts]:
    """What was to be pulled into a snapshot, by name; empty where another tool fetched it."""
    try:
        content = json.loads(manifest_path(folder).read_bytes())
        if content["schema"] != MANIFEST_SCHEMA:
            return {}
        return {str(name): FileFacts(int(f["size"]), str(f["hash"])) for name, f in content["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def parse(source: str, revision: str = "") -> tuple[str, str]:
    """Repository and revision of `hf:ORG/NAME` or `hf:ORG/NAME@REVISION`; `revision` where it names none, else main.

    ConfigError for what is no name of a repository or revision.
    """
    repo, _, own = source.removeprefix(SCHEME).partition("@")
    wanted = own or revision or DEFAULT_REVISION
    if not _REPO.fullmatch(repo) or ".." in repo or "--" in repo:
        raise ConfigError(f'"{source}" names no model of the hub', "write hf:ORG/NAME, as in its address")
    if not _REVISION.fullmatch(wanted) or ".." in wanted:
        raise ConfigError(f'"{wanted}" is no revision of {repo}', "name a branch, a tag or a commit")
    return repo, wanted


@dataclass(frozen=True, slots=True)
class Release:
    """A model that the project Coqui TTS published: its name, the release it is in ("" for unknown), its archive's hash."""

    name: str
    tag: str
    sha256: str | None

    @property
    def folder(self) -> Path:
        """Where Coqui TTS itself keeps and looks for it: TTS_HOME, XDG_DATA_HOME or ~/.local/share."""
        home = os.environ.get("TTS_HOME") or os.environ.get("XDG_DATA_HOME") or "~/.local/share"
        return Path(os.path.expanduser(home)) / "tts" / self.name.replace("/", "--")


def parse_release(source: str, revision: str = "") -> Release:
    """`coqui:KIND/LANGUAGE/DATASET/MODEL`, with `@TAG` where `revision` names no release, and perhaps `#sha256=HASH`.

    ConfigError for what is no name of a release.
    """
    found = _RELEASE.fullmatch(source.removeprefix(COQUI))
    if found is None or ".." in source:
        raise ConfigError(f'"{source}" names no model of Coqui TTS', "write coqui:tts_models/en/ljspeech/vits")
    return Release(found["name"], found["tag"] or revision, found["hash"])
