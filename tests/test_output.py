"""Streams that nobody reads: real pipes that are full, closed, or were never opened."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import subprocess
import sys

import pytest

from gym_gazebo2.output import BestEffortStream

TIMEOUT_S = 30


@pytest.fixture
def pipe():
    """Yield the reading and the writing end of a pipe, as a file descriptor and as a text stream."""
    reader, writer = os.pipe()
    stream = os.fdopen(writer, "w")
    yield reader, stream
    for close in (lambda: os.close(reader), stream.close):
        with contextlib.suppress(OSError):  # the test closed it
            close()


def test_text_arrives_at_once(pipe):
    reader, stream = pipe
    assert BestEffortStream(stream).write("progress\n") == len("progress\n")
    assert os.read(reader, 100) == b"progress\n"


def test_lines_arrive_in_order():
    text = io.StringIO()
    stream = BestEffortStream(text)
    stream.writelines(["a\n", "b\n"])
    stream.flush()
    assert text.getvalue() == "a\nb\n"


def test_text_for_a_full_pipe_is_dropped_and_later_text_arrives(pipe):
    reader, stream = pipe
    size = fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    os.write(stream.fileno(), b"x" * size)
    BestEffortStream(stream).write("dropped")
    assert os.read(reader, 2 * size) == b"x" * size
    BestEffortStream(stream).write("kept")
    assert os.read(reader, 100) == b"kept"


def test_a_reader_that_went_away_and_a_closed_stream_do_not_raise(pipe):
    reader, stream = pipe
    os.close(reader)
    BestEffortStream(stream).write("nobody reads this")
    closed = io.StringIO()
    closed.close()
    assert BestEffortStream(closed).write("text") == 4


def test_other_attributes_are_those_of_the_stream(pipe):
    _, stream = pipe
    assert BestEffortStream(stream).encoding == stream.encoding
    assert not BestEffortStream(stream).isatty()


CLOSED = """
from gym_gazebo2.output import open_missing_streams
open_missing_streams()
file = open({path!r}, "w")
assert file.fileno() > 2, file.fileno()
import os, sys
print("to nobody"); print("to nobody", file=sys.stderr); os.write(1, b"from a C library")
file.write("mine")
"""


def test_a_file_does_not_take_the_place_of_a_closed_standard_stream(tmp_path):
    path = tmp_path / "file"
    command = f"exec {sys.executable} -c '{CLOSED.format(path=str(path)).replace(chr(39), chr(34))}' <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", command], timeout=TIMEOUT_S, check=False).returncode == 0
    assert path.read_text() == "mine"


SPELT = "from gym_gazebo2.output import replace_unknown_characters as f; f(); print('12° ± 1 µm, 2 × 3 → …')"


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", "12 deg ? 1 um, 2 x 3 -> ..."), ("utf-8", "12° ± 1 µm, 2 × 3 → …")])
def test_a_character_that_the_encoding_lacks_is_spelt(encoding, shown):
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    command = [sys.executable, "-c", SPELT]
    process = subprocess.run(command, env=environment, capture_output=True, timeout=TIMEOUT_S, check=False)
    assert process.returncode == 0 and process.stdout.decode(encoding) == shown + "\n", process.stderr


def test_commands_print_measures_in_ascii():
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    code = "import sys; from gym_gazebo2.cli import main; main(['--help']); print('12°')"
    process = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=60, check=False)
    assert process.stdout.endswith(b"12 deg\n"), process.stderr


def test_flush_reports_what_could_not_be_written_and_python_ends_quietly():
    code = (
        "import sys; from gym_gazebo2.output import flush_streams; sys.stdout.write('x'); sys.exit(3 if flush_streams() else 4)"
    )
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}  # else write() raises
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [sys.executable, "-c", code], env=buffered, stdout=writer, stderr=subprocess.PIPE, timeout=TIMEOUT_S, check=False
    )
    os.close(writer)
    assert (process.returncode, process.stderr) == (4, b"")
