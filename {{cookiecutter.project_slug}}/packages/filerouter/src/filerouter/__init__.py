"""File-based routing for FastAPI: every Python file in a folder is an endpoint. See README.md."""

from filerouter.config import RouteConfig, operation
from filerouter.errors import RouteProblem, RouteTreeError
from filerouter.router import FileRouter
from filerouter.scanner import RouteFile, scan

__all__ = ["FileRouter", "RouteConfig", "RouteFile", "RouteProblem", "RouteTreeError", "operation", "scan"]
