"""Who comes in at the API, and by which routes."""

from __future__ import annotations

import pytest
from tests.api.serving import Served

from penstock.core import operations
from penstock.core.access import Permission
from penstock.core.operations import api_keys as of_keys

EVERYBODY = ["/", "/style.css", "/docs", "/api/docs", "/api/openapi.json", "/api/health", "/api/ready"]


def new_key(served: Served, name: str, *permissions: Permission, pool: str | None = None) -> str:
    return served.orchestrator.ask(of_keys.CreateApiKey(name=name, permissions=permissions, pool=pool)).key


def test_few_routes_are_open_to_everybody(served: Served):
    for path in EVERYBODY:
        assert served.ask("GET", path, key=None).status == 200, path


@pytest.mark.parametrize("path", ["health", "ready", "configs", "openapi.json", "docs"])
@pytest.mark.parametrize(
    "shape",
    [
        "/api/flow-runs/{}",
        "/api/flow-runs/{}/",
        "/api/flow-runs/..%2f{}",
        "/api/flow-runs/%2e%2e/{}",
        "/api/flow-runs/x/../../{}?a",
        "/api/flow-runs;/{}",
        "//api/flow-runs/{}",
        "/api//flow-runs/{}",
        "/api/flow-runs/{}?/api/health",
        "/api/flow-runs/%2fapi%2f{}",
        "/API/flow-runs/{}",
    ],
)
def test_no_spelling_of_a_path_opens_another_route(served: Served, path: str, shape: str):
    answer = served.ask("GET", shape.format(path), key=None)

    assert answer.status in {401, 404}
    assert answer.body.startswith(b'{"type":"Not')


def test_a_key_opens_what_its_permissions_say_and_nothing_else(served: Served):
    for permission in Permission:
        key = new_key(served, f"only {permission}", permission)
        for operation in operations.every():
            path = operation.path.replace("{", "").replace("}", "")
            answer = served.ask(operation.method, f"/api{path}", key=key)
            if operation.permission is permission:
                assert answer.status not in {401, 403}, (permission, operation.name)
            elif permission is not Permission.RUN:
                assert (answer.status, answer.json["type"]) == (403, "NotAllowed"), (permission, operation.name)


def test_two_keys_are_none(served: Served):
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", served.port)
    connection.putrequest("GET", "/api/flow-runs")
    for key in ("the-token-of-the-owner", "the-token-of-the-owner"):
        connection.putheader("Authorization", f"Bearer {key}")
    connection.endheaders()

    assert connection.getresponse().status == 401
    connection.close()


def test_a_key_must_come_as_a_bearers(served: Served):
    for given in ("the-token-of-the-owner", "Basic the-token-of-the-owner", "Bearer", "Bearer  "):
        assert served.ask("GET", "/api/flow-runs", key=None, headers={"Authorization": given}).status == 401
    assert (
        served.ask("GET", "/api/flow-runs", key=None, headers={"Authorization": "bearer the-token-of-the-owner"}).status
        == 200
    )


def test_there_is_no_way_in_by_options_or_websocket(served: Served):
    assert served.ask("OPTIONS", "/api/flow-runs", key=None).status == 401
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    assert served.ask("GET", "/api/events/stream", key=None, headers=upgrade).status in {401, 403, 404}
