"""Emits events while calls run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import attrs

from ..events import CallInfo

if TYPE_CHECKING:
    from ..events import Event, Listener

_SESSIONS: Final = "/workspaces/{workspaceKey}/notebook/api/sessions"
_ROUTES: Final = {
    "list_workspaces": "/workspaces",
    **dict.fromkeys(("list_sessions", "create_session"), _SESSIONS),
    **dict.fromkeys(("get_session", "patch_session", "delete_session"), f"{_SESSIONS}/{{sessionId}}"),
    "list_clusters": "/workspaces/{workspaceKey}/clusters",
}


@attrs.frozen(eq=False, repr=False)
class Observer:
    """A client's listener, and what is the same for all its calls.

    Attributes:
        platform_route: the path of the platform, with a name in place of its OCID.
        server: scheme, host and port that requests go to.
    """

    listener: Listener
    platform_id: str
    platform_route: str
    server: str

    def describe_call(
        self, operation: str, workspace_key: str | None, opc_request_id: str, method: str, route: str | None
    ) -> CallInfo:
        """Describe a call; *route* is known for every operation but ``request``."""
        return CallInfo(
            operation=operation,
            workspace_key=workspace_key,
            method=method,
            route=self.platform_route + _ROUTES[operation] if route is None else route,
            server=self.server,
            platform_id=self.platform_id,
            opc_request_id=opc_request_id,
        )

    def tell(self, event: Event) -> None:
        """Call the listener; what it raises goes to the event loop's exception handler."""
        try:
            self.listener(event)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001  # a CancelledError among them would end the call
            listener = self.listener if hasattr(self.listener, "__qualname__") else type(self.listener)
            name = f"{listener.__module__}.{listener.__qualname__}"
            context = {"message": f"on_event listener {name} failed at {type(event).__name__}", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
