"""What can be done: job classes, which are the arguments, and their handlers.

    class BuildExport(Job, queue="default", max_attempts=5, time_limit=300):
        resource: Literal["orders", "posts"]

    @handles(BuildExport)
    async def build_export(job: BuildExport, run: Run) -> ExportResult: ...

`async def` for work that waits, `def` for work that computes or blocks.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict

kinds: dict[str, type["Job"]] = {}
handlers: dict[str, Callable[..., Any]] = {}


@dataclass(frozen=True)
class Options:
    """How the jobs of a class are run. Times in seconds."""

    kind: str
    """Its name in the table: survives a renaming of the class if it is given."""
    queue: str = "default"
    priority: int = 5
    """0 to 9; 9 goes first."""
    max_attempts: int = 5
    time_limit: float = 300
    backoff: float = 2
    """Before the second attempt; doubles from there, up to an hour, less up to a half of it by chance."""
    unique: bool = False
    """While one with the same arguments waits or runs, another enqueue gives that one."""
    concurrency: int | None = None
    """How many with the same `concurrency_key` may run at once."""
    version: int = 1
    """Of the arguments. Raise it when they change, and say in `upgrade` how old ones are read."""


class Job(BaseModel):
    """Parent of all jobs. Fields are validated when it is made and travel as JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    options: ClassVar[Options]

    def __init_subclass__(cls, **options: Any) -> None:
        """Take the options, as Pydantic demands of a class that shall have some."""
        super().__init_subclass__()

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        """Register the class under its kind: `BuildExport` is `build_export`."""
        given: dict[str, Any] = {"kind": re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()} | options
        cls.options = Options(**given)
        known = kinds.setdefault(cls.options.kind, cls)
        if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise TypeError(f"Two jobs are of the kind {cls.options.kind}: {known} and {cls}. Name one anew.")
        kinds[cls.options.kind] = cls

    def unique_key(self) -> str | None:
        """What there may be only one of, waiting or running. With `unique=True`: kind and arguments."""
        if not self.options.unique:
            return None
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def concurrency_key(self) -> str:
        """Who shares the limit `concurrency`. All of the kind, unless you say otherwise."""
        return self.options.kind

    @classmethod
    def upgrade(cls, payload: dict[str, Any], version: int) -> dict[str, Any]:
        """Arguments as an older `version` of this class wrote them, in today's form."""
        return payload


Kind = TypeVar("Kind", bound=Job)
Handler = TypeVar("Handler", bound=Callable[..., Any])


def handles(kind: type[Job]) -> Callable[[Handler], Handler]:
    """Name the function that does the jobs of this class: `(job, run) -> result`, sync or async."""

    def register(function: Handler) -> Handler:
        name = kind.options.kind
        known = handlers.setdefault(name, function)
        if (known.__module__, known.__qualname__) != (function.__module__, function.__qualname__):
            raise TypeError(f"Two functions handle {name}: {known.__qualname__}, {function.__qualname__}.")
        handlers[name] = function
        return function

    return register
