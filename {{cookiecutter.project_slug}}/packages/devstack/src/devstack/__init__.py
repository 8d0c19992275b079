"""`dev`, embedded PostgreSQL and Valkey servers, and a pytest plug-in that starts them."""

from .errors import DevstackError
from .postgres import Postgres, run_postgres
from .servers import start_server
from .state import free_port
from .valkey import Valkey, run_valkey

__all__ = ["DevstackError", "Postgres", "Valkey", "free_port", "run_postgres", "run_valkey", "start_server"]
