"""A stand-in for wollomatic/socket-proxy: the same options, a request passed on only if one of them allows it.

Only what the tests need of it: a connection carries one request, `Connection: close` is added, and after that bytes go
both ways as they come, so that upgraded connections work. What is refused is printed.
"""

import asyncio
import re
import sys

SOCKET = "/var/run/docker.sock"


def parse_options(arguments: list[str]) -> dict[str, list[re.Pattern[str]]]:
    allowed: dict[str, list[re.Pattern[str]]] = {}
    for argument in arguments:
        if found := re.fullmatch(r"-allow(GET|POST)=(.*)", argument):
            allowed.setdefault(found[1], []).append(re.compile(found[2]))
    return allowed


ALLOWED = parse_options(sys.argv[1:])


async def serve(client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
    try:
        head = await client.readuntil(b"\r\n\r\n")
        method, target = head.decode("latin-1").split(" ")[:2]
        if not any(pattern.fullmatch(target.partition("?")[0]) for pattern in ALLOWED.get(method, ())):
            print(f"refused {method} {target}")
            answer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        if b"upgrade:" not in head.lower():
            head = re.sub(rb"(?im)^connection:.*\r\n", b"", head).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        engine, request = await asyncio.open_unix_connection(SOCKET)
        request.write(head)
        copies = [asyncio.create_task(copy(client, request)), asyncio.create_task(copy(engine, answer))]
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        for one in copies:
            one.cancel()
        request.close()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        answer.close()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while part := await reader.read(65_536):
        writer.write(part)
        await writer.drain()


async def main() -> None:
    async with await asyncio.start_server(serve, "", 2375) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
