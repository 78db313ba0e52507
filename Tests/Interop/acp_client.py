"""A client of ACP/1 in Python, written from docs/protocol.md and the proto files alone: the proof that the document suffices.

    connection = Connection(socket.create_connection(("127.0.0.1", 8000)))
    reply = connection.call("/acp.v1.Health/Check", b"").result()      # the bytes of a HealthCheckResponse

Messages go in and out as bytes; acp.wire.v1 is compiled from Protos/ by run.py, which also installs what requirements.txt names:

    python3 Tests/Interop/run.py --plain PORT --wrapped PORT            # all cases against two servers with acp.test.v1.Control

One thread: a call that waits reads the connection's frames, those of other calls too. Section numbers are those of docs/protocol.md.
"""
import collections
import enum
import socket
import struct
import time

import google_crc32c
import zstandard
from acp.wire.v1 import wire_pb2 as wire

PREFACE = bytes([0xAC, 0x41, 0x43, 0x50, 0x0D, 0x0A, 1, 0])
HELLO, REQUEST, HEADERS, DATA, STATUS, CANCEL, WINDOW, PING, PONG, GOAWAY = range(10)
END_MESSAGE, END_STREAM, ZSTD, CRC32C, NO_MESSAGE = 1, 2, 4, 8, 16
FEATURE_ZSTD, FEATURE_CRC32C = 1, 2

Frame = collections.namedtuple("Frame", "type flags stream meta payload")


class Code(enum.IntEnum):
    OK, CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED = range(8)
    RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = range(8, 15)
    DATA_LOSS, UNAUTHENTICATED = 15, 16


class CallFailed(Exception):
    """A call ended with a status that is not OK; `status` is the whole of it."""

    def __init__(self, status):
        super().__init__(f"{status.code} {status.reason}: {status.message}")
        self.status = status
        # Section 4: a code that is not known is UNKNOWN.
        self.code = Code(status.code) if status.code in Code._value2member_map_ else Code.UNKNOWN


class ConnectionEnded(Exception):
    """The server closed the connection; `goaway` is what it said before, if anything."""

    def __init__(self, goaway):
        super().__init__(f"closed: {goaway}" if goaway else "closed without GOAWAY")
        self.goaway = goaway


class ProtocolError(Exception):
    """The server broke the protocol."""


class Late(Exception):
    """What was waited for did not come in time."""


def failed(code, reason, message):
    return CallFailed(wire.Status(code=code, reason=reason, message=message))


def pack(kind, flags=0, stream=0, meta=b"", payload=b"", checksum=False, checksum_error=0):
    """The bytes of a frame (section 2)."""
    if checksum:
        flags |= CRC32C
    length = len(meta) + len(payload) + (4 if checksum else 0)
    data = struct.pack(">IBBHI", length, kind, flags, len(meta), stream) + meta + payload
    if checksum:
        data += struct.pack(">I", google_crc32c.value(data) ^ checksum_error)
    return data


class Window:
    """Credit that was received and not returned yet, gathered to half a window (section 5)."""

    def __init__(self, size):
        self.size = size
        self.left = size
        self.owed = 0

    def take(self, count):
        if count > self.left:
            raise ProtocolError(f"{count} bytes of DATA exceed the window of {self.left}")
        self.left -= count

    def give(self, count):
        """The credit to return now."""
        self.owed += count
        if self.owed < self.size / 2:
            return 0
        credit, self.owed = self.owed, 0
        self.left += credit
        return credit


