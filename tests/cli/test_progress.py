"""What a sweep shows is usable on a terminal, on a narrow one, without colours, and in a file."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from tests.paths import FAULTS

WORDS = ["run", "--methods", "fine,curses", "--res", "8", "--channels", "4", "--metrics", "memory", "--baseline", "none"]
CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def command(out):
    return [sys.executable, "-m", "bench", *WORDS, "--plugin", FAULTS, "-o", str(out)]


def environment(**variables):
    return {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")} | variables


def on_a_terminal(out, columns, **variables):
    """The exit status and all that a terminal of so many columns receives."""
    conductor, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal)
    with subprocess.Popen(command(out), **streams, env=environment(TERM="xterm-256color", **variables)) as process:
        os.close(terminal)
        text = b"".join(iter(lambda: read(conductor), b""))
    os.close(conductor)
    return process.returncode, text.decode()


def read(conductor):
    try:
        return os.read(conductor, 1 << 16)
    except OSError:  # Linux: the other side of the terminal is closed
        return b""


def shown(text):
    """The lines that stay on the screen, without control sequences."""
    return [CONTROL.sub("", line.rpartition("\r")[2] if "\r" in line else line) for line in text.replace("\r\n", "\n").split("\n")]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "results" / "run"


def test_a_terminal_shows_a_bar_and_each_failure(out):
    status, text = on_a_terminal(out, 160)
    assert status == 3
    lines = shown(text)
    assert lines[0].startswith("2 jobs, 0 already done, about ")
    assert "curses cpu 1-thread fp32 infer b1 c4 8x8px memory: crashed (exited with code 1; it wrote: LAST WORDS)" in lines
    assert any("100%" in line for line in lines)
    assert "1 of 2 jobs failed; the leaderboard lists the reasons" in lines
    assert COLOUR.search(text), "the bar is coloured"
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h"), "the cursor comes back"


def test_no_color_is_heeded(out):
    status, text = on_a_terminal(out, 160, NO_COLOR="1")
    assert status == 3
    assert not COLOUR.search(text)
    assert "100%" in text


def test_a_narrow_terminal_loses_nothing(out):
    status, text = on_a_terminal(out, 40, COLUMNS="40")
    assert status == 3
    assert "Traceback" not in text
    lines = shown(text)
    first = next(number for number, line in enumerate(lines) if line.startswith("curses cpu"))
    failure = " ".join(" ".join(lines[first : first + 4]).split())
    assert failure.startswith(
        "curses cpu 1-thread fp32 infer b1 c4 8x8px memory: crashed (exited with code 1; it wrote: LAST WORDS)"
    )
    assert all(len(line) <= 40 for line in lines if "%" in line or "curses" in line)


def test_a_file_gets_one_plain_line_a_job(out):
    result = subprocess.run(command(out), capture_output=True, text=True, env=environment(COLUMNS="40"), check=False)
    assert result.returncode == 3
    assert "\x1b" not in result.stdout + result.stderr and "\r" not in result.stdout + result.stderr
    lines = result.stderr.splitlines()
    assert [line.split(" ")[0] for line in lines] == ["2", "[1/2]", "[2/2]", "1"]
    assert lines[2] == "[2/2] curses cpu 1-thread fp32 infer b1 c4 8x8px memory: crashed (exited with code 1; it wrote: LAST WORDS)"
