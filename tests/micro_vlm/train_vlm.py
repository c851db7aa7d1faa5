"""Trains the micro VLM from nothing and writes it as a folder that transformers reads.

    python tests/micro_vlm/train_vlm.py OUT

Needs torch, torchvision, transformers and Pillow; no network.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

SEED = 0


def main(out: Path) -> None:
    import torch

    from tests.micro_vlm.training import Maker, check_template, new_model, new_processor, train

    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    processor = new_processor()
    check_template(processor)
    model = new_model(processor.tokenizer)
    print(f"{sum(weight.numel() for weight in model.parameters())} weights", file=sys.stderr)
    train(model, Maker(processor, SEED))
    model.eval()
    # as many tokens as the longest answer has, and some
    model.generation_config.max_new_tokens = 40
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        model.to(torch.bfloat16).save_pretrained(folder)
        processor.save_pretrained(folder)
        shutil.rmtree(out, ignore_errors=True)
        # with the usual permissions, not those of the private files that they were made from
        shutil.copytree(folder, out, copy_function=shutil.copyfile)
        out.chmod(0o755)


if __name__ == "__main__":
    # One thread: on a busy machine, threads that wait for each other cost more than they give.
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["HF_HUB_OFFLINE"] = "1"
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main(Path(sys.argv[1]))
