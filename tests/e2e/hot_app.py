"""An application whose hot answers tell on which thread they are given; its loop tells its own."""

from __future__ import annotations

import threading

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Telling:
    """Has a hot answer for `/hot`, and answers everything else by the loop."""

    class Hot:
        def find(self, scope: Scope) -> tuple[Message, Message] | None:
            return answer("server") if scope["path"] == "/hot" else None

    hot = Hot()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        for message in answer("loop"):
            await send(message)


def answer(by: str) -> tuple[Message, Message]:
    """By whom, and whether the main thread, which runs the loop, is that."""
    is_main = threading.current_thread() is threading.main_thread()
    body = f"{by} {is_main}".encode()
    headers = [(b"content-length", str(len(body)).encode())]
    return (
        {"type": "http.response.start", "status": 200, "headers": headers},
        {"type": "http.response.body", "body": body},
    )


def create_app() -> ASGIApp:
    """For `bff.serve`."""
    return Telling()