class Connection:
    """The client's end of a connection.

    hello: fields of Hello to send, such as credential, role, stream_window_bytes.
    accepts_zstd, wants_checksums: the features that HELLO names. compresses: whether messages are sent compressed where the peer accepts it.
    """

    timeout_s = 10

    def __init__(self, sock, hello=None, accepts_zstd=True, wants_checksums=False, compresses=False, opens=True):
        self.sock = sock
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.wants_checksums = wants_checksums
        self.compresses = compresses
        features = (FEATURE_ZSTD if accepts_zstd else 0) | (FEATURE_CRC32C if wants_checksums else 0)
        self.accepts_zstd = accepts_zstd
        self.mine = wire.Hello(features=features, role="client", instance="python", **(hello or {}))
        # What the peer accepts: the defaults of section 8 until its HELLO is there.
        self.peer = None
        self.frame_bytes_max = 65_536
        self.message_bytes_max = 4_194_304
        self.stream_send_window = 262_144
        self.send_window = 4_194_304
        self.receive_window = Window(self.mine.connection_window_bytes or 4_194_304)
        self.checksums_come = False
        self.calls = {}
        self.next_stream = 1
        self.goaway = None
        self.pongs = []
        self.send_error = None
        # For tests: every frame that came, without the bytes of DATA.
        self.log = []
        if opens:
            self.send_raw(PREFACE + pack(HELLO, meta=self.mine.SerializeToString()))

    # Sending

    def send_raw(self, data):
        try:
            self.sock.sendall(data)
        except OSError as error:
            # What the server said before it closed is still to be read.
            self.send_error = error

    def pack(self, *frame, **parts):
        """A frame with the checksum that the peer may have asked for."""
        return pack(*frame, checksum=self.sends_checksums, **parts)

    def send_frame(self, *frame, **parts):
        self.send_raw(self.pack(*frame, **parts))

    @property
    def sends_checksums(self):
        return bool(self.peer and self.peer.features & FEATURE_CRC32C)

    def encode(self, message):
        """The bytes of a message as they are sent, and its flag (section 2, compression)."""
        if self.compresses and self.peer and self.peer.features & FEATURE_ZSTD and len(message) >= 1024:
            smaller = zstandard.ZstdCompressor(level=1, write_content_size=True).compress(message)
            if len(message) / 200 <= len(smaller) <= len(message) * 0.9:
                return smaller, ZSTD
        return message, 0

    # Reading

    def read_frame(self, deadline):
        while True:
            if len(self.buffer) >= 12:
                length, kind, flags, meta_length, stream = struct.unpack_from(">IBBHI", self.buffer)
                if length > (self.mine.frame_bytes_max or 65_536):
                    raise ProtocolError(f"a frame of {length} bytes")
                if len(self.buffer) >= 12 + length:
                    data = bytes(self.buffer[: 12 + length])
                    del self.buffer[: 12 + length]
                    return self.frame(data, kind, flags, meta_length, stream)
            left = deadline - time.monotonic()
            if left <= 0:
                raise Late()
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(1 << 18)
            except TimeoutError:
                raise Late() from None
            except OSError:
                data = b""
            if not data:
                raise ConnectionEnded(self.goaway)
            self.buffer += data

    def frame(self, data, kind, flags, meta_length, stream):
        end = len(data)
        if flags & CRC32C:
            if not self.wants_checksums:
                raise ProtocolError("a checksum that was not asked for")
            end -= 4
            if struct.unpack(">I", data[end:])[0] != google_crc32c.value(data[:end]):
                raise ProtocolError("a wrong checksum")
            self.checksums_come = True
        elif self.checksums_come:
            raise ProtocolError("a frame without the checksum that earlier ones had")
        if 12 + meta_length > end or meta_length > 16_384:
            raise ProtocolError("a meta part beyond its frame")
        return Frame(kind, flags & ~CRC32C, stream, data[12 : 12 + meta_length], data[12 + meta_length : end])

    def pump(self, until, timeout_s=None):
        """Reads and handles frames until `until()`; raises Late after `timeout_s`."""
        deadline = time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)
        while not until():
            frame = self.read_frame(deadline)
            self.log.append(frame._replace(payload=b"") if frame.type == DATA else frame)
            self.handle(frame)

    def handle(self, frame):
        if frame.flags & ~(END_MESSAGE | END_STREAM | ZSTD | NO_MESSAGE) and not frame.type & 0x80:
            raise ProtocolError(f"flags {frame.flags}")
        if self.peer is None and frame.type not in (HELLO, GOAWAY):
            raise ProtocolError("a frame before HELLO")
        if frame.type == HELLO:
            self.handle_hello(frame)
        elif frame.type == PING:
            self.send_frame(PONG, payload=frame.payload)
        elif frame.type == PONG:
            self.pongs.append(frame.payload)
        elif frame.type == GOAWAY:
            self.goaway = wire.GoAway.FromString(frame.meta)
            for stream, call in list(self.calls.items()):
                if stream > self.goaway.last_stream:
                    call.refused = True
                    call.end(wire.Status(code=Code.UNAVAILABLE, reason="DRAINING", message=self.goaway.message))
        elif frame.type == WINDOW:
            self.handle_window(frame)
        elif frame.type in (HEADERS, DATA, STATUS):
            self.handle_call(frame)
        elif not frame.type & 0x80:
            raise ProtocolError(f"frame type {frame.type}")

    def handle_hello(self, frame):
        if self.peer is not None:
            raise ProtocolError("a second HELLO")
        self.peer = wire.Hello.FromString(frame.meta)
        self.frame_bytes_max = self.peer.frame_bytes_max or self.frame_bytes_max
        self.message_bytes_max = self.peer.message_bytes_max or self.message_bytes_max
        # Section 1: the difference is added to what is left, also of streams that are open.
        change = (self.peer.stream_window_bytes or 262_144) - self.stream_send_window
        self.stream_send_window += change
        for call in self.calls.values():
            call.send_window += change
        self.send_window += (self.peer.connection_window_bytes or 4_194_304) - 4_194_304

    def handle_window(self, frame):
        (credit,) = struct.unpack(">I", frame.payload)
        if not 1 <= credit < 1 << 31:
            raise ProtocolError(f"a WINDOW of {credit}")
        if frame.stream == 0:
            self.send_window += credit
        elif frame.stream in self.calls:
            self.calls[frame.stream].send_window += credit

    def handle_call(self, frame):
        if frame.type == DATA:
            self.receive_window.take(len(frame.payload))
        call = self.calls.get(frame.stream)
        if call is None:
            if frame.stream % 2 == 0 or frame.stream >= self.next_stream:
                raise ProtocolError(f"a frame for stream {frame.stream}, which was never opened")
            if frame.type == DATA:
                self.credit(len(frame.payload))
            return
        call.handle(frame)

    def credit(self, count, call=None):
        """Gives back what was taken: always to the connection, to the call while it is open."""
        credit = self.receive_window.give(count)
        if credit:
            self.send_frame(WINDOW, payload=struct.pack(">I", credit))
        if call is not None and call.status is None:
            credit = call.receive_window.give(count)
            if credit:
                self.send_frame(WINDOW, stream=call.stream, payload=struct.pack(">I", credit))

    # Using

    def wait_for_hello(self):
        self.pump(lambda: self.peer is not None)
        return self

    def ping(self, data=b"8 bytes."):
        """Returns when the PONG is there: all that the server had written before has been read."""
        count = len(self.pongs)
        self.send_frame(PING, payload=data)
        self.pump(lambda: len(self.pongs) > count)
        return self.pongs[-1]

    def call(self, path, message=None, end=True, timeout_s=None, server_timeout_s=None, metadata=(), **fields):
        """Begins a call. `message` goes with the REQUEST when it fits; with `end` nothing follows.

        timeout_s is for both sides, server_timeout_s only told to the server. fields: others of Request.
        """
        told = timeout_s if server_timeout_s is None else server_timeout_s
        request = wire.Request(path=path, timeout_us=int((told or 0) * 1_000_000), **fields)
        for key, value in metadata:
            request.metadata.add(key=key, value=value if isinstance(value, bytes) else value.encode())
        return Call(self, timeout_s).open(request, message, end)

    def close(self):
        self.sock.close()


