"""What `@cached` knows of one function: its keys, its windows, how its values are written."""

import hashlib
from collections.abc import Awaitable, Callable, Hashable, Iterable
from functools import cached_property
from typing import Any
from uuid import UUID

from app.core.cache import arguments, audience
from app.core.cache.codec import Codec
from app.core.cache.entry import Keys, Windows
from app.core.cache.local import Copy
from app.core.cache.server import mark_keys
from app.core.errors import NotFound

Tags = Callable[..., Iterable[str]] | Iterable[str]
# Equal values of these are equal on the wire, too, once their types are compared (1 == True, 0.0 == -0.0).
_TEXT = frozenset({str})
_PLAIN = frozenset({str, int, bool, type(None), UUID})


class Function:
    """One cached function. Every argument is part of the key, and so are the caller and the type's schema."""

    def __init__(
        self,
        call: Callable[..., Awaitable[Any]],
        name: str,
        windows: Windows,
        tags: Tags,
        scope: audience.Scope,
        local: float,
    ) -> None:
        self.call, self.name, self.windows, self.local = call, name, windows, local
        self.scope: audience.Scope = scope
        self._tags = tags

    @cached_property
    def codec(self) -> Codec:
        """Made at the first call: building a schema takes a millisecond."""
        return Codec(self.call)

    def key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
        """Names a copy in this process; in the usual case without writing any JSON."""
        who = audience.current() if self.scope == "caller" else audience.of(self.scope)
        if not kwargs:
            if _TEXT.issuperset(map(type, args)):
                return self, who, args
            kinds = tuple(map(type, args))
            if _PLAIN.issuperset(kinds):
                return self, who, args, kinds
        return self, who, self._digest(args, kwargs)

    def keys(self, args: tuple[Any, ...], kwargs: dict[str, Any], tags: tuple[str, ...]) -> Keys:
        """Names on the server. Raises TypeError for an argument that cannot be part of one (arguments.py)."""
        name = f"cache:{self.name}:{self.codec.version}:{self._digest(args, kwargs)}"
        return Keys(name, f"{name}:lease", tuple(key for tag in tags for key in mark_keys(tag)))

    def tags(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, ...]:
        """Tags of the call with these arguments."""
        return tuple(self._tags(*args, **kwargs) if callable(self._tags) else self._tags)

    def open(self, copy: Copy) -> Any:
        """What a caller gets: the shared object if nobody can change it, else one of his own."""
        if copy.entry.missing:
            raise NotFound(copy.value)
        return copy.value if copy.shared else self.codec.load(copy.entry.body)

    def _digest(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        bound = self.codec.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        try:
            written = arguments.write([audience.of(self.scope), bound.arguments])
        except TypeError as error:
            raise TypeError(f"{self.name}: an argument cannot be part of a cache key: {error}") from None
        return hashlib.blake2b(written, digest_size=16).hexdigest()
