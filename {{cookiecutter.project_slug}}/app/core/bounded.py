"""The answer of somebody else's server, read into memory: bounded before and after decompression."""

import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2

ENCODINGS = "gzip"


class Unreadable(Exception):
    """Too large, broken, or in an encoding that we did not ask for."""


async def read(response: "httpx2.Response", most: int) -> bytes:
    """The decoded body. A small answer that unpacks to a large one ends at the bound, not in memory."""
    encoding = response.headers.get("content-encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise Unreadable(f"content-encoding {encoding[:20]!r}")
    body = bytearray()
    async with aclosing(_chunks(response, encoding, most)) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > most:
                raise Unreadable(f"larger than {most} bytes")
    return bytes(body)


async def _chunks(response: "httpx2.Response", encoding: str, most: int) -> AsyncGenerator[bytes, None]:
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 16) if encoding == "gzip" else None
    async with aclosing(response.aiter_raw()) as raw:
        async for chunk in raw:
            try:
                yield unpack.decompress(chunk, most + 1) if unpack else chunk
            except zlib.error as error:
                raise Unreadable("broken gzip") from error
            if unpack and unpack.unconsumed_tail:
                raise Unreadable(f"unpacks to more than {most} bytes")
    if unpack and not unpack.eof:
        raise Unreadable("incomplete gzip")
