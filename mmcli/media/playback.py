"""The loudspeaker, through PortAudio."""

from __future__ import annotations

import os
import sys
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from mmcli.errors import MissingPackage, OutputError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from mmcli.stages import Audio


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """ALSA and PortAudio write to file descriptor 2 what a person should not have to read; what matters is raised, too."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as null:
            os.dup2(null.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _sounddevice() -> Any:
    # Without the PortAudio library the import raises OSError, not ImportError.
    try:
        with _quiet_stderr():
            import sounddevice
    except OSError as error:
        raise MissingPackage("the PortAudio library is not installed", "apt-get install libportaudio2") from error
    return sounddevice


def devices() -> tuple[str | None, str | None]:
    """The names of the default microphone and loudspeaker, None where there is none.

    MissingPackage where the PortAudio library is absent.
    """
    sounddevice = _sounddevice()
    names: list[str | None] = []
    for kind in ("input", "output"):
        try:
            with _quiet_stderr():
                names.append(str(sounddevice.query_devices(kind=kind)["name"]))
        except (sounddevice.PortAudioError, ValueError):
            names.append(None)
    return names[0], names[1]


def can_play() -> bool:
    """Whether there is a loudspeaker."""
    try:
        return devices()[1] is not None
    except MissingPackage:
        return False


def played(blocks: Generator[Audio, None, None]) -> Generator[Audio, None, None]:
    """The same blocks, each given when it has been handed to the loudspeaker. OutputError where there is none."""
    sounddevice = _sounddevice()
    stream = None
    with closing(blocks):
        try:
            for block in blocks:
                if stream is None:
                    with _quiet_stderr():
                        stream = sounddevice.OutputStream(
                            samplerate=block.rate, channels=1, dtype="float32", latency="high"
                        )
                        stream.start()
                with _quiet_stderr():
                    stream.write(block.samples.reshape(-1, 1))
                yield block
            if stream is not None:
                with _quiet_stderr():
                    stream.stop()  # waits until all has been heard
        except (sounddevice.PortAudioError, ValueError) as error:
            raise OutputError(f"no sound could be played ({error})", "write a file: -o FILE") from error
        finally:
            if stream is not None:
                with _quiet_stderr():
                    stream.close()
