"""The cookies of a dashboard: below its own path, out of reach of scripts and of other sites."""

from __future__ import annotations

from typing import Literal

from starlette.responses import Response

from queuectl.web.access import Policy


def set_cookie(
    policy: Policy,
    response: Response,
    name: str,
    value: str,
    samesite: Literal["lax", "strict"] = "strict",
    max_age: int | None = None,
) -> None:
    """Set a cookie while the browser is open, or for some seconds; an empty one is taken away."""
    response.set_cookie(
        name, value, max_age=max_age if value else 0, path=policy.root or "/", httponly=True,
        samesite=samesite, secure=policy.secure,
    )  # fmt: skip


def set_session(policy: Policy, response: Response, name: str, change_key: str) -> None:
    """Set the cookies of a session; empty ones are taken away."""
    set_cookie(policy, response, policy.cookie, name, "lax")
    set_cookie(policy, response, policy.change_cookie, change_key)
