"""Every file in a folder is an endpoint. See README.md."""

from filerouter.config import RouteConfig, operation
from filerouter.problems import Problem, RouteTreeError
from filerouter.router import FileRouter
from filerouter.scan import RouteFile, scan

__all__ = ["FileRouter", "Problem", "RouteConfig", "RouteFile", "RouteTreeError", "operation", "scan"]