class Call:
    def __init__(self, connection, timeout_s=None):
        """A call that has its stream; `open` sends the REQUEST."""
        self.connection = connection
        self.deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self.stream = connection.next_stream
        connection.next_stream += 2
        connection.calls[self.stream] = self
        self.send_window = connection.stream_send_window
        self.receive_window = Window(connection.mine.stream_window_bytes or 262_144)
        self.messages = collections.deque()
        self.part = None
        self.headers = None
        self.status = None
        self.refused = False

    def open(self, request, message, end):
        meta = request.SerializeToString()
        if message is None:
            self.connection.send_frame(REQUEST, NO_MESSAGE | (END_STREAM if end else 0), self.stream, meta)
            return self
        data, flag = self.connection.encode(message)
        if len(meta) + len(data) + 4 <= self.connection.frame_bytes_max:
            flags = END_MESSAGE | flag | (END_STREAM if end else 0)
            self.connection.send_frame(REQUEST, flags, self.stream, meta, data)
        else:
            self.connection.send_frame(REQUEST, NO_MESSAGE, self.stream, meta)
            self.send_data(data, flag, end)
        return self

    # Sending

    def send(self, message, end=False):
        """Sends one message, waiting for windows; does nothing more once the call has ended."""
        data, flag = self.connection.encode(message)
        self.send_data(data, flag, end)

    def send_data(self, data, flag, end):
        sent = 0
        while True:
            self.wait(lambda: self.status or not data or self.room() > 0)
            if self.status:
                return
            count = min(len(data) - sent, self.room()) if data else 0
            last = sent + count == len(data)
            flags = flag | (END_MESSAGE | (END_STREAM if end else 0) if last else 0)
            self.connection.send_frame(DATA, flags, self.stream, payload=data[sent : sent + count])
            self.send_window -= count
            self.connection.send_window -= count
            sent += count
            if last:
                return

    def room(self):
        connection = self.connection
        return min(self.send_window, connection.send_window, connection.frame_bytes_max - 4, 32_768)

    def finish(self):
        self.connection.send_frame(DATA, END_STREAM | NO_MESSAGE, self.stream)

    def cancel(self):
        """Ends the call here and tells the server; what still comes of it is dropped."""
        if self.status is None:
            self.connection.send_frame(CANCEL, stream=self.stream)
            self.end(wire.Status(code=Code.CANCELLED, message="cancelled by the caller"))

    # Reading

    def handle(self, frame):
        if frame.type == HEADERS:
            if self.headers is not None or self.messages:
                raise ProtocolError("late or repeated HEADERS")
            self.headers = [(pair.key, pair.value) for pair in wire.Headers.FromString(frame.meta).metadata]
            return
        if frame.flags & NO_MESSAGE:
            if frame.payload:
                raise ProtocolError("NO_MESSAGE with payload")
        else:
            self.receive_part(frame)
        if frame.type == STATUS:
            status = wire.Status.FromString(frame.meta)
            if status.code == 0 and self.part is not None:
                raise ProtocolError("the call ended inside a message")
            self.end(status)

    def receive_part(self, frame):
        counted = len(frame.payload) if frame.type == DATA else 0
        if counted:
            self.receive_window.take(counted)
        self.part = (self.part or b"") + frame.payload
        if not frame.flags & END_MESSAGE:
            self.connection.credit(counted, self)
            return
        message, self.part = self.part, None
        if frame.flags & ZSTD:
            if not self.connection.accepts_zstd:
                raise ProtocolError("a compressed message that is not accepted")
            message = zstandard.ZstdDecompressor().decompress(message)
        self.messages.append((message, counted))

    def end(self, status):
        self.status = status
        self.connection.calls.pop(self.stream, None)
        if status.code:
            while self.messages:
                self.connection.credit(self.messages.popleft()[1])

    def wait(self, until):
        left = None if self.deadline is None else max(0, self.deadline - time.monotonic())
        try:
            self.connection.pump(until, left)
        except Late:
            if self.deadline is None:
                raise
            self.cancel()
            raise failed(Code.DEADLINE_EXCEEDED, "", "no answer within the deadline") from None

    def receive(self):
        """The next message; None after the last. Raises CallFailed."""
        self.wait(lambda: self.messages or self.status)
        if self.messages:
            message, counted = self.messages.popleft()
            self.connection.credit(counted, self)
            return message
        if self.status.code:
            raise CallFailed(self.status)
        return None

    def all(self):
        messages = []
        while (message := self.receive()) is not None:
            messages.append(message)
        return messages

    def result(self):
        """The one message of a call that has one answer."""
        messages = self.all()
        if len(messages) != 1:
            raise ProtocolError(f"{len(messages)} messages instead of one")
        return messages[0]

    @property
    def trailers(self):
        return [(pair.key, pair.value) for pair in self.status.metadata]
