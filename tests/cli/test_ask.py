"""mmcli ask and run as a user types them: what is attached, how it is answered, what goes where."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import PIL.Image
import pytest

from mmcli.catalogue import package_data

SAMPLES = package_data("samples")
Run = Callable[..., Any]

# A fake that is a language model with eyes, and one without.
MODELS = """
[models.lm]
role = "backbone"
engine = "fake-backbone"
source = "embedded:mmcli"
inputs = ["text", "image"]
outputs = ["text"]

[models.texter]
role = "backbone"
engine = "fake-backbone"
source = "embedded:mmcli"
inputs = ["text"]
outputs = ["text"]

[pipelines.lm]
vad = "fake-vad"
stt = "fake-stt"
backbone = "lm"
"""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three pictures in a folder, told apart by their colour, and the models of these tests as the user's own."""
    (tmp_path / "scans").mkdir()
    for number, colour in ((1, "red"), (2, "lime"), (10, "blue")):
        PIL.Image.new("RGB", (10 * number, 8), colour).save(tmp_path / "scans" / f"{number}.png")
    config = Path(os.environ["XDG_CONFIG_HOME"]) / "mmcli"
    config.mkdir(parents=True, exist_ok=True)
    (config / "config.toml").write_text(MODELS)
    return tmp_path / "scans"


RED, GREEN, BLUE = (
    f"a picture of {size} by 8 pixels, red {r} green {g} blue {b}"
    for size, r, g, b in ((10, 255, 0, 0), (20, 0, 255, 0), (100, 0, 0, 255))
)


@pytest.mark.parametrize(
    "given", [["-a", "scans"], ["-a", "scans/*.png"], ["-a", "scans/1.png", "scans/2.png", "scans/10.png"]]
)
def test_folders_patterns_and_what_the_shell_makes_of_them_are_attached(
    mmcli: Run, pictures: Path, given: list[str]
) -> None:
    ended = mmcli("ask", "What is it?", *given, "-p", "lm")
    assert ended.out == f'You gave me {RED}, {GREEN}, {BLUE}, the text "What is it?".\n'
    assert (ended.code, ended.err) == (0, "")


def test_pictures_stand_where_the_question_names_them(mmcli: Run, pictures: Path) -> None:
    ended = mmcli("ask", "Is {3} in {1}?", "-a", "scans", "-p", "lm")
    assert ended.out == f'You gave me {GREEN}, the text "Is", {BLUE}, the text "in", {RED}, the text "?".\n'


@pytest.mark.parametrize(
    "args, code, words",
    [
        (["{4}?", "-a", "scans"], 2, "names attachment {4}, and there are 3 attachments; {{4}} is taken literally"),
        (["one", "two", "-a", "scans"], 2, "put the question in quotes"),
        (["How much?", "scans/1.png"], 2, "'scans/1.png' is a file beside the question; put -a before it"),
        (["?", "-a", "*.gif"], 1, "*.gif: no file matches this pattern"),
        (["?", "-a", "scans/3.png"], 1, 'scans/3.png: no such file; did you mean "'),
        (["?", "-a", "http://127.0.0.1:9/a.png"], 1, "a private network; --allow-private-addresses lets it be asked"),
        (["?", "-a", "http://127.0.0.1:9/a.png", "--allow-private-addresses"], 1, "the server cannot be reached"),
        (["?", "-a", "scans", "--pages", "1"], 2, "--pages is for documents, and none is attached"),
        (["?", "-a", "scans", "--fps", "1"], 2, "--fps is for videos, and none is attached"),
        (["?", "-a", "scans", "--frames", "2", "--fps", "1"], 2, "--frames and --fps do not go together"),
        (["?", "-a", "scans", "-m", "texter"], 1, 'scans/1.png: model "texter" takes no pictures; take one that does'),
        (["?", "-a", "scans", "--temperature", "0.5"], 2, "the fake backbone has no use for --temperature"),
        (["?", "--temperature", "-1"], 2, "--temperature"),
        (["?", "--detail", "fine"], 2, "--detail is low, high or a number of pixels, not fine"),
        (["?", "--quantize", "int2"], 2, "--quantize is int8 or int4, not int2"),
        (["?", "--schema", "age integer"], 2, '"integer" is no type; did you mean "int"?'),
        (["?", "--schema", "a", "--schema-multi", "a"], 2, "do not go together"),
        (["?", "-a", "scans", "--example", "scans/1.png=red"], 2, "exactly one attachment"),
        (["?", "-a", "scans/1.png", "--example", "red"], 2, "is given as FILE=ANSWER"),
        (
            ["?", "-a", "scans/1.png", "-m", "reader", "-s", "Be short."],
            2,
            "no language model and has no use for --system",
        ),
        (["?", "-a", "scans/1.png", "-m", "reader", "--seed", "1"], 2, "the reader has no use for --seed"),
        (["?", "--each"], 2, "--each asks about attachments, and none is given"),
    ],
)
def test_what_cannot_be_is_one_line(mmcli: Run, pictures: Path, args: list[str], code: int, words: str) -> None:
    ended = mmcli("ask", *args, "-p", "lm")
    assert ended.code == code, ended.err
    assert ended.out == ""
    assert len(ended.notes) == 1
    assert words in ended.err


