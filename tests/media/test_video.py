"""Videos: which pictures come, at which times, upright, and what is no video."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import PIL.Image
import pytest

from mmcli.errors import InputError, UsageError
from mmcli.media.attachments import check_options, open_attachment
from mmcli.media.video import MAX_SIDE, open_video
from mmcli.options import AttachOptions
from mmcli.stages import AudioSource, Image, Video

RED, GREEN, BLUE, GREY = (220, 20, 20), (20, 200, 20), (20, 20, 220), (128, 128, 128)
Film = Callable[..., Path]


@pytest.fixture
def film(tmp_path: Path, tone: Callable[..., Any]) -> Film:
    """Writes a film of scenes, each (colour or picture, seconds), with a tone if wanted."""

    def make(
        name: str,
        scenes: Sequence[tuple[Any, float]],
        rate: int = 10,
        size: tuple[int, int] = (160, 120),
        sound: bool = False,
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w") as out:
            video: Any = out.add_stream("mpeg4" if path.suffix != ".webm" else "libvpx", rate=rate)
            video.width, video.height = size
            video.pix_fmt, video.gop_size = "yuv420p", 20
            audio: Any = out.add_stream("aac", rate=16000, layout="mono") if sound else None
            pictures = [
                picture for look, seconds in scenes for picture in [_picture(look, size)] * round(seconds * rate)
            ]
            for number, picture in enumerate(pictures):
                frame = av.VideoFrame.from_image(picture)
                frame.pts, frame.time_base = number, Fraction(1, rate)
                out.mux(video.encode(frame))
            out.mux(video.encode(None))
            if audio is not None:
                samples = tone(seconds=len(pictures) / rate)
                for start in range(0, len(samples), 1024):
                    block = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], "fltp", "mono")
                    block.sample_rate, block.pts = 16000, start
                    out.mux(audio.encode(block))
                out.mux(audio.encode(None))
        return path

    return make


def _picture(look: Any, size: tuple[int, int]) -> PIL.Image.Image:
    if isinstance(look, Path):
        return PIL.Image.open(look).convert("RGB").resize(size)
    return PIL.Image.new("RGB", size, look)


def _frames(path: Path, **options: Any) -> list[tuple[float, PIL.Image.Image]]:
    video = open_attachment(path, AttachOptions(**options))
    assert isinstance(video, Video)
    return list(video.frames())


def _times(path: Path, **options: Any) -> list[float]:
    return [round(time, 2) for time, _ in _frames(path, **options)]


def _is(picture: PIL.Image.Image, colour: tuple[int, int, int]) -> bool:
    return bool(np.abs(np.asarray(picture, int).mean((0, 1)) - colour).max() < 20)


def test_a_video_lies_as_its_flag_says(data: Path) -> None:
    video = open_attachment(data / "v02.mov")
    assert isinstance(video, Video)
    assert (video.width, video.height) == (320, 568)
    assert video.seconds == pytest.approx(0.1)
    assert video.sound is None
    ((time, picture),) = video.frames()
    assert (time, picture.size, picture.mode) == (0.0, (320, 568), "RGB")
    # The keys are dark and the gap at the lower left, a space bar's, is without letters.
    assert (
        np.asarray(picture.convert("L"))[450:560, 10:120].std() < np.asarray(picture.convert("L"))[450:560, 160:].std()
    )


def test_the_first_picture_and_those_at_cuts_are_shown(film: Film, data: Path) -> None:
    scenes = [(data / name, 2.0) for name in ("i01.png", "i02.png", "i07.jpg", "i20.jpg")]
    frames = _frames(film("cuts.mp4", scenes))
    assert [round(time) for time, _ in frames] == [0, 2, 4, 6]
    for (_, picture), (file, _) in zip(frames, scenes, strict=True):
        expected = np.asarray(_picture(file, picture.size), int)
        assert np.abs(np.asarray(picture, int) - expected).mean() < 20


def test_there_are_eight_at_most_where_there_are_many_cuts(film: Film) -> None:
    times = _times(film("many.mp4", [(colour, 1.0) for colour in (RED, GREEN, BLUE, GREY) * 4]))
    assert len(times) == 8
    assert times[0] == 0
    assert times == sorted(times)


def test_a_long_scene_without_cuts_is_shown_every_ten_seconds(film: Film) -> None:
    assert _times(film("still.mp4", [(RED, 9.0)])) == [0]
    assert _times(film("longer.mp4", [(RED, 35.0)], rate=2)) == pytest.approx([0, 9, 17.5, 26.5], abs=0.6)


def test_a_long_film_is_looked_at_where_its_pictures_are_whole(film: Film) -> None:
    path = film("long.mkv", [(RED, 100.0), (GREEN, 50.0), (BLUE, 50.0)], rate=2)
    frames = _frames(path)
    assert len(frames) == 8
    for time, picture in frames:
        assert _is(picture, RED if time < 100 else GREEN if time < 150 else BLUE), time
    assert {100.0, 150.0} <= {round(time) for time, _ in frames}


def test_frames_are_spread_evenly(film: Film) -> None:
    path = film("two.mp4", [(RED, 10.0), (BLUE, 10.0)])
    frames = _frames(path, frames=4)
    assert [round(time, 1) for time, _ in frames] == [2.5, 7.5, 12.5, 17.5]
    assert [_is(picture, RED) for _, picture in frames] == [True, True, False, False]
    assert _times(path, frames=1) == [10.0]


def test_frames_come_at_a_rate(film: Film) -> None:
    path = film("two.mp4", [(RED, 3.0), (BLUE, 3.0)])
    assert _times(path, fps=1) == [0, 1, 2, 3, 4, 5]
    assert _times(path, fps=0.5) == [0, 2, 4]
    assert len(_times(path, fps=10)) == 60
    # No picture is given twice where more are asked for than there are.
    assert len(_times(path, fps=20)) == 60


def test_asking_again_gives_the_same_pictures(film: Film) -> None:
    video = open_video(film("two.mp4", [(RED, 3.0), (BLUE, 3.0)]))
    assert video is not None
    one, other = list(video.frames()), list(video.frames())
    assert [time for time, _ in one] == [time for time, _ in other]
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(one, other, strict=True))


def test_too_many_pictures_are_refused_with_what_is_possible(film: Film) -> None:
    with pytest.raises(
        InputError, match=r"is 100 s long: --fps 2 .* more than 128 pictures; take --frames 128, or --fps 1.3"
    ):
        open_attachment(film("long.mp4", [(RED, 100.0)], rate=2), AttachOptions(fps=2))


@pytest.mark.parametrize(
    "options, words",
    [
        (AttachOptions(frames=2, fps=1), "do not go together"),
        (AttachOptions(frames=0), "from 1 to 128"),
        (AttachOptions(frames=129), "from 1 to 128"),
        (AttachOptions(fps=0), "above 0"),
        (AttachOptions(fps=-1), "above 0"),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused(options: AttachOptions, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_options(options)


def test_pictures_are_bounded_and_their_pixels_square(film: Film, tmp_path: Path) -> None:
    wide = film("wide.mkv", [(RED, 0.5)], size=(2560, 720))
    ((_, picture),) = _frames(wide)
    assert picture.size == (MAX_SIDE, 360)
    with av.open(str(tmp_path / "anamorphic.mkv"), "w") as out:
        stream: Any = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 180, 144, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(16, 11)
        out.mux(stream.encode(av.VideoFrame.from_image(PIL.Image.new("RGB", (180, 144), RED))))
        out.mux(stream.encode(None))
    ((_, picture),) = _frames(tmp_path / "anamorphic.mkv")
    assert picture.size == (262, 144)


def test_a_film_has_its_sound_track(film: Film) -> None:
    video = open_attachment(film("sound.mp4", [(RED, 2.0)], sound=True))
    assert isinstance(video, Video)
    assert video.sound is not None
    assert sum(block.seconds for block in video.sound.blocks(16000)) == pytest.approx(2.0, abs=0.2)


def test_a_recording_with_a_picture_on_its_cover_is_a_recording(tmp_path: Path, data: Path) -> None:
    cover, song = tmp_path / "cover.jpg", tmp_path / "song.mp3"
    PIL.Image.open(data / "i01.png").save(cover)
    with av.open(str(data / "a06.mp3")) as sound, av.open(str(cover)) as picture, av.open(str(song), "w") as out:
        tracks = [out.add_stream_from_template(source.streams[0]) for source in (sound, picture)]
        tracks[1].disposition = av.stream.Disposition.attached_pic
        for source, track in zip((picture, sound), reversed(tracks), strict=True):
            for packet in source.demux(source.streams[0]):
                if packet.dts is not None:
                    packet.stream = track
                    out.mux(packet)
    with av.open(str(song)) as container:
        assert len(container.streams.video) == 1
    assert isinstance(open_attachment(song), AudioSource)


def test_a_film_that_breaks_off_shows_what_there_is(film: Film) -> None:
    path = film("cut.mkv", [(RED, 10.0), (BLUE, 10.0)], sound=True)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert _is(_frames(path)[0][1], RED)
    assert len(_times(path, frames=4)) >= 1
    assert len(_times(path, frames=1)) == 1
    path.write_bytes(whole[:100])
    with pytest.raises(InputError, match=r"cannot be attached|no picture in it can be decoded"):
        open_attachment(path)


def test_an_index_without_pictures_is_told(film: Film) -> None:
    path = film("hollow.avi", [(RED, 1.0)])
    data = path.read_bytes()
    start = data.index(b"movi") + 4
    path.write_bytes(data[:start] + bytes(len(data) - start))
    with pytest.raises(InputError, match="no picture in it can be decoded"):
        open_attachment(path)


def test_a_film_from_a_pipe_is_that_from_the_file(film: Film, piped: Callable[..., Any]) -> None:
    path = film("sound.mp4", [(RED, 2.0), (BLUE, 2.0)], sound=True)
    with piped(path.read_bytes()) as pipe:
        video = open_attachment(pipe)
    assert isinstance(video, Video)
    assert [time for time, _ in video.frames()] == [time for time, _ in _frames(path)]
    assert video.sound is not None
    assert sum(block.seconds for block in video.sound.blocks(16000)) == pytest.approx(4.0, abs=0.2)


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_an_animation_is_a_picture_unless_its_frames_are_asked_for(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"moving.{form.lower()}"
    first, *others = [PIL.Image.new("RGB", (40, 30), colour) for colour in (RED, GREEN, BLUE, GREY)]
    first.save(path, form, save_all=True, append_images=others, duration=500, loop=0, lossless=True)
    picture = open_attachment(path)
    assert isinstance(picture, Image)
    assert _is(picture.pixels(), RED)
    frames = _frames(path, fps=2)
    assert [round(time, 1) for time, _ in frames] == [0.0, 0.5, 1.0, 1.5]
    assert all(_is(shown, colour) for (_, shown), colour in zip(frames, (RED, GREEN, BLUE, GREY), strict=True))
    assert len(_frames(path, frames=2)) == 2
    PIL.Image.new("RGB", (40, 30)).save(path, form)
    assert isinstance(open_attachment(path, AttachOptions(frames=2)), Image)


def test_the_pages_of_a_tiff_are_no_film(tmp_path: Path) -> None:
    first, second = PIL.Image.new("RGB", (40, 30), RED), PIL.Image.new("RGB", (40, 30), BLUE)
    first.save(tmp_path / "pages.tif", save_all=True, append_images=[second])
    assert isinstance(open_attachment(tmp_path / "pages.tif", AttachOptions(frames=2)), Image)


def test_a_long_film_takes_no_more_memory_than_a_short_one(film: Film) -> None:
    program = (
        "import resource, sys\n"
        "from mmcli.media.video import open_video\n"
        "for _ in open_video(sys.argv[1]).frames(): pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )

    def peak(path: Path) -> int:
        done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, check=True)
        return int(done.stdout)

    noise = [(colour, 1.0) for colour in (RED, GREEN, BLUE, GREY)]
    size = (1280, 720)
    assert (
        peak(film("long.mp4", noise * 15, rate=4, size=size))
        < peak(film("short.mp4", noise * 2, rate=4, size=size)) * 1.25
    )
