"""Fetching models from the Hugging Face Hub, or from what HF_ENDPOINT names, into its ordinary cache.

The hub's library knows addresses, tokens and errors. It does not go on with a file that an earlier process left half
(it deletes it), and it checks no hashes; so the bytes are fetched here: each file grows in the cache under a name
that ends in .incomplete, is hashed when it is whole, and only then gets its place.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from mmcli import __version__, cache, download, families, store
from mmcli.errors import MissingModel, MmcliError, OutputError, UsageError
from mmcli.media.files import atomic_path, unwritable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_SHARD = re.compile(r"[^/]*-\d+-of-(\d+)\.safetensors")
_INDEX = ".safetensors.index.json"
_MAX_INDEX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Repository:
    """A model on the hub at one commit: its files with sizes in bytes and hashes."""

    repo: str
    revision: str
    commit: str
    files: dict[str, cache.FileFacts]
    license: str

    @property
    def page(self) -> str:
        return f"https://huggingface.co/{self.repo}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a pull would do: `files` are those of the model, `todo` those that are not here."""

    repository: Repository
    files: dict[str, cache.FileFacts]
    todo: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return cache.repo_folder(self.repository.repo) / "snapshots" / self.repository.commit

    @property
    def bytes(self) -> int:
        """Bytes of all that is to be fetched, those that an earlier try left included."""
        return sum(self.files[name].size or 0 for name in self.todo)


class Hub:
    """The hub, asked with one token: the given one, else HF_TOKEN or that of `hf auth login`."""

    def __init__(self, token: str | None = None) -> None:
        import huggingface_hub.constants
        import huggingface_hub.utils

        self._library: Any = huggingface_hub.utils
        # It would pass on to the terminal what the server says in warning headers.
        self._library.logging.set_verbosity_error()
        self.endpoint: str = huggingface_hub.constants.ENDPOINT
        self.timeout_s: float = huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT
        if token is not None and not (token.isascii() and token.isprintable() and token):
            raise UsageError("--hf-token holds characters that no token has")
        self._token = token
        try:
            self._headers: dict[str, str] = self._library.build_hf_headers(
                token=token, library_name="mmcli", library_version=__version__
            )
        except (OSError, ValueError) as error:
            raise MmcliError(
                f"the token of the hub cannot be read ({error})", "is HF_HOME the folder it should be?"
            ) from error

    def describe(self, repo: str, revision: str) -> Repository:
        """One request for everything that is to be known of a model. Raises MissingModel or MmcliError."""
        from huggingface_hub import HfApi

        with _translated(repo, revision, self.endpoint), _understood(repo, self.endpoint):
            api = HfApi(endpoint=self.endpoint, token=self._token, library_name="mmcli", library_version=__version__)
            info = download.ask(
                lambda: api.model_info(repo, revision=revision, files_metadata=True, timeout=self.timeout_s)
            )
            files = {}
            for sibling in info.siblings or []:
                found = sibling.lfs.sha256 if sibling.lfs is not None else sibling.blob_id
                files[_safe(sibling.rfilename)] = cache.FileFacts(int(sibling.size), _hash(found))  # type: ignore[arg-type]
            if info.sha is None or not cache.is_commit(info.sha):
                raise ValueError("no commit")
            return Repository(repo, revision, info.sha, files, _license(info))

    def config(self, repository: Repository) -> dict[str, Any]:
        """The config.json of a model; empty where it has none."""
        return families.parse_config(self._read(repository, families.CONFIG, families.MAX_CONFIG_BYTES))

    def _read(self, repository: Repository, name: str, limit: int) -> bytes:
        """A small file; empty where there is none, or a larger one."""
        size = repository.files[name].size if name in repository.files else None
        if size is None or size > limit:
            return b""
        with _translated(repository.repo, repository.revision, self.endpoint):
            url, session = self._url(repository, name), self._library.get_session()
            return download.ask(lambda: self._content(session, url, limit))

    def _content(self, session: Any, url: str, limit: int) -> bytes:
        """What a server sends, nothing beyond the limit, whatever it said of the size."""
        content = b""
        with session.stream("GET", url, headers=self._headers, timeout=self.timeout_s) as response:
            self._library.hf_raise_for_status(response)
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > limit:
                    return b""
        return content

    def plan(self, repository: Repository, engine: str) -> Plan:
        """What is to be fetched of a model for an engine ("" where it is not known yet)."""
        names = self._own_shards(repository, families.wanted(engine, repository.files))
        gaps = families.lacking(engine, repository.files)
        if gaps or not names:
            raise MmcliError(
                f"{repository.repo}: has no {' and no '.join(gaps) or 'weights'}", f"{repository.page} shows its files"
            )
        files = {name: repository.files[name] for name in names}
        folder = cache.repo_folder(repository.repo) / "snapshots" / repository.commit
        todo = tuple(name for name, facts in files.items() if not _has_size(folder / name, facts.size))
        return Plan(repository, files, todo)

    def _own_shards(self, repository: Repository, names: list[str]) -> list[str]:
        """Without the shards that no index names, where those of a former upload still lie beside its own."""
        shards = {name: found[1] for name in names if (found := _SHARD.fullmatch(name))}
        if len(set(shards.values())) < 2:
            return names
        own: set[str] = set()
        for index in (name for name in names if name.endswith(_INDEX)):
            try:
                own |= set(json.loads(self._read(repository, index, _MAX_INDEX_BYTES))["weight_map"].values())
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                return names
        return [name for name in names if name not in shards or name in own] if own & shards.keys() else names

    def fetch(self, plan: Plan, advance: Callable[[int], None]) -> Path:
        """Fetch what is missing and give the folder. `advance` is told the bytes as they come (less where some go back).

        OutputError for a disk that is full or read-only, MmcliError for a file with a wrong hash, MissingModel where
        the hub cannot be reached. What is here by then is kept, and the next call goes on from it.
        """
        repository = plan.repository
        place = cache.repo_folder(repository.repo)
        _check_disk(place / "blobs", plan)
        with _writing(place), _translated(repository.repo, repository.revision, self.endpoint):
            # Written first, so that what an interrupted pull leaves is known to be incomplete, and can be removed.
            plan.folder.mkdir(parents=True, exist_ok=True)
            former = cache.read_manifest(plan.folder)
            store.write_manifest(plan.folder, repository.repo, {**former, **plan.files})
            if not cache.is_commit(repository.revision):
                with atomic_path(place / "refs" / repository.revision) as aside:
                    aside.write_text(repository.commit, encoding="ascii")
            for name in plan.todo:
                blob = place / "blobs" / plan.files[name].hash
                self._fetch_blob(repository, name, blob, advance)
                _link(blob, plan.folder / name)
        return plan.folder

    def _url(self, repository: Repository, name: str) -> str:
        from huggingface_hub import hf_hub_url

        return hf_hub_url(repository.repo, name, revision=repository.commit, endpoint=self.endpoint)

    def _fetch_blob(self, repository: Repository, name: str, blob: Path, advance: Callable[[int], None]) -> None:
        facts = repository.files[name]
        blob.parent.mkdir(parents=True, exist_ok=True)
        lock = cache.hub_cache() / ".locks" / blob.parent.parent.name / f"{blob.name}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with self._library.WeakFileLock(lock):
            if _has_size(blob, facts.size):  # another revision has it, or another process was faster
                advance(facts.size or 0)
                return
            partial = blob.with_name(f"{blob.name}{store.PARTIAL}")
            download.grow(self._url(repository, name), partial, facts.size or 0, advance, self._headers)
            if store.digest(partial, facts.hash) != facts.hash:
                partial.unlink()
                raise MmcliError(
                    f"{repository.repo}: {name} arrived damaged (its hash is wrong) and was deleted",
                    "the same command fetches it again",
                )
            partial.replace(blob)


