"""SRT and VTT files in."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmcli.errors import InputError
from mmcli.media.cue_files import SpokenCue, read_cues
from mmcli.media.subtitles import render
from mmcli.stages import Segment

SRT = "1\r\n00:00:01,000 --> 00:00:02,500\r\n<i>Hello</i>\r\nyou.\r\n\r\n2\r\n0:00:03,5 --> 00:00:04,000 X1:1\r\n{\\an8}A &lt; B\r\n\r\n3\r\n00:00:05,000 --> 00:00:06,000\r\n\r\n"
VTT = """WEBVTT - title

NOTE 00:00 --> 00:01
not this

STYLE
::cue { color: red }

intro
01:02.000 --> 01:03.000 align:start
<v.loud Ann Smith>Hi, <c.yellow>you</c> <00:01:02.500>there.

1:00:00.000 --> 1:00:01.000
Late.
"""


def read(tmp_path: Path, text: str | bytes) -> list[SpokenCue]:
    path = tmp_path / "a.srt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_cues(path)


def test_both_formats_are_read_without_their_marks(tmp_path: Path) -> None:
    assert read(tmp_path, SRT) == [SpokenCue(1, 1.0, 2.5, "Hello you."), SpokenCue(2, 3.5, 4.0, "A < B")]
    assert read(tmp_path, "\ufeff" + VTT) == [
        SpokenCue(1, 62.0, 63.0, "Hi, you there.", "Ann Smith"),
        SpokenCue(2, 3600.0, 3601.0, "Late."),
    ]
    assert read(tmp_path, SRT.encode("utf-16")) == read(tmp_path, SRT)


@pytest.mark.parametrize("format", ["srt", "vtt"])
def test_what_is_written_here_is_read_again(tmp_path: Path, format: str) -> None:
    segments = [Segment(0.5, 1.25, "One."), Segment(3700.0, 3701.5, "Two.")]
    text = "".join(render(format, segments, dict))
    assert [(cue.start, cue.end, cue.text) for cue in read(tmp_path, text)] == [
        (0.5, 1.25, "One."),
        (3700.0, 3701.5, "Two."),
    ]


def test_cues_come_in_order_of_time(tmp_path: Path) -> None:
    text = "00:05.000 --> 00:06.000\nB\n\n00:01.000 --> 00:02.000\nA\n"
    assert [cue.text for cue in read(tmp_path, text)] == ["A", "B"]


@pytest.mark.parametrize(
    "text, words",
    [
        ("just words", "holds no subtitles"),
        ("00:05.000 --> 00:01.000\nB", "ends before it begins"),
        ("00:05 --> later\nB", "cue 1"),
        ("1\n999:00:00,000 --> 999:00:01,000\nB", "100 hours"),
        ("00:01.000 --> 00:02.000\n\n", "holds no subtitles"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\1\2\3", "is no text"),
    ],
)
def test_what_is_no_subtitle_file_is_one_line(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(InputError, match=words) as raised:
        read(tmp_path, text)
    assert "\n" not in str(raised.value)
