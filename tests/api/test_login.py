"""Letting a browser in by a link."""

from __future__ import annotations

from tests.api.serving import Answer, Served, serving

from penstock.store.interface import Store


def new_code(served: Served) -> str:
    return served.ask("POST", "/api/login-codes").json["code"]


def follow(served: Served, code: str) -> Answer:
    return served.ask("GET", f"/login?code={code}", key=None)


def cookie_of(answer: Answer) -> str:
    return answer.headers["set-cookie"].partition(";")[0]


def with_cookie(served: Served, cookie: str, method: str = "GET", path: str = "/api/flow-runs", **headers: str) -> int:
    body = None if method == "GET" else b"{}"
    return served.ask(method, path, body, key=None, headers={"Cookie": cookie, **headers}).status


def test_a_link_lets_a_browser_in(served: Served):
    answer = follow(served, new_code(served))

    assert answer.status == 200
    assert b'http-equiv="refresh" content="0; url=/"' in answer.body
    attributes = answer.headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(attributes)
    assert "Secure" not in attributes
    cookie = cookie_of(answer)
    assert with_cookie(served, cookie) == 200
    assert with_cookie(served, f"a=b; {cookie}; c=d") == 200
    for strange in ("a b=c", 'a="', "=", ";;", '{"a":1}', "é"):
        assert with_cookie(served, f"{strange}; {cookie}; {strange}") == 200, "cookies of others may be of any form"
    assert with_cookie(served, cookie, "POST", "/api/work-pools", Origin=f"http://127.0.0.1:{served.port}") == 422


def test_a_link_is_good_once(served: Served):
    code = new_code(served)
    assert follow(served, code).status == 200

    again = follow(served, code)
    assert (again.status, "set-cookie" in again.headers) == (401, False)
    assert b"`penstock ui`" in again.body or b"penstock ui" in again.body


def test_a_link_is_good_for_a_minute(served: Served):
    sessions = served.context.sessions
    late = sessions._signed("code", -1)

    assert follow(served, late).status == 401
    assert follow(served, sessions._signed("code", 30)).status == 200
    assert follow(served, sessions._signed("cookie", 30)).status == 401, "a cookie is no code"


def test_what_was_never_a_link_lets_nobody_in(served: Served):
    for code in ("", "x", "%00", "%c3%a9"):
        assert follow(served, code).status == 401


def test_a_cookie_cannot_be_made_up_or_changed(served: Served):
    cookie = cookie_of(follow(served, new_code(served)))
    name, _, value = cookie.partition("=")
    expires, nonce, signature = value.split(".")

    for spoilt in (
        f"{name}=",
        f"{name}=.",
        f"{name}={expires}",
        f"{name}={int(expires) + 1}.{nonce}.{signature}",
        f"{name}={expires}.{nonce}.{signature[:-1]}",
        f"{name}={expires}.x.{signature}",
        f"{name}x={value}",
        f"{name}={signature}.{nonce}.{expires}",
        f"{name}={'9' * 5000}.{nonce}.{signature}",
        f"{name}=é.{signature}",
        f"{name}={new_code(served)}",
        ";;==",
    ):
        assert with_cookie(served, spoilt) == 401, spoilt


def test_a_cookie_ends(served: Served):
    sessions = served.context.sessions

    assert with_cookie(served, f"{sessions.cookie_name}={sessions._signed('cookie', 30)}") == 200
    assert with_cookie(served, f"{sessions.cookie_name}={sessions._signed('cookie', -1)}") == 401


def test_a_page_of_another_site_cannot_use_the_cookie(served: Served):
    cookie = cookie_of(follow(served, new_code(served)))

    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        assert with_cookie(served, cookie, "POST", "/api/work-pools", **headers) == 403


def test_a_wrong_key_is_not_made_good_by_a_cookie(served: Served):
    cookie = cookie_of(follow(served, new_code(served)))

    assert with_cookie(served, cookie, Authorization="Bearer wrong") == 401


def test_only_admins_make_links(served: Served):
    assert served.ask("POST", "/api/login-codes", key=None).status == 401


def test_a_link_may_lead_on_within_this_server_and_nowhere_else(served: Served):
    def place(to: str) -> str:
        answer = served.ask("GET", f"/login?code={new_code(served)}&to={to}", key=None)
        return answer.body.decode().partition('content="0; url=')[2].partition('"')[0]

    assert place("%2Fapi%2Fflow-runs%2F0192-a") == "/api/flow-runs/0192-a"
    for elsewhere in ("https%3A%2F%2Fexample.org", "%2F%2Fexample.org", "javascript%3A1", "%2F%5Cexample.org", ""):
        assert place(elsewhere) == "/"


def test_a_link_of_one_server_is_good_once_at_all_servers_of_its_store(store: Store, served: Served):
    code = new_code(served)
    with serving(store) as other:
        assert follow(other, code).status == 200
        assert follow(other, code).status == 401
    assert follow(served, code).status == 401
