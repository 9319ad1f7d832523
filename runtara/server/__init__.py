"""The server: everything put together, in one process.

Inside an application that has an event loop::

    async with RuntaraServer(ServerConfig.from_env()) as server:
        print(server.management_address)
"""

from runtara.config import ServerConfig
from runtara.server.server import RuntaraServer

__all__ = ("RuntaraServer", "ServerConfig")
