from __future__ import annotations

import csv
import fcntl
import io
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from mmcli.errors import InputError
from mmcli.media.audio import RawFormat, audio_facts, open_audio, resample
from mmcli.stages import Audio

RECORDINGS = [
    *("a01.wav", "a04.wav", "a05.flac", "a06.mp3", "a14.flac", "a15_8bit.wav", "a16.m4a", "a17.ogg"),
    *("a72.webm", "a74_mulaw.wav", "a76.ac3", "x03_mp3_named.wav", "x04_silence.wav"),
]


def refused(path: str | Path, **options) -> str:
    with pytest.raises(InputError) as caught:
        for _ in open_audio(path, **options).blocks(16000):
            pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", RECORDINGS)
def test_real_recordings_have_the_length_that_their_header_says(data: Path, name: str) -> None:
    source = open_audio(data / name)
    blocks = list(source.blocks(16000))
    assert source.seconds == pytest.approx(sum(block.seconds for block in blocks), abs=0.03)
    assert {block.rate for block in blocks} == {16000}
    assert all(block.seconds < 1.5 for block in blocks)
    assert all(np.abs(block.samples).max() <= 1 for block in blocks)


def test_every_recording_of_the_folder_can_be_heard(data: Path) -> None:
    with (data / "MANIFEST.tsv").open(newline="") as file:
        clips = [row for row in csv.DictReader(file, delimiter="\t") if row["file"].startswith("a")]
    assert len(clips) > 20
    for clip in clips:
        loudest = max(np.abs(block.samples).max() for block in open_audio(data / clip["file"]).blocks(16000))
        assert loudest > 0.05, clip["file"]


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"])
def test_every_sample_format_keeps_pitch_and_level(tmp_path: Path, tone, heard, subtype: str) -> None:
    soundfile.write(tmp_path / "t.wav", tone(), 16000, subtype=subtype)
    seconds, hertz, level = heard(open_audio(tmp_path / "t.wav").blocks(16000))
    assert (seconds, hertz) == (2.0, pytest.approx(440, abs=1))
    assert level == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000, 192000])
@pytest.mark.parametrize("wanted", [16000, 24000])
def test_every_rate_keeps_pitch_level_and_length(tmp_path: Path, tone, heard, rate: int, wanted: int) -> None:
    soundfile.write(tmp_path / "t.flac", tone(rate=rate), rate, subtype="PCM_24")
    seconds, hertz, level = heard(open_audio(tmp_path / "t.flac").blocks(wanted))
    assert seconds == pytest.approx(2.0, abs=0.002)
    assert hertz == pytest.approx(440, abs=1)
    assert level == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6, 7, 8, 12, 24])
def test_any_number_of_channels_is_mixed_without_clipping(tmp_path: Path, tone, heard, channels: int) -> None:
    loud = tone(level=0.99, rate=44100)
    soundfile.write(tmp_path / "t.wav", np.stack([loud] * channels, 1), 44100)
    assert audio_facts(tmp_path / "t.wav").channels == channels
    _, hertz, level = heard(open_audio(tmp_path / "t.wav").blocks(16000))
    assert hertz == pytest.approx(440, abs=1)
    assert level == pytest.approx(0.99, rel=0.01)


