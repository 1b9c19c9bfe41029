"""An S3 endpoint on loopback for tests: moto's server, which tells what it was asked.

``python tests/s3.py`` serves until its standard input ends, so that it never outlives the tests.
Beyond moto, which lets everybody in, it knows one key: other requests may only read buckets whose
names begin with ``public-``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, quote, urlencode
from urllib.request import Request, urlopen

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "AKIDASKRUNTESTS00000"
SECRET = "wJalrXUtnFEMI-the-secret-of-the-tests"
SIGNED = f"AWS4-HMAC-SHA256 Credential={KEY}/20260101/us-east-1/s3/aws4_request, Signature=x"
"""What moto needs to see; it holds nothing against it."""
DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>no</Message></Error>"
MISSING = b"<?xml version='1.0'?><Error><Code>NotImplemented</Code><Message>x</Message></Error>"
SLOW = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>less!</Message></Error>"
BROKEN = b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>oh</Message></Error>"


class Asked(NamedTuple):
    """One request that the server was sent."""

    method: str
    path: str
    """``/bucket/key``, decoded."""
    query: str
    """Such as ``partNumber=1&uploadId=…``."""
    range: str
    """The ``Range`` header, ``""`` without one."""
    copied: str
    """``x-amz-copy-source`` and its range, ``""`` where nothing is copied."""
    received: int
    """Bytes of its body."""
    signed: bool
    """Whether it came with credentials."""
    status: int


@dataclass(frozen=True)
class Bucket:
    """A new bucket of the server, and what it was asked since."""

    endpoint: str
    name: str
    since: int

    @property
    def url(self) -> str:
        return f"s3://{self.name}"

    @property
    def options(self) -> dict[str, Any]:
        """Give storage_options that may read and write."""
        return {"key": KEY, "secret": SECRET, "endpoint_url": self.endpoint}

    @property
    def anonymous(self) -> dict[str, Any]:
        """Give storage_options without credentials."""
        return {"anon": True, "endpoint_url": self.endpoint}

    def put(self, key: str, data: bytes) -> None:
        """Put an object."""
        _call(self.endpoint, "PUT", f"/{self.name}/{quote(key)}", data)

    def get(self, key: str) -> bytes:
        """Give an object's bytes."""
        return _call(self.endpoint, "GET", f"/{self.name}/{quote(key)}")

    def keys(self) -> list[str]:
        """List all objects."""
        import xml.etree.ElementTree as Tree

        found: list[str] = []
        token = ""
        while True:
            query = {"list-type": "2", **({"continuation-token": token} if token else {})}
            tree = Tree.fromstring(_call(self.endpoint, "GET", f"/{self.name}?{urlencode(query)}"))
            texts = [(e.tag.rpartition("}")[2], e.text or "") for e in tree.iter()]
            found += [text for tag, text in texts if tag == "Key"]
            token = dict(texts).get("NextContinuationToken", "")
            if not token:
                return sorted(found)

    def uploads(self) -> int:
        """Count multipart uploads that are neither completed nor aborted."""
        return _call(self.endpoint, "GET", f"/{self.name}?uploads").count(b"<Upload>")

    def asked(self, method: str = "", part: str = "") -> list[Asked]:
        """Give the requests for this bucket so far: of a method, with ``part`` in path or query."""
        told = json.loads(_call(self.endpoint, "GET", f"/_asked?since={self.since}"))
        mine = [a for a in map(Asked._make, told) if a.path.startswith(f"/{self.name}")]
        return [a for a in mine if method in ("", a.method) and part in f"{a.path}?{a.query}"]

    def fail(
        self, method: str, part: str, count: int = 1, seconds: float = 0.0, status: int = 503
    ) -> None:
        """Have the next ``count`` requests of a method answered with ``status``, or late.

        ``part`` is in their path or query. With ``seconds`` they are answered well, but so late.
        """
        rule = {
            "method": method,
            "part": part,
            "count": count,
            "seconds": seconds,
            "status": status,
        }
        path = f"/_fail?{urlencode({**rule, 'bucket': self.name})}"
        _call(self.endpoint, "POST", path)

    def heal(self) -> None:
        """Have no more requests fail."""
        _call(self.endpoint, "POST", f"/_heal?{urlencode({'bucket': self.name})}")


