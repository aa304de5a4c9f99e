"""MongoDB connection strings: where the server is, and how to reach it through the proxy instead.

No I/O here, and no URI in a message: it may hold a password. Source: spec/executors.md 8.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from codspeed.errors import ConfigError

_FORMAT = "https://www.mongodb.com/docs/manual/reference/connection-string/"


def destination(uri: str, *, variable: str) -> str:
    """Return "host:port" of the server.

    Args:
        uri: With host and port; MongoDB's default port is not assumed, as in the reference.
        variable: Where the URI was found.

    Raises:
        ConfigError: If host or port is missing.
    """
    parts = _split(uri, variable)
    host, port = parts.hostname, _port(parts, variable)
    if not host or port is None:
        raise _unusable(variable, "host or port is missing")
    # Brackets keep the colons of IPv6 apart from the one before the port.
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def proxied(uri: str, proxy: str, *, variable: str) -> str:
    """Return the URI that leads through the proxy: same database and options, no credentials.

    Args:
        uri: The server's.
        proxy: URI of the proxy, without a path.
        variable: Where the URI was found.

    Raises:
        ConfigError: If it can't be taken apart.
    """
    parts = _split(uri, variable)
    # As they are written: parsing and printing them anew could change what they mean.
    kept = [
        each for each in parts.query.split("&") if each and each.split("=")[0] != "directConnection"
    ]
    # The proxy is one server: a driver that looks for the replica set behind it would go around.
    return f"{proxy}{parts.path}?{'&'.join([*kept, 'directConnection=true'])}"


def _split(uri: str, variable: str) -> SplitResult:
    try:
        parts = urlsplit(uri)
    except ValueError:
        # Not chained: the cause would quote the URI.
        raise _unusable(variable, "it is no URI") from None
    if not parts.netloc:
        raise _unusable(variable, "host or port is missing")
    if "," in parts.netloc:
        raise _unusable(variable, "the tracer takes one server, not several")
    return parts


def _port(parts: SplitResult, variable: str) -> int | None:
    try:
        return parts.port
    except ValueError:
        raise _unusable(variable, "its port is no number below 65536") from None


def _unusable(variable: str, why: str) -> ConfigError:
    problem = f"Failed to parse the Mongo URI in {variable}: {why}"
    return ConfigError(
        problem,
        hint="Be sure to follow the MongoDB URI format, with a port "
        f"(mongodb://host:27017/database), described here: {_FORMAT}",
    )
