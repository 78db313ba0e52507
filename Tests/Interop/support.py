"""What the cases share: the servers they run against, and the list of them."""
import collections
import contextlib
import random
import socket
import struct

import acp_client as acp
from acp.test.v1 import control_pb2 as control

Case = collections.namedtuple("Case", "name servers run")
cases = []


def case(*servers):
    """Registers a case for the named servers, or for both."""

    def register(run):
        cases.append(Case(run.__name__, servers or ("plain", "wrapped"), run))
        return run

    return register


class Server:
    def __init__(self, port, is_wrapped):
        self.port = port
        self.is_wrapped = is_wrapped

    def socket(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    @contextlib.contextmanager
    def connect(self, **options):
        """A connection that compresses and asks for checksums where the server does so too."""
        options = {"compresses": self.is_wrapped, "wants_checksums": self.is_wrapped, **options}
        connection = acp.Connection(self.socket(), **options)
        try:
            yield connection.wait_for_hello()
        finally:
            connection.close()

    def progress(self, name, **wanted):
        """Waits until the call of this name has got so far."""
        with self.connect() as connection:
            wait = control.ControlWait(name=name, **wanted)
            return control.ControlProgress.FromString(connection.call(path("WaitFor"), bytes_of(wait)).result())

    def signal(self, name):
        with self.connect() as connection:
            connection.call(path("Signal"), bytes_of(control.ControlName(name=name))).result()

    def works(self):
        """A new connection serves a call."""
        with self.connect() as connection:
            assert unary(connection, payload=b"hello", echo=True).payload == b"hello"


def path(method, service="acp.test.v1.Control"):
    return f"/{service}/{method}"


def bytes_of(message):
    return message.SerializeToString()


def request(**fields):
    return bytes_of(control.ControlRequest(**fields))


def replies(*plans):
    """(count, size, is_random) → what ControlRequest.replies holds."""
    return [control.ControlReplies(count=count, size_bytes=size, is_random=is_random) for count, size, is_random in plans]


def reply(data):
    return control.ControlReply.FromString(data)


def unary(connection, method="Unary", options=None, **fields):
    return reply(connection.call(path(method), request(**fields), **(options or {})).result())


def noise(count, seed=1):
    """Bytes that do not compress, the same on every run."""
    return random.Random(seed).randbytes(count)


def compressible(count):
    """What a server makes of ControlReplies without is_random."""
    return bytes((index * 2_654_435_761 >> 13) & 255 if index % 32 == 31 else 0x61 for index in range(count))


def fails(code, reason, run):
    """`run` fails with this status, which is returned."""
    try:
        run()
    except acp.CallFailed as failure:
        assert (failure.code, failure.status.reason) == (code, reason), failure
        return failure.status
    raise AssertionError(f"no failure; {code!r} {reason} was expected")


def ends(connection, code, word=""):
    """The server says GOAWAY with this code and closes."""
    try:
        connection.pump(lambda: False)
    except acp.ConnectionEnded as ended:
        assert ended.goaway is not None, "closed without GOAWAY"
        assert ended.goaway.code == code, ended.goaway
        assert word in ended.goaway.message, ended.goaway
        return ended.goaway
    raise AssertionError("the connection goes on")


def window(credit, stream=0):
    return acp.pack(acp.WINDOW, stream=stream, payload=struct.pack(">I", credit))
