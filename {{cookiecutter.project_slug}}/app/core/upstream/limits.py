"""How long, how many, how large."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """Of one upstream; times are seconds."""

    connect: float = 1
    read: float = 5
    """Longest silence while an answer is awaited or arrives."""
    pool: float = 0.5
    """Longest wait for one of the `concurrency` places, then 503."""
    total: float = 10
    """Everything together, retries included; of a relayed answer, up to its headers."""
    stream: float = 300
    """A relayed answer from first to last byte. What says that it is an event stream knows neither this nor
    `stream_bytes`: it ends when the client leaves or at `idle`, and holds one of the places until then."""
    idle: float = 60
    """Longest silence in an event stream."""
    concurrency: int = 50
    retries: int = 2
    request_bytes: int = MIB
    answer_bytes: int = 5 * MIB
    """In typed mode, after decompression."""
    stream_bytes: int = 1024 * MIB
    """Of a relayed answer, as it comes."""
    buffer_bytes: int = MIB // 4
    """Of a connection, in the kernel. It bounds a relay's memory, and its speed: this / round trip."""
