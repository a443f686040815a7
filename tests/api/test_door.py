"""What no request comes past: the name it calls the server by, and the site it is from."""

from __future__ import annotations

import itertools

import pytest
from tests.api.serving import Served

from penstock.api.door import hostname, refusal

HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})

OURS = ["127.0.0.1:4200", "localhost:4200", "localhost", "LOCALHOST", "[::1]:4200", "[::1]"]
THEIRS = [
    "",
    "evil.example",
    "evil.example:4200",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "localhost.",
    "evil@localhost",
    "localhost@evil.example",
    "localhost:x",
    "localhost:99999",
    "localhost/",
    "x/?#",
    "localhost evil.example",
    "169.254.169.254",
    "0.0.0.0",
    "[::ffff:7f00:1]",
    "[::1",
    "::1",
]


@pytest.mark.parametrize("host", OURS)
def test_the_server_goes_by_its_own_names(host: str):
    assert refusal("GET", {"host": [host]}, HOSTS) is None


@pytest.mark.parametrize("host", THEIRS)
def test_and_by_no_others(host: str):
    assert refusal("GET", {"host": [host]}, HOSTS) is not None


def test_a_request_calls_it_by_one_name():
    assert refusal("GET", {}, HOSTS) is not None
    assert refusal("GET", {"host": ["localhost", "localhost"]}, HOSTS) is not None


@pytest.mark.parametrize(
    ("headers", "comes_in"),
    [
        ({}, True),  # no browser
        ({"origin": ["http://localhost:4200"]}, True),
        ({"origin": ["http://localhost:4200"], "sec-fetch-site": ["same-origin"]}, True),
        ({"origin": ["http://127.0.0.1:4200"]}, False),  # another origin, though the same machine
        ({"origin": ["http://localhost:3000"]}, False),
        ({"origin": ["http://localhost"]}, False),
        ({"origin": ["http://evil.example"]}, False),
        ({"origin": ["null"]}, False),
        ({"origin": [""]}, False),
        ({"origin": ["http://[::1"]}, False),
        ({"origin": ["http://localhost:4200", "http://evil.example"]}, False),
        ({"sec-fetch-site": ["cross-site"]}, False),
        ({"sec-fetch-site": ["same-site"]}, False),
        ({"sec-fetch-site": ["none"]}, False),
        ({"origin": ["http://localhost:4200"], "sec-fetch-site": ["cross-site"]}, False),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "QUERY"])
def test_pages_of_other_sites_may_change_nothing(method: str, headers: dict[str, list[str]], comes_in: bool):
    given = {"host": ["localhost:4200"], **headers}

    assert (refusal(method, given, HOSTS) is None) is comes_in
    assert refusal("GET", given, HOSTS) is None


def test_names_of_hosts_are_read_as_they_stand():
    assert [hostname(host) for host in ("a:1", "A", "[::1]:8", "a:", "a:b", "a b", "a\n")] == [
        "a",
        "a",
        "::1",
        "a",
        "",
        "a b",
        "",
    ]


def test_every_combination_over_http(served: Served):
    hosts = {f"127.0.0.1:{served.port}": True, f"localhost:{served.port}": True, "evil.example": False}
    origins = {None: True, f"http://127.0.0.1:{served.port}": True, "http://evil.example": False, "null": False}
    keys = {"the-token-of-the-owner": True, "psk_a_b": False, None: False}
    for method, host, origin, key in itertools.product(
        ["GET", "HEAD", "OPTIONS", "POST", "DELETE"], hosts, origins, keys
    ):
        path = {"POST": "/api/work-pools", "DELETE": "/api/work-pools/none"}.get(method, "/api/work-pools")
        headers = {"Host": host} | ({"Origin": origin} if origin else {})
        answer = served.ask(method, path, b"{}" if method == "POST" else None, key=key, headers=headers)

        what = (method, host, origin, key)
        changes = method in {"POST", "DELETE"}
        if not hosts[host]:
            assert answer.status == 421, what
        elif changes and origin and host not in origin:
            assert answer.status == 403, what
        elif method == "HEAD":
            assert answer.status == 405, what
        elif not keys[key]:
            assert answer.status == 401, what
        else:
            assert answer.status in {"GET": {200}, "OPTIONS": {403}, "POST": {422}, "DELETE": {404}}[method], what
        assert "access-control-allow-origin" not in answer.headers


def test_every_answer_carries_what_protects_a_browser(served: Served):
    for path, key in (("/", None), ("/api/flow-runs", "x"), ("/api/health", None), ("/nothing", None)):
        headers = served.ask("GET", path, key=key).headers

        assert headers["content-security-policy"].startswith("default-src 'self'")
        assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")
        assert headers["x-frame-options"] == "DENY"