def test_the_subwoofer_of_a_surround_layout_is_left_out(tmp_path: Path, tone, heard) -> None:
    center, boom = tone(880.0, level=0.5), tone(60.0, level=0.9)
    samples = np.stack([0 * boom, 0 * boom, center, boom, 0 * boom, 0 * boom])
    with av.open(str(tmp_path / "t.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="5.1")
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray((samples.T * 32767).astype(np.int16).reshape(1, -1)), format="s16", layout="5.1"
        )
        frame.sample_rate = 16000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    _, hertz, level = heard(open_audio(tmp_path / "t.wav").blocks(16000))
    assert hertz == pytest.approx(880, abs=1)
    assert level == pytest.approx(0.1, rel=0.02)


def test_one_channel_can_be_taken_alone(tmp_path: Path, tone, heard) -> None:
    soundfile.write(tmp_path / "t.wav", np.stack([tone(440.0), tone(660.0)], 1), 16000)
    assert heard(open_audio(tmp_path / "t.wav", channel=1).blocks(16000))[1] == pytest.approx(440, abs=1)
    assert heard(open_audio(tmp_path / "t.wav", channel=2).blocks(8000))[1] == pytest.approx(660, abs=1)
    for wrong in (0, 3, -1):
        assert refused(tmp_path / "t.wav", channel=wrong).endswith(f"has no channel {wrong}, it has 2 channels")


def test_the_speakers_of_a_real_call_are_apart(data: Path) -> None:
    left, right, both = (
        np.concatenate([b.samples for b in open_audio(data / "a13_stereo2spk.wav", channel=c).blocks(16000)])
        for c in (1, 2, None)
    )
    assert abs(np.corrcoef(left, right)[0, 1]) < 0.1
    assert np.allclose((left + right) / 2, both, atol=1e-6)


def test_what_is_not_a_number_or_too_loud_stays_in_range(tmp_path: Path, tone) -> None:
    wild = tone(level=3.0)
    wild[100:200], wild[300], wild[301] = np.nan, np.inf, -np.inf
    soundfile.write(tmp_path / "t.wav", wild, 16000, subtype="FLOAT")
    for rate in (16000, 24000):
        samples = np.concatenate([block.samples for block in open_audio(tmp_path / "t.wav").blocks(rate)])
        assert np.isfinite(samples).all()
        assert np.abs(samples).max() <= 1


def test_headerless_samples_are_read_as_they_are_described(tmp_path: Path, tone, heard) -> None:
    samples = tone(rate=24000)
    (tmp_path / "s16").write_bytes((samples * 32767).astype("<i2").tobytes())
    stereo = np.stack([samples, 0 * samples], 1).astype("<f4")
    (tmp_path / "f32").write_bytes(stereo.tobytes())
    seconds, hertz, level = heard(open_audio(tmp_path / "s16", raw=RawFormat(24000)).blocks(16000))
    assert (seconds, hertz, level) == (
        pytest.approx(2, abs=0.001),
        pytest.approx(440, abs=1),
        pytest.approx(0.5, rel=0.01),
    )
    source = open_audio(tmp_path / "f32", channel=1, raw=RawFormat(24000, 2, "f32le"))
    assert heard(source.blocks(24000))[2] == pytest.approx(0.5, rel=0.01)


def test_facts_come_from_the_header(data: Path) -> None:
    facts = audio_facts(data / "a14.flac")
    assert (facts.rate, facts.channels, facts.codec, facts.container) == (44100, 2, "flac", "flac")
    assert facts.seconds == pytest.approx(11.0)


# ---------------------------------------------------------------- pipes


@pytest.mark.parametrize("name", ["a01.wav", "a05.flac", "a06.mp3", "a16.m4a", "a17.ogg", "a72.webm"])
def test_a_pipe_gives_the_same_sound_once(data: Path, piped, name: str) -> None:
    expected = np.concatenate([block.samples for block in open_audio(data / name).blocks(16000)])
    with piped((data / name).read_bytes()) as pipe:
        source = open_audio(pipe)
        got = np.concatenate([block.samples for block in source.blocks(16000)])
        with pytest.raises(InputError, match="can be read only once"):
            next(source.blocks(16000))
    # A pipe cannot be sought in for the padding that an MP3's tail declares.
    assert abs(len(got) - len(expected)) < 1600
    short = min(len(got), len(expected))
    assert np.allclose(got[:short], expected[:short], atol=1e-4)


def test_standard_input_streams(data: Path) -> None:
    code = "from mmcli.media.audio import open_audio; print(sum(b.seconds for b in open_audio('-').blocks(16000)))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        input=(data / "a16.m4a").read_bytes(),
        capture_output=True,
        check=True,
    )
    assert float(done.stdout) == pytest.approx(8.84, abs=0.03)
    assert done.stderr == b""


