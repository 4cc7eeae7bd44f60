"""Who may load what has a signed link: whoever has the link, or the owner by a Bearer token."""

from __future__ import annotations

import time
from typing import Any

from flask import g

from seidra.auth.tokens import request_user
from seidra.errors import Forbidden
from seidra.media.links import MEDIA
from seidra.web import rates
from seidra.web.services import services


def linked_user(
    subject_id: str, variant: str, link: dict[str, Any], section: str = MEDIA
) -> tuple[int, int]:
    """The owner that a request for a picture speaks for, and for how many seconds its link is still
    good (0 for a token). `link` is a `LinkQuery`. Raises Forbidden for a link that is not valid,
    and what a missing token raises.

    A valid link counts for its owner, at a rate of its own, for a page loads sixty at once;
    anything else counts as every request does.
    """
    if link["signature"] is None:
        g.user = request_user()
        return g.user["id"], 0
    user_id = services().links.check(
        subject_id, variant, link["user"], link["expires"], link["signature"], section
    )
    if user_id is None:
        rates.count_request("general", rates.client_address())
        raise Forbidden(
            "This link is not valid, or not any more; read the item again for a fresh one.",
            code="link_invalid",
        )
    rates.count_request("links", str(user_id))
    return user_id, max(int(link["expires"]) - int(time.time()), 0)
