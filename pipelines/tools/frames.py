"""The protocol between a worker and an isolated tool process: JSON behind a four-byte length, over pipes."""

import asyncio
import struct
from typing import Any, BinaryIO

import orjson

_LENGTH = struct.Struct(">I")
# A value of 16 MB is the most that the engine keeps; the frame around it needs a little more.
MAX_FRAME = 17 * 1024 * 1024


class FrameError(Exception):
    """The other side ended, or sent what is no frame."""


def encode(message: dict[str, Any]) -> bytes:
    """A frame. Raises TypeError for what is not JSON, FrameError past `MAX_FRAME`."""
    content = orjson.dumps(message)
    if len(content) > MAX_FRAME:
        raise FrameError(f"{len(content)} bytes are more than a frame may have")
    return _LENGTH.pack(len(content)) + content


async def read(reader: asyncio.StreamReader) -> dict[str, Any]:
    """The next frame. Raises FrameError at the end of the stream, past `MAX_FRAME` and for what is no JSON object."""
    try:
        length = _checked(await reader.readexactly(_LENGTH.size))
        return _decode(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise FrameError("the stream ended") from error


def read_blocking(stream: BinaryIO) -> dict[str, Any] | None:
    """The next frame; None where the stream ends before one begins. Raises FrameError."""
    header = stream.read(_LENGTH.size)
    if not header:
        return None
    if len(header) < _LENGTH.size:
        raise FrameError("the stream ended")
    return _decode(stream.read(_checked(header)))


def _checked(header: bytes) -> int:
    length = int(_LENGTH.unpack(header)[0])
    if length > MAX_FRAME:
        raise FrameError(f"{length} bytes are more than a frame may have")
    return length


def _decode(content: bytes) -> dict[str, Any]:
    try:
        message = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise FrameError("the frame is not JSON") from error
    if not isinstance(message, dict):
        raise FrameError("the frame is not a JSON object")
    return message