def test_sound_comes_out_of_a_pipe_before_its_end(tone) -> None:
    header = io.BytesIO()
    soundfile.write(header, tone(seconds=20.0), 16000, format="WAV")
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 1 << 18)  # 8 seconds
    with open(writing, "wb", buffering=0) as stream:
        os.set_blocking(writing, False)
        sent = stream.write(header.getvalue())  # as much as the pipe holds, and the rest never comes
        blocks = open_audio(f"/dev/fd/{reading}").blocks(16000)
        assert next(blocks).seconds >= 1.0
        assert sent < len(header.getvalue())
        stream.close()
        blocks.close()
    os.close(reading)


# ---------------------------------------------------------------- damage


def test_files_that_hold_no_sound_are_refused_in_one_line(data: Path, tmp_path: Path) -> None:
    assert refused(data / "x10_text.mp3").endswith("is neither a recording nor a video that can be read")
    assert refused(data / "x01_zero.wav").endswith("is empty")
    assert refused(data / "i01.png").endswith("holds no sound")
    assert refused(data / "v02.mov").endswith("holds no sound")
    soundfile.write(tmp_path / "none.wav", np.zeros(0, np.float32), 16000)
    assert refused(tmp_path / "none.wav").endswith("no sound in it can be decoded")


def test_a_cut_recording_gives_what_it_has(data: Path) -> None:
    assert sum(b.seconds for b in open_audio(data / "x02_trunc.wav").blocks(16000)) == pytest.approx(1.36, abs=0.01)


@pytest.mark.parametrize("name", ["a05.flac", "a06.mp3", "a16.m4a", "a17.ogg", "a76.ac3"])
def test_a_hole_in_the_middle_costs_only_itself(data: Path, tmp_path: Path, name: str) -> None:
    whole = bytearray((data / name).read_bytes())
    hole = slice(len(whole) * 2 // 5, len(whole) * 3 // 5)
    whole[hole] = np.random.default_rng(0).bytes(hole.stop - hole.start)
    (tmp_path / name).write_bytes(whole)
    damaged = np.concatenate([b.samples for b in open_audio(tmp_path / name).blocks(16000)])
    good = np.concatenate([b.samples for b in open_audio(data / name).blocks(16000)])
    assert np.allclose(damaged[:32000], good[:32000], atol=1e-4)
    assert np.abs(damaged[-32000:]).max() > 0.05
    # FLAC, Ogg and MP4 say when each frame is heard: the end stays where it was.
    if name in ("a05.flac", "a16.m4a", "a17.ogg"):
        assert abs(len(damaged) - len(good)) < 1600
        assert np.corrcoef(damaged[-16000:], good[len(damaged) - 16000 : len(damaged)])[0, 1] > 0.9


def test_a_playlist_opens_no_other_file(data: Path, tmp_path: Path) -> None:
    (tmp_path / "list.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:5,\nfile://{data}/a16.m4a\n#EXT-X-ENDLIST\n"
    )
    (tmp_path / "list.ffconcat").write_text(f"ffconcat version 1.0\nfile '{data}/a01.wav'\n")
    refused(tmp_path / "list.m3u8")
    refused(tmp_path / "list.ffconcat")


def test_an_interrupted_decoding_leaves_no_file_open(data: Path) -> None:
    before = os.listdir("/proc/self/fd")
    blocks = open_audio(data / "a14.flac").blocks(16000)
    next(blocks)
    blocks.close()
    assert os.listdir("/proc/self/fd") == before


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    code = (
        "import sys, resource\nfrom mmcli.media.audio import open_audio\n"
        "def peak(path):\n    for _ in open_audio(path).blocks(16000): pass\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "first = peak(sys.argv[1]); print(peak(sys.argv[2]) - first)"
    )
    noise = np.random.default_rng(0).standard_normal(24000 * 60).astype(np.float32) * 0.1
    soundfile.write(tmp_path / "short.flac", noise, 24000)
    with soundfile.SoundFile(tmp_path / "long.flac", "w", 24000, 1) as file:
        for _ in range(15):
            file.write(noise)
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "short.flac", tmp_path / "long.flac"], capture_output=True, check=True
    )
    assert int(done.stdout) < 8000  # KiB; a quarter of an hour in float32 is 56,250