def test_a_system_message_and_examples_reach_the_model(mmcli: Run, pictures: Path) -> None:
    def tokens(*more: str) -> int:
        done = mmcli("ask", "What colour?", "-a", "scans/1.png", "-p", "lm", "--json", *more)
        assert done.code == 0, done.err
        return int(json.loads(done.out)["provenance"]["usage"]["prompt"])

    alone = tokens()
    assert tokens("-s", "Answer in one word.") == alone + 4
    # Each example has the question again and its answer.
    assert tokens("--example", "scans/2.png=bright green", "--example", "scans/10.png=blue") == alone + 2 * 2 + 3


def test_usage_goes_to_standard_error(mmcli: Run, pictures: Path) -> None:
    ended = mmcli("ask", "What is it?", "-p", "lm", "-u", "--no-stream")
    assert ended.out == 'You gave me the text "What is it?".\n'
    (line,) = ended.notes
    assert line.startswith("mmcli: usage: 3 tokens in, 8 tokens out, loaded in ")
    assert "cut off" in mmcli("ask", "What is it?", "-p", "lm", "-u", "--max-tokens", "2").err


def test_a_video_is_shown_and_heard(mmcli: Run, pictures: Path, data: Path) -> None:
    ended = mmcli("ask", "What is it?", "-a", data / "v02.mov", "-p", "lm", "--frames", "2")
    assert ended.out.count("a picture of 320 by 568 pixels") == 2
    assert '"v02.mov, a video, 0.1 seconds long:"' in ended.out


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """A film of 3 s: a receipt, and a voice that asks about it."""
    path = tmp_path / "talk.mp4"
    with av.open(str(path), "w") as out, av.open(str(SAMPLES / "question-receipt.flac")) as voice:
        video: Any = out.add_stream("mpeg4", rate=2)
        video.width, video.height, video.pix_fmt, video.bit_rate = 640, 800, "yuv420p", 4_000_000
        audio: Any = out.add_stream("aac", rate=16000, layout="mono")
        picture = PIL.Image.open(SAMPLES / "receipt.png").convert("RGB").resize((640, 800))
        for number in range(6):
            frame = av.VideoFrame.from_image(picture)
            frame.pts, frame.time_base = number, Fraction(1, 2)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        mono = av.AudioResampler(format="fltp", layout="mono", rate=16000)
        for sound in voice.decode(audio=0):
            for piece in mono.resample(sound):
                piece.pts = None
                out.mux(audio.encode(piece))
        out.mux(audio.encode(None))
    return path


def test_what_is_said_in_a_video_is_told_from_a_file_and_from_a_pipe(mmcli: Run, pictures: Path, talk: Path) -> None:
    for name, stdin in ((talk, b""), ("-", talk.read_bytes())):
        ended = mmcli("ask", "What is it?", "-a", name, "-p", "lm", stdin=stdin)
        assert ended.code == 0, ended.err
        assert "a picture of 640 by 800 pixels" in ended.out
        assert "someone says: window 1 of " in ended.out


