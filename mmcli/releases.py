"""Fetching the models that Coqui TTS published: zip archives, unpacked into the folder where Coqui TTS itself keeps them.

COQUI_ENDPOINT names a mirror. An archive grows beside its folder under a name that ends in .incomplete and is unpacked
aside; the folder appears when it is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from mmcli import cache, download, families, store
from mmcli.errors import ConfigError, MissingModel, MmcliError, OutputError
from mmcli.media.files import unwritable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ENDPOINT = "https://github.com/coqui-ai/TTS/releases/download"
_MAX_BYTES = 8 << 30
_MAX_FILES = 1000
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Archive:
    """A published model and where it is."""

    release: cache.Release
    url: str
    size: int
    """Bytes of the archive."""

    @property
    def partial(self) -> Path:
        folder = self.release.folder
        return folder.with_name(f"{folder.name}.zip{store.PARTIAL}")


def find(release: cache.Release) -> Archive:
    """Ask the server how large the archive is. ConfigError for a release of unknown tag, MissingModel where it is not."""
    import httpx2
    import huggingface_hub.constants
    import huggingface_hub.utils

    library: Any = huggingface_hub.utils

    url = _url(release)
    timeout = huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT
    with _translated(release), library.get_session().stream("GET", url, timeout=timeout) as response:
        library.hf_raise_for_status(response)
        length = response.headers.get("Content-Length", "")
        if not length.isdecimal() or not 0 < int(length) <= _MAX_BYTES:
            raise httpx2.RemoteProtocolError("it does not tell a size that a model has")
        return Archive(release, url, int(length))


def license_of(release: cache.Release) -> str:
    """What Coqui's own list says of its licence; empty where it says nothing, or is not here."""
    return str(_listed(release.name).get("license") or "")


def _url(release: cache.Release) -> str:
    endpoint = os.environ.get("COQUI_ENDPOINT", _ENDPOINT).rstrip("/")
    if release.tag:
        return f"{endpoint}/{release.tag}/{release.name.replace('/', '--')}.zip"
    listed = _listed(release.name).get("github_rls_url")
    if not isinstance(listed, str):
        raise ConfigError(
            f"coqui:{release.name} needs the name of its release",
            f"write coqui:{release.name}@v0.6.1_models or the like",
        )
    return listed.replace(_ENDPOINT, endpoint, 1)


def _listed(name: str) -> dict[str, Any]:
    """The entry of a model in the list that the package brings, read without importing it; empty where there is none."""
    spec = find_spec("TTS")
    if spec is None or not spec.submodule_search_locations:
        return {}
    try:
        entry = json.loads(Path(spec.submodule_search_locations[0], ".models.json").read_bytes())
        for part in name.split("/"):
            entry = entry[part]
        return dict(entry)
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def fetch(archive: Archive, advance: Callable[[int], None]) -> Path:
    """Fetch what is missing, unpack it and give the folder. `advance` is told the bytes of the archive as they come.

    OutputError for a disk that is full or read-only, MmcliError for an archive that is damaged, too large or no model,
    MissingModel where the server cannot be reached. What is here of the archive by then is kept for the next call.
    """
    release, partial = archive.release, archive.partial
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        here = partial.stat().st_size if partial.is_file() else 0
        free = shutil.disk_usage(partial.parent).free
        if 2 * archive.size - here > free:
            raise OutputError(
                f"{release.name}: needs {2 * archive.size / 1e6:.1f} MB to unpack, {partial.parent} has {free / 1e6:.1f} MB free",
                "make room or let TTS_HOME name a folder on another disk",
            )
        with _translated(release):
            download.grow(archive.url, partial, archive.size, advance)
        if release.sha256 is not None and store.digest(partial, release.sha256) != release.sha256:
            partial.unlink()
            raise _damaged(release, "its hash is wrong")
        return _unpack(release, partial)
    except OSError as error:
        raise unwritable(str(partial.parent), error) from error


def _unpack(release: cache.Release, partial: Path) -> Path:
    """The files of the archive, without its folders, in the folder of the release; the archive goes."""
    folder = release.folder
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        facts: dict[str, cache.FileFacts] = {}
        try:
            with zipfile.ZipFile(partial) as archive:
                for name, member in _members(release, archive).items():
                    with archive.open(member) as source, (aside / name).open("xb") as target:
                        facts[name] = _copy(release, source, target, sum(fact.size or 0 for fact in facts.values()))
        except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, RuntimeError, NotImplementedError) as error:
            partial.unlink()
            raise _damaged(release, str(error)) from error
        family = families.recognise_folder(aside)
        if family is None or families.lacking(family.engine, facts):
            raise MmcliError(
                f"{release.name}: the archive holds no model that is known ({', '.join(facts) or 'nothing'})"
            )
        if folder.is_dir():  # of an earlier try, by whichever program
            shutil.rmtree(folder)
        aside.chmod(0o755)
        aside.rename(folder)
        store.write_manifest(folder, release.name, facts)
        partial.unlink()
        return folder
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _members(release: cache.Release, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The files to unpack, by the last part of their names, so that none can lead anywhere else."""
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if member.is_dir() or path.name.startswith(".") or "__MACOSX" in path.parts:
            continue
        if not path.name or path.name in members or "\0" in path.name or len(members) == _MAX_FILES:
            raise _damaged(release, f"it holds {path.name!r} twice, or too many files")
        members[path.name] = member
    return members


def _copy(release: cache.Release, source: IO[bytes], target: IO[bytes], before: int) -> cache.FileFacts:
    state, size = hashlib.sha256(), 0
    while chunk := source.read(_CHUNK):
        size += len(chunk)
        if before + size > _MAX_BYTES:
            raise _damaged(release, "it unpacks to more than any model has")
        state.update(chunk)
        target.write(chunk)
    return cache.FileFacts(size, state.hexdigest())


def _damaged(release: cache.Release, why: str) -> MmcliError:
    return MmcliError(f"{release.name}: its archive is damaged ({why})", "the same command fetches it again")


@contextmanager
def _translated(release: cache.Release) -> Iterator[None]:
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        yield
    except OfflineModeIsEnabled as error:
        raise MissingModel(
            f"{release.name}: HF_HUB_OFFLINE is set, so it cannot be fetched", "unset HF_HUB_OFFLINE"
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        mend = "is its name right, and its release?" if status == 404 else "try again later"
        raise MissingModel(f"{release.name}: the server refused it (HTTP {status})", mend) from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise MissingModel(
            f"{release.name}: it cannot be fetched ({error or type(error).__name__})",
            "it needs a network once, then none",
        ) from error
