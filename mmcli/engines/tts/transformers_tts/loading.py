"""A folder with a voice of transformers into memory.

Weights are read from safetensors only, code that lies beside them is never run, and nothing reaches for the network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import transformers

from mmcli import store
from mmcli.engines import torch_runtime
from mmcli.errors import ConfigError, MissingModel
from mmcli.families import CONFIG

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from mmcli.catalogue import ModelCard

OFFLINE = {"local_files_only": True, "trust_remote_code": False}


@dataclass(frozen=True, slots=True)
class Source:
    """A folder to load from, and where and in which numbers to compute."""

    card: ModelCard
    folder: Path
    device: torch.device
    dtype: torch.dtype | str

    def model(self, name: str, **given: Any) -> Any:
        """The model of the folder as that class of transformers. EngineError where tensors are missing."""
        torch_runtime.check_weights(self.card, self.folder)
        model, told = getattr(transformers, name).from_pretrained(
            self.folder, dtype=self.dtype, use_safetensors=True, output_loading_info=True, **OFFLINE, **given
        )
        torch_runtime.check_whole(self.card, self.folder, told)
        return model.eval().to(self.device)

    def part(self, name: str) -> Any:
        """A tokenizer or processor of the folder as that class of transformers."""
        return getattr(transformers, name).from_pretrained(self.folder, **OFFLINE)

    def companion(self, name: str, default: str) -> Source:
        """Another model that this one needs: a folder of that name inside its own, that of its settings, or a default.

        ConfigError for a setting that is no text, MissingModel where it is not here.
        """
        named = self.card.settings.get(name)
        if named is not None and not isinstance(named, str):
            raise ConfigError(f"{self.card.origin}: [models.{self.card.name}] setting {name} cannot be {named!r}")
        if named is None and (self.folder / name / CONFIG).is_file():
            return replace(self, folder=self.folder / name)
        place = named or default
        place = place if place.startswith(("hf:", "path:")) else f"path:{place}"
        card = replace(self.card, name=f"{self.card.name}: {name}", source=place, revision="")
        try:
            return replace(self, card=card, folder=store.locate(card))
        except MissingModel as error:
            mend = f"mmcli models pull {place}" if place.startswith("hf:") else f"correct `settings.{name}`"
            raise MissingModel(f'model "{self.card.name}" needs its {name} {place}, which is not here', mend) from error


def language(card: ModelCard) -> str:
    """What a voice speaks as far as the model's entry tells; "*" where it does not."""
    return card.languages[0] if len(card.languages) == 1 else "*"