def test_the_reader_reads_a_video(mmcli: Run, pictures: Path, talk: Path) -> None:
    ended = mmcli("ask", "How much is the total?", "-a", talk, "-m", "reader", "-p", "lm", "--frames", "1")
    assert ended.out.startswith("21.23 GBP.")


def test_options_of_attachments_may_stand_in_a_pipeline(mmcli: Run, pictures: Path, tmp_path: Path) -> None:
    text = '[pipelines.p]\nbackbone = "lm"\n[pipelines.p.options.attachments]\npages = "2,image"\n'
    (tmp_path / "p.toml").write_text(text)
    report = SAMPLES / "report.pdf"
    ended = mmcli("run", "p.toml", "-t", "What is it?", "-a", report)
    assert '"report.pdf, page 2:", a picture of 1240 by 1754 pixels' in ended.out
    assert "page 1" not in ended.out
    assert "page 1:" in mmcli("run", "p.toml", "-t", "What is it?", "-a", report, "--pages", "1").out
    (tmp_path / "p.toml").write_text(text.replace("pages", "page"))
    ended = mmcli("run", "p.toml", "-t", "What is it?", "-a", report)
    assert (ended.code, len(ended.notes)) == (2, 1)
    assert 'did you mean "pages"?' in ended.err


# ---------------------------------------------------------------- each


def _records(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_each_attachment_has_its_record_in_order(mmcli: Run, pictures: Path, speech: Path) -> None:
    (pictures / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    shutil.copy(speech, pictures / "talk.wav")
    ended = mmcli(
        "ask", "What is it?", "-a", "scans", "-a", "-", "--each", "-p", "lm", stdin=(pictures / "1.png").read_bytes()
    )
    assert ended.code == 3
    records = _records(ended.out)
    assert [record["source"] for record in records] == [
        *("scans/1.png", "scans/2.png", "scans/3.png", "scans/10.png", "scans/talk.wav", "-")
    ]
    assert [list(record) for record in records[:3]] == [
        ["source", "answer", "seconds", "usage"],
        ["source", "answer", "seconds", "usage"],
        ["source", "answer", "seconds", "error"],
    ]
    assert records[0]["answer"] == records[-1]["answer"] == f'You gave me {RED}, the text "What is it?".'
    assert records[2]["answer"] is None
    assert records[2]["error"].startswith("scans/3.png: ")
    assert "window 1 of" in records[4]["answer"]
    assert records[0]["usage"] == {"prompt": 3, "answer": 21, "cached": 0, "finish": "stop"}
    assert [line for line in ended.notes if line.startswith("mmcli: error: scans/3.png: ")]
    assert ended.notes[-1] == "mmcli: 1 of 6 failed"


def test_each_is_stopped_by_what_is_wrong_for_all(mmcli: Run, pictures: Path) -> None:
    ended = mmcli("ask", "What is {2}?", "-a", "scans", "--each", "-p", "lm")
    assert (ended.code, ended.out, len(ended.notes)) == (2, "", 1)
    ended = mmcli("ask", "What?", "-a", "scans", "--each", "-p", "lm", "--seed", "3")
    assert (ended.code, ended.out, len(ended.notes)) == (2, "", 1)


def test_each_carries_provenance_if_asked(mmcli: Run, pictures: Path) -> None:
    ended = mmcli("ask", "What is it?", "-a", "scans/*.png", "--each", "--json", "-p", "lm")
    assert [record["provenance"]["models"]["backbone"]["name"] for record in _records(ended.out)] == ["lm"] * 3


def test_one_bad_file_alone_is_an_error(mmcli: Run, pictures: Path) -> None:
    ended = mmcli("ask", "What is it?", "-a", "scans/none.png", "--each", "-p", "lm")
    assert ended.code == 1
    assert _records(ended.out)[0]["error"].startswith("scans/none.png: no such file")
