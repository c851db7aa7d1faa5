"""Where the program starts. Nothing is imported before Ctrl+C is looked after."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    _open_what_is_closed()
    if hasattr(sys.stdout, "reconfigure"):
        # A character that the terminal's encoding lacks, or half of one in a file name, is not worth a lost transcript.
        sys.stdout.reconfigure(errors="replace")
    try:
        from mmcli.cli import run

        code = run()
    except KeyboardInterrupt:
        code = 130
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        # Whoever read the output has gone; what is left in the buffer must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if code == 130 or _left_behind():
        # Threads inside native calls would otherwise hold the process until they return, or end it with a crash.
        os._exit(code)
    sys.exit(code)


def _open_what_is_closed() -> None:
    """Where standard output or error was closed, as a service may do, nobody reads what is written there.

    Their descriptors would else go to the next file that is opened, and messages of libraries into it.
    """
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_WRONLY)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115 - for as long as it runs


def _left_behind() -> bool:
    """Whether a stage is still at work that nobody waits for any more; `--help` never loads what would tell."""
    threads = sys.modules.get("mmcli.threads")
    return threads is not None and threads.left_behind()


if __name__ == "__main__":
    main()
