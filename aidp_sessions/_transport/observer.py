"""Calls that tell a listener how they fare. Decides nothing: a call takes the same course, listened to or not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Self

import attrs

from ..errors import AidpError
from ..events import AttemptEnded, AttemptStarted, CallEnded, CallInfo, CallStarted, RetryScheduled
from .call import Call

if TYPE_CHECKING:
    from types import TracebackType

    from .._operations.messages import Answer, Request
    from ..events import Event, Listener
    from ..policies import Sleep
    from .call import SentHeaders
    from .exchange import Transport

_BELOW_PLATFORM: Final = {
    "list_workspaces": "/workspaces",
    "list_sessions": "/workspaces/{workspaceKey}/notebook/api/sessions",
}


@attrs.frozen(eq=False, repr=False)
class Observer:
    """Whom to tell, and what is the same for all calls of a client.

    Attributes:
        platform_route: the path of the platform, with a name in place of its OCID.
    """

    listener: Listener
    platform_id: str
    platform_route: str

    def call(  # noqa: PLR0917  # as `Transport.call`
        self,
        transport: Transport,
        operation: str,
        workspace_key: str | None,
        root: str,
        sleep: Sleep,
        method: str,
        route: str | None,
    ) -> Call:
        return ObservedCall(transport, operation, workspace_key, root, sleep, self, method, route)

    def tell(self, event: Event) -> None:
        """Call the listener; what it raises goes where asyncio reports the exceptions of other callbacks."""
        try:
            self.listener(event)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001  # a CancelledError among them would end the call
            listener = self.listener if hasattr(self.listener, "__qualname__") else type(self.listener)
            name = f"{listener.__module__}.{listener.__qualname__}"
            context = {"message": f"on_event listener {name} failed at {type(event).__name__}", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)


class ObservedCall(Call):
    """A call, and its events."""

    def __init__(  # noqa: PLR0917  # those of a call
        self,
        transport: Transport,
        operation: str,
        workspace_key: str | None,
        root: str,
        sleep: Sleep,
        observer: Observer,
        method: str,
        route: str | None,
    ) -> None:
        super().__init__(transport, operation, workspace_key, root, sleep)
        self._tell = observer.tell
        self._began = 0.0
        self._info = CallInfo(
            operation=operation,
            workspace_key=workspace_key,
            method=method,
            route=observer.platform_route + _BELOW_PLATFORM[operation] if route is None else route,
            server=transport.base_url,
            platform_id=observer.platform_id,
            opc_request_id=root,
        )

    def __enter__(self) -> Self:
        super().__enter__()
        self._began = asyncio.get_running_loop().time()
        try:
            self._tell(CallStarted(call=self._info))
        except BaseException:  # the listener ends the program, which may think better of it
            self._deadlines.stop(self)
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        error = exc
        try:
            super().__exit__(exc_type, exc, traceback)
        except BaseException as raised:
            error = raised
            raise
        finally:
            seconds = asyncio.get_running_loop().time() - self._began
            count = len(self._request_ids)
            self._tell(CallEnded(call=self._info, seconds=seconds, attempts=count, error=error))
            del error, exc  # whose tracebacks lead back to this frame

    def _next_id(self) -> str:
        request_id = super()._next_id()
        self._tell(AttemptStarted(call=self._info, attempt=len(self._request_ids), opc_request_id=request_id))
        return request_id

    async def _exchange(self, request: Request, sent: SentHeaders) -> Answer:
        status: int | None = None
        error: AidpError | None = None
        try:
            answer = await super()._exchange(request, sent)
            status = answer.status
        except AidpError as failed:
            status, error = failed.status, failed
            raise
        finally:
            if len(self._seconds) == len(self._request_ids):  # it began: the listener did not interrupt the program
                ended = AttemptEnded(
                    call=self._info,
                    attempt=len(self._request_ids),
                    opc_request_id=self._request_ids[-1],
                    seconds=self._seconds[-1],
                    status=status,
                    error=error,
                )
                self._tell(ended)
                del ended
            del error  # as above
        return answer

    def plans_retry(self, error: AidpError) -> bool:
        planned = super().plans_retry(error)
        if planned:
            attempt = len(self._request_ids)
            self._tell(RetryScheduled(call=self._info, attempt=attempt, delay=self._delay, error=error))
        return planned