# ---------------------------------------------------------------- what the hub says


def _safe(name: str) -> str:
    """A file's name, which becomes a path: none that leads out of its folder."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or "\\" in name or "\0" in name or ".." in parts:
        raise ValueError(f"file name {name!r}")
    return name


def _hash(text: str | None) -> str:
    if text is None or len(text) not in (40, 64) or set(text) - set("0123456789abcdef"):
        raise ValueError("a file without a hash")
    return text


def _license(info: Any) -> str:
    named = info.card_data.get("license") if info.card_data is not None else None
    if isinstance(named, str) and named:
        return named
    tags = (tag.removeprefix("license:") for tag in info.tags or [] if tag.startswith("license:"))
    return next(tags, "")


def _has_size(path: Path, size: int | None) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


# ---------------------------------------------------------------- the disk


def _check_disk(blobs: Path, plan: Plan) -> None:
    partials = [blobs / f"{plan.files[name].hash}{store.PARTIAL}" for name in plan.todo]
    needed = plan.bytes - sum(partial.stat().st_size for partial in partials if partial.is_file())
    there = next(folder for folder in (blobs, *blobs.parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise OutputError(
            f"{plan.repository.repo}: needs {needed / 1e6:.1f} MB, {there} has {free / 1e6:.1f} MB free",
            "make room or let HF_HOME name a folder on another disk",
        )


def _link(blob: Path, pointer: Path) -> None:
    pointer.parent.mkdir(parents=True, exist_ok=True)
    pointer.unlink(missing_ok=True)
    try:
        pointer.symlink_to(os.path.relpath(blob, pointer.parent))
    except OSError:  # a disk without links
        blob.replace(pointer)


@contextmanager
def _writing(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unwritable(str(place), error) from error


# ---------------------------------------------------------------- errors


@contextmanager
def _translated(repo: str, revision: str, endpoint: str) -> Iterator[None]:
    """The errors of the hub's library and of the network, as ours."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        yield
    except OfflineModeIsEnabled as error:
        raise MissingModel(f"{repo}: HF_HUB_OFFLINE is set, so it cannot be fetched", "unset HF_HUB_OFFLINE") from error
    except HfHubHTTPError as error:
        raise _refused(repo, revision, error) from error
    except httpx2.TimeoutException as error:
        raise MissingModel(f"{repo}: {endpoint} does not answer in time", "try again later") from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise MissingModel(
            f"{repo}: {endpoint} cannot be reached ({error})", "it needs a network once, then none"
        ) from error


@contextmanager
def _understood(repo: str, endpoint: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MmcliError(f"{repo}: {endpoint} does not answer as a model hub does ({error})") from error


def _refused(repo: str, revision: str, error: Any) -> MmcliError:
    from huggingface_hub.errors import GatedRepoError, RevisionNotFoundError

    page = f"https://huggingface.co/{repo}"
    status = error.response.status_code
    entry = "then set HF_TOKEN or give --hf-token"
    if isinstance(error, RevisionNotFoundError):
        return MissingModel(f'{repo}: there is no revision "{revision}"', f"{page} shows those there are")
    if isinstance(error, GatedRepoError) or status == 403:
        return MissingModel(f"{repo}: is given only to those who accept its licence", f"accept it at {page}, {entry}")
    if status == 401:
        return MissingModel(
            f"{repo}: is not to be had without a valid token (is the name right?)",
            f"accept its licence at {page} if it has one, {entry}",
        )
    if status == 404:
        return MissingModel(f"{repo}: is not on the hub, is the name right?")
    return MissingModel(f"{repo}: the hub refused it (HTTP {status})", "try again later")