def _call(endpoint: str, method: str, path: str, data: bytes | None = None) -> bytes:
    asked = Request(endpoint + path, data, method=method)
    asked.add_header("Authorization", SIGNED)
    asked.add_header("x-daskrun-test", "1")
    asked.add_header("Content-Type", "application/octet-stream")  # else it is taken for a form
    with urlopen(asked, timeout=30) as answer:
        return bytes(answer.read())


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Start the server once; give its address."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    server = subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        port = int(server.stdout.readline())
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stdin.close()
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        server.stdout.close()


@pytest.fixture
def bucket(s3_endpoint: str) -> Bucket:
    """Make a bucket that only the key opens."""
    return new_bucket(s3_endpoint, "private")


@pytest.fixture
def public_bucket(s3_endpoint: str) -> Bucket:
    """Make a bucket that everybody may read."""
    return new_bucket(s3_endpoint, "public")


def new_bucket(endpoint: str, kind: str) -> Bucket:
    """Make a bucket and note how far the server's account of requests is."""
    name = f"{kind}-{uuid.uuid4().hex[:12]}"
    _call(endpoint, "PUT", f"/{name}")
    since = len(json.loads(_call(endpoint, "GET", "/_asked?since=0")))
    return Bucket(endpoint, name, since)


# the server's own process


class Account:
    """Lets requests through to moto, keeps account of them, fails those it was told to."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._asked: list[Asked] = []
        self._rules: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        path, query = environ["PATH_INFO"], environ.get("QUERY_STRING", "")
        if path == "/_asked":
            since = int(parse_qs(query)["since"][0])
            return self._answer(start_response, 200, json.dumps(self._asked[since:]).encode())
        if path == "/_fail":
            told = {name: values[0] for name, values in parse_qs(query).items()}
            with self._lock:
                self._rules.append(told)
            return self._answer(start_response, 200, b"")
        if path == "/_heal":
            healed = parse_qs(query)["bucket"][0]
            with self._lock:
                self._rules = [rule for rule in self._rules if rule["bucket"] != healed]
            return self._answer(start_response, 200, b"")
        return self._pass(environ, start_response, path, query)

    def _pass(self, environ: dict[str, Any], start_response: Any, path: str, query: str) -> Any:
        signed = environ.get("HTTP_AUTHORIZATION", "")
        status, body = 0, b""
        rule = self._rule(environ["REQUEST_METHOD"], path, query)
        if rule is not None and float(rule["seconds"]):
            time.sleep(float(rule["seconds"]))
        elif rule is not None:
            status = int(rule["status"])
            body = {503: SLOW, 500: BROKEN}.get(status, MISSING)
        if f"Credential={KEY}/" not in signed:
            reads = environ["REQUEST_METHOD"] in ("GET", "HEAD") and path.startswith("/public-")
            if signed or not reads:
                status, body = 403, DENIED
            else:  # moto would ask for an ACL on each object
                environ["HTTP_AUTHORIZATION"] = SIGNED
        if status:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            self._note(environ, path, query, signed, status)
            head = environ["REQUEST_METHOD"] == "HEAD"
            return self._answer(start_response, status, b"" if head else body)

        def started(line: str, headers: Any, problem: Any = None) -> Any:
            self._note(environ, path, query, signed, int(line.split()[0]))
            return start_response(line, headers, problem)

        return self._app(environ, started)

    def _rule(self, method: str, path: str, query: str) -> dict[str, Any] | None:
        with self._lock:
            for rule in self._rules:
                fits = path.startswith(f"/{rule['bucket']}") and rule["method"] == method
                if fits and rule.get("part", "") in f"{path}?{query}" and int(rule["count"]):
                    rule["count"] = int(rule["count"]) - 1
                    return rule
        return None

    def _note(
        self, environ: dict[str, Any], path: str, query: str, signed: str, status: int
    ) -> None:
        if environ.get("HTTP_X_DASKRUN_TEST"):
            return  # a test looks, that is none of the code's requests
        source = environ.get("HTTP_X_AMZ_COPY_SOURCE", "")
        copied = f"{source} {environ.get('HTTP_X_AMZ_COPY_SOURCE_RANGE', '')}".strip()
        size = int(environ.get("CONTENT_LENGTH") or 0)
        range_ = environ.get("HTTP_RANGE", "")
        asked = Asked(
            environ["REQUEST_METHOD"], path, query, range_, copied, size, bool(signed), status
        )
        with self._lock:
            self._asked.append(asked)

    @staticmethod
    def _answer(start_response: Any, status: int, body: bytes) -> list[bytes]:
        start_response(f"{status} .", [("Content-Length", str(len(body)))])
        return [body]


def main() -> None:
    """Serve on a free port, which is printed, until standard input ends."""
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    app = Account(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
