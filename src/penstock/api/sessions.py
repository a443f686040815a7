"""Letting a browser in: a link with a code that is good once and for a minute becomes a cookie.

Both are signed with the key of the home's owner, so that any server that has it knows them again; with a new key, all
are void. Pages of other sites cannot send the cookie (``SameSite=Strict``), and no script can read it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from penstock.clock import Clock

CODE_SECONDS = 60
COOKIE_SECONDS = 7 * 86_400


class Sessions:
    """Codes of links, and cookies."""

    def __init__(self, token: str, clock: Clock, *, is_encrypted: bool) -> None:
        self._key = hashlib.sha256(f"session {token}".encode()).digest()
        self._clock = clock
        self._is_encrypted = is_encrypted
        # A browser has one set of cookies for all servers of a machine, whatever their ports.
        self.cookie_name = f"penstock-{self._key[:4].hex()}"

    def new_code(self) -> str:
        """A code that is good within a minute. That it is good once, whoever takes it sees to."""
        return self._signed("code", CODE_SECONDS)

    def is_code(self, code: str) -> bool:
        """Whether it is such a code."""
        return self._is_signed("code", code)

    def new_cookie(self) -> str:
        """The header that gives a browser its cookie."""
        value = self._signed("cookie", COOKIE_SECONDS)
        secure = "; Secure" if self._is_encrypted else ""
        return f"{self.cookie_name}={value}; Path=/; Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Strict{secure}"

    def is_good(self, cookies: str) -> bool:
        """Whether a header ``Cookie`` holds a cookie of this home that is good."""
        # Those of other servers of this machine come along, and may be of any form.
        pairs = (pair.strip().partition("=") for pair in cookies.split(";"))
        return any(name == self.cookie_name and self._is_signed("cookie", value) for name, _, value in pairs)

    def _signed(self, kind: str, seconds: int) -> str:
        """A text that nobody else can make, and that differs from all before it."""
        said = f"{self._clock.now() // 1_000_000 + seconds}.{secrets.token_urlsafe(16)}"
        return f"{said}.{self._signature(kind, said)}"

    def _is_signed(self, kind: str, text: str) -> bool:
        said, _, signature = text.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(kind, said).encode()):
            return False
        return int(said.partition(".")[0]) * 1_000_000 > self._clock.now()

    def _signature(self, kind: str, said: str) -> str:
        return hmac.new(self._key, f"{kind} {said}".encode(), hashlib.sha256).hexdigest()
