"""Trains the micro Whisper from nothing and writes it as a CTranslate2 folder that faster-whisper reads.

    python tests/micro/train_whisper.py OUT

Needs torch, transformers, ctranslate2, faster-whisper, openai-whisper (for its vocabulary; --no-deps will do) and what
mmcli's espeak engine needs; no network. A checkpoint beside OUT after each stage lets a stopped run
go on; remove it to begin anew.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

TAKES = 120  # of every sentence, each with another voice, pace and pitch


def main(out: Path) -> None:
    import numpy as np
    import torch

    from tests.micro.clips import SENTENCES, engine, say
    from tests.micro.examples import Maker, Vocabulary
    from tests.micro.exporting import export
    from tests.micro.training import STAGES, new_model, set_window, train
    from tests.micro.vocabulary import build_tokenizer

    torch.manual_seed(0)
    out.parent.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer()
    vocabulary = Vocabulary.of(tokenizer)
    model = new_model(len(vocabulary.tokens))
    rng = np.random.default_rng(0)
    speaker = engine()
    clips = {
        language: [say(speaker, text, language, rng) for text in texts for _ in range(TAKES)]
        for language, texts in SENTENCES.items()
    }
    checkpoint = out.with_name(out.name + ".checkpoint.pt")
    done = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        done = saved["stages"]
        set_window(model, STAGES[done - 1].window_s)
        model.load_state_dict(saved["model"])
    for number, stage in enumerate(STAGES[done:], start=done + 1):
        train(model, Maker(clips, vocabulary, stage.window_s, np.random.default_rng(number)), stage)
        torch.save({"model": model.state_dict(), "stages": number}, checkpoint)
    export(model, vocabulary.tokens, tokenizer, out)


if __name__ == "__main__":
    # One thread each: on a busy machine, threads that wait for each other cost more than they give.
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["HF_HUB_OFFLINE"] = "1"
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main(Path(sys.argv[1]))