# ---------------------------------------------------------------- resampling


def test_blocks_of_any_size_make_the_same_stream(tone) -> None:
    samples = tone(seconds=3.0, rate=22050)

    def cut(size: int) -> np.ndarray:
        pieces = (Audio(samples[i : i + size], 22050) for i in range(0, len(samples), size))
        return np.concatenate([block.samples for block in resample(pieces, 16000)])

    whole = cut(len(samples))
    assert len(whole) == pytest.approx(48000, abs=1)
    for size in (1, 37, 22050) if len(samples) < 10000 else (37, 441, 22050):
        assert np.array_equal(cut(size), whole)


def test_a_stream_whose_rate_changes_is_one_stream(tone, heard) -> None:
    mixed = [
        Audio(tone(rate=24000), 24000),
        Audio(np.zeros(0, np.float32), 48000),
        Audio(tone(), 16000),
        Audio(tone(rate=8000), 8000),
    ]
    seconds, hertz, level = heard(resample(mixed, 16000))
    assert seconds == pytest.approx(6, abs=0.01)
    assert hertz == pytest.approx(440, abs=1)
    assert level == pytest.approx(0.5, rel=0.01)


def test_nothing_becomes_nothing() -> None:
    assert list(resample([], 16000)) == []
    assert list(resample([Audio(np.zeros(0, np.float32), 8000)], 16000)) == []


def test_a_pipe_that_is_kept_is_decoded_any_number_of_times(data: Path, tmp_path: Path) -> None:
    import threading

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes((data / "a13_stereo2spk.wav").read_bytes()))
    writer.start()
    kept = open_audio(pipe, again=True)
    writer.join()
    file = open_audio(data / "a13_stereo2spk.wav")
    assert len(kept.channels) == len(file.channels) == 2
    pairs = [(kept, file), *zip(kept.channels, file.channels, strict=True), (kept, file)]
    for one, other in pairs:
        for ours, theirs in zip(one.blocks(16000), other.blocks(16000), strict=True):
            np.testing.assert_array_equal(ours.samples, theirs.samples)


def test_channels_are_heard_alone(data: Path) -> None:
    whole = open_audio(data / "a13_stereo2spk.wav")
    for number, channel in enumerate(whole.channels, 1):
        chosen = open_audio(data / "a13_stereo2spk.wav", channel=number)
        assert chosen.channels == ()
        for ours, theirs in zip(channel.blocks(8000), chosen.blocks(8000), strict=True):
            np.testing.assert_array_equal(ours.samples, theirs.samples)
    assert open_audio(data / "a01.wav").channels == ()


def _mp3(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 16000, format="MP3")
    return file.getvalue()


def test_what_follows_a_change_of_channels_is_heard_in_either_way(tmp_path: Path, tone) -> None:
    parts = [tone(), np.stack([tone(), tone()], 1), tone()]
    (tmp_path / "joined.mp3").write_bytes(b"".join(map(_mp3, parts)))
    source = open_audio(tmp_path / "joined.mp3")
    assert source.blocks16 is not None
    for blocks in (source.blocks, source.blocks16):
        assert sum(block.seconds for block in blocks(16000)) == pytest.approx(
            len(np.concatenate([tone()] * 3)) / 16000, abs=0.4
        )


def test_times_that_jump_cost_half_a_day_of_silence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with av.open(str(tmp_path / "jumps.mka"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=1000, layout="mono")
        for number in range(40):
            frame = av.AudioFrame.from_ndarray(np.ones((1, 100), np.int16), "s16", "mono")
            frame.rate, frame.pts, frame.time_base = 1000, number * 3_000_000, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    seconds = sum(block.seconds for block in open_audio(tmp_path / "jumps.mka").blocks(8000))
    assert 12 * 3600 < seconds < 13 * 3600
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "half a day is missing in it; what else is missing is left out"
    ]
