"""Announcements: what started, waits for a person, ended or was put back."""

from typing import TYPE_CHECKING

from temporalio import activity

from slipway.announcement import document_of
from slipway.messages.notice import SendNotice, Sent

if TYPE_CHECKING:
    from activities.adapters.webhook import Webhook


class Announcements:
    """Sends notices to the plan's receiver. Needs no production credential."""

    def __init__(self, http: "Webhook") -> None:
        self._http = http

    @activity.defn(name="notice.send")
    async def send(self, request: SendNotice) -> Sent:
        """Send one notice. Every attempt carries the same key, so the receiver can drop doubles."""
        notice = request.notice
        return await self._http.post(request.to.webhook, notice.key, document_of(notice))
