"""Where the weights of a model lie on this machine."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mmcli.errors import ConfigError, MissingModel, MissingPackage

if TYPE_CHECKING:
    from mmcli.catalogue import ModelCard

SCHEMES = ("embedded", "path")


def locate(card: ModelCard) -> Path:
    """The folder that holds a model's weights: that of its package, or the user's own, used in place.

    ConfigError for a source that cannot be understood, MissingPackage or MissingModel where it is not here.
    """
    scheme, _, place = card.source.partition(":")
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
        return folder
    raise ConfigError(
        f'{card.origin}: [models.{card.name}] source "{card.source}" is none of {", ".join(f"{s}:" for s in SCHEMES)}'
    )
