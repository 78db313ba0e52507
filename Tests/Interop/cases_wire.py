"""Cases of the connection: opening, flow control, compression, checksums, liveness, drain, broken peers and limits."""
import time

import acp_client as acp
import zstandard
from acp_client import Code
from acp.test.v1 import control_pb2 as control
from acp.wire.v1 import wire_pb2 as wire
from support import bytes_of, case, ends, fails, noise, path, replies, reply, request, unary, window

silent = {}


@case()
def opening_without_a_byte_begins(server):
    """Looked at by the last case: 5 s are long."""
    silent[server.port] = (server.socket(), time.monotonic())


# Opening


@case("plain")
def the_example_of_section_11(server):
    sent = bytes.fromhex(
        "AC 41 43 50 0D 0A 01 00" "00 00 00 00  00 00  00 00  00 00 00 00" "00 00 00 16  01 03  00 16  00 00 00 01  0A 14"
    ) + b"/acp.v1.Health/Check"
    connection = acp.Connection(server.socket(), opens=False)
    call = acp.Call(connection)
    connection.send_raw(sent)
    assert call.result() == b"\x08\x01", "SERVING"
    assert [frame.type for frame in connection.log] == [acp.HELLO, acp.STATUS]
    assert connection.log[1].flags == acp.END_MESSAGE | acp.END_STREAM and connection.log[1].stream == 1
    connection.close()


@case()
def hello_names_what_the_server_accepts(server):
    with server.connect() as connection:
        hello = connection.peer
        assert (hello.role, hello.instance, hello.minor_min, hello.minor_max) == ("service", "control", 0, 0)
        assert (hello.frame_bytes_max, hello.message_bytes_max, hello.streams_max) == (65_536, 4_194_304, 1024)
        assert (hello.stream_window_bytes, hello.connection_window_bytes) == (262_144, 4_194_304)
        assert hello.features & acp.FEATURE_ZSTD
        assert bool(hello.features & acp.FEATURE_CRC32C) == server.is_wrapped
        assert connection.log[0].type == acp.HELLO and hello.credential == ""


@case("plain")
def opening_byte_by_byte(server):
    connection = acp.Connection(server.socket(), opens=False)
    call = acp.Call(connection)
    meta = bytes_of(wire.Request(path=path("Unary")))
    for byte in acp.PREFACE + acp.pack(acp.HELLO) + acp.pack(acp.REQUEST, 3, 1, meta, request(payload=b"hi", echo=True)):
        connection.send_raw(bytes([byte]))
    assert reply(call.result()).payload == b"hi"
    connection.close()


@case()
def versions(server):
    connection = acp.Connection(server.socket(), opens=False)
    connection.send_raw(acp.PREFACE[:6] + b"\x09\x00")
    goaway = ends(connection, Code.INTERNAL, "major version")
    assert (goaway.major_min, goaway.major_max) == (1, 1)
    ends(acp.Connection(server.socket(), hello={"minor_min": 1, "minor_max": 5}), Code.INTERNAL, "minor")
    with server.connect(hello={"minor_max": 7}) as connection:
        unary(connection)
    # A higher minor version in the preface: the lower of both holds.
    connection = acp.Connection(server.socket(), opens=False)
    connection.send_raw(acp.PREFACE[:7] + b"\x05" + acp.pack(acp.HELLO))
    connection.wait_for_hello()
    unary(connection)


@case()
def what_is_not_acp_gets_a_line(server):
    sock = server.socket()
    sock.sendall(b"\x00\x01hello")
    data = b""
    while more := sock.recv(4096):
        data += more
    assert b"ACP/1" in data and data.endswith(b"\n"), data


@case()
def unknown_features_are_ignored(server):
    with server.connect() as connection:
        unary(connection)
    connection = acp.Connection(server.socket(), opens=False)
    connection.send_raw(acp.PREFACE + acp.pack(acp.HELLO, meta=bytes_of(wire.Hello(features=1 << 63 | 1 << 40))))
    connection.wait_for_hello()
    connection.close()


# Flow control


@case()
def a_reader_that_stops(server):
    """The server stops exactly at the window, goes on when credit comes, and serves others meanwhile."""
    with server.connect(hello={"stream_window_bytes": 50_000}) as connection:
        call = connection.call(path("ServerStream"), request(replies=replies((20, 16_384, True))))
        connection.pump(lambda: call.receive_window.left == 0 and connection.receive_window.left <= 4_194_304 - 50_000)
        assert len(unary(connection, payload=noise(20_000), echo=True).payload) == 20_000
        frames = len([frame for frame in connection.log if frame.type == acp.DATA and frame.stream == call.stream])
        connection.ping()
        connection.ping()
        assert frames == len([frame for frame in connection.log if frame.type == acp.DATA and frame.stream == call.stream])
        assert len(call.all()) == 20


@case()
def a_message_larger_than_the_window(server):
    """Parts of an incomplete message are credited at once."""
    with server.connect(hello={"stream_window_bytes": 10_000, "connection_window_bytes": 30_000}) as connection:
        assert unary(connection, replies=replies((1, 1_000_000, True))).payload
    with server.connect() as connection:
        call = connection.call(path("ClientStream"), end=False)
        call.send(request(payload=noise(3_000_000)), end=True)
        assert reply(call.result()).seen.payload_bytes == 3_000_000


@case()
def the_connection_window_holds_for_all_streams(server):
    with server.connect(hello={"connection_window_bytes": 40_000}) as connection:
        calls = [connection.call(path("ServerStream"), request(replies=replies((4, 16_000, True)))) for _ in range(3)]
        connection.pump(lambda: connection.receive_window.left < 16_000)
        connection.ping()
        assert connection.receive_window.left >= 0
        # The calls together are more than the window: reading them in turn gives it back.
        counts = [0, 0, 0]
        while not all(call.status and not call.messages for call in calls):
            for index, call in enumerate(calls):
                if call.messages:
                    call.receive()
                    counts[index] += 1
            if not any(call.messages for call in calls) and not all(call.status for call in calls):
                connection.pump(lambda: any(call.messages for call in calls) or all(call.status for call in calls))
        assert counts == [4, 4, 4]


@case()
def a_server_that_stops_reading(server):
    """The client stops at the stream's window; what is beyond it ends the connection."""
    with server.connect() as connection:
        call = connection.call(path("ClientStream"), end=False)
        call.send(request(name=f"stops {server.port}", reading=control.CONTROL_READING_STOPS))
        server.progress(f"stops {server.port}", messages_read_min=1)
        connection.ping()
        while call.send_window > 0:
            count = min(call.send_window, 30_000)
            connection.send_frame(acp.DATA, acp.END_MESSAGE, call.stream, payload=noise(count))
            call.send_window -= count
        connection.ping()
        assert call.send_window == 0, "nothing is credited that the handler has not taken"
        connection.send_frame(acp.DATA, acp.END_MESSAGE, call.stream, payload=b"x")
        ends(connection, Code.INTERNAL, "window")
    server.progress(f"stops {server.port}", was_cancelled=True, has_ended=True)


@case()
def credit_of_a_call_that_has_ended(server):
    """DATA that comes for it is given back to the connection."""
    with server.connect(hello={"connection_window_bytes": 60_000}) as connection:
        for _ in range(10):
            call = connection.call(path("ServerStream"), request(replies=replies((10, 16_000, True))))
            call.receive()
            call.cancel()
        unary(connection, replies=replies((1, 100_000, True)))


@case("plain")
def windows_that_hello_makes_smaller(server):
    """Calls may be made before the HELLO of the other side was read."""
    connection = acp.Connection(server.socket(), hello={"stream_window_bytes": 5000})
    call = connection.call(path("ServerStream"), request(replies=replies((3, 4000, True))))
    assert len(call.all()) == 3
    connection.close()


# Compression and checksums


def compressed_frames(connection, call):
    return [frame for frame in connection.log if frame.stream == call.stream and frame.flags & acp.ZSTD]


@case("wrapped")
def the_server_compresses_for_who_accepts_it(server):
    payloads = [
        (b"a" * 2000, True), (noise(60_000) + bytes(60_000), True), (noise(100_000), False), (b"a" * 900, False),
        # Shrinks more than 200-fold: a receiver would take it for a bomb.
        (b"a" * 100_000, False),
    ]
    with server.connect(accepts_zstd=True, compresses=False) as connection:
        for payload, expected in payloads:
            call = connection.call(path("Unary"), request(payload=payload, echo=True))
            assert reply(call.result()).payload == payload
            assert bool(compressed_frames(connection, call)) == expected, len(payload)
    with server.connect(accepts_zstd=False) as connection:
        call = connection.call(path("Unary"), request(payload=b"a" * 2000, echo=True))
        assert len(reply(call.result()).payload) == 2000 and not compressed_frames(connection, call)


@case()
def the_client_compresses(server):
    with server.connect(compresses=True) as connection:
        for payload in (b"b" * 1024, noise(50_000) + bytes(50_000), noise(2_000_000) + bytes(2_000_000), bytes(2_000_000)):
            assert unary(connection, payload=payload).seen.payload_bytes == len(payload)
        call = connection.call(path("ClientStream"), end=False)
        for _ in range(3):
            call.send(request(payload=b"c" * 3000))
        call.finish()
        assert reply(call.result()).seen.payload_bytes == 9000


@case()
def compression_that_is_broken(server):
    flags = acp.END_MESSAGE | acp.END_STREAM | acp.ZSTD
    meta = bytes_of(wire.Request(path=path("Unary")))
    plain = request(payload=bytes(1 << 20))
    compressor = zstandard.ZstdCompressor(write_content_size=True)
    sizeless = zstandard.ZstdCompressor(write_content_size=False).compress(b"x" * 2000)
    two = compressor.compress(request(payload=noise(10))) * 2
    with server.connect() as connection:
        for data, code, reason in [
            (b"not zstd", Code.INVALID_ARGUMENT, "BAD_COMPRESSION"), (sizeless, Code.INVALID_ARGUMENT, "BAD_COMPRESSION"),
            (two, Code.INVALID_ARGUMENT, "BAD_COMPRESSION"), (b"", Code.INVALID_ARGUMENT, "BAD_COMPRESSION"),
            (compressor.compress(plain), Code.RESOURCE_EXHAUSTED, "TOO_LARGE"),
            (compressor.compress(noise(60_000) + bytes(4_200_000)), Code.RESOURCE_EXHAUSTED, "TOO_LARGE"),
        ]:
            call = acp.Call(connection)
            connection.send_frame(acp.REQUEST, flags if len(data) < 60_000 else acp.NO_MESSAGE, call.stream, meta, data if len(data) < 60_000 else b"")
            if len(data) >= 60_000:
                call.send_data(data, acp.ZSTD, True)
            fails(code, reason, call.result)
        unary(connection)
        call = connection.call(path("ClientStream"), end=False)
        connection.send_frame(acp.DATA, acp.ZSTD, call.stream, payload=b"1")
        connection.send_frame(acp.DATA, acp.END_MESSAGE, call.stream, payload=b"2")
        ends(connection, Code.INTERNAL, "compressed")


@case()
def checksums_for_who_asks(server):
    for asks in (True, False):
        with server.connect(wants_checksums=asks) as connection:
            assert unary(connection, payload=noise(300_000), echo=True).payload == noise(300_000)
            connection.ping()
            assert connection.checksums_come == asks


@case("wrapped")
def damage_is_found(server):
    for frames in [
        acp.pack(acp.PING, payload=b"8 bytes.", checksum=True, checksum_error=1),
        # After one with a checksum each must have one.
        acp.pack(acp.PING, payload=b"8 bytes.", checksum=True) + acp.pack(acp.PING, payload=b"8 bytes."),
    ]:
        with server.connect() as connection:
            connection.send_raw(frames)
            ends(connection, Code.DATA_LOSS, "checksum")
    server.works()


@case("plain")
def a_checksum_that_was_not_asked_for(server):
    with server.connect() as connection:
        connection.send_raw(acp.pack(acp.PING, payload=b"8 bytes.", checksum=True))
        ends(connection, Code.INTERNAL, "checksum")


# Liveness


@case()
def ping_is_answered_with_its_bytes(server):
    with server.connect() as connection:
        for data in (b"\0" * 8, b"12345678", b"\xff" * 8):
            assert connection.ping(data) == data


@case()
def frames_that_may_be_ignored(server):
    with server.connect() as connection:
        for kind in (0x80, 0x81, 0xFF):
            connection.send_frame(kind, 0, 8, b"meta", b"payload")
        connection.send_frame(acp.WINDOW, stream=99, payload=b"\0\0\0\1")
        connection.ping()
        unary(connection)


# Broken peers


def broken():
    meta = bytes_of(wire.Request(path=path("ClientStream")))
    open_call = acp.pack(acp.REQUEST, acp.NO_MESSAGE, 1, meta)
    return [
        ("a second HELLO", acp.pack(acp.HELLO), "HELLO"),
        ("an unknown type", acp.pack(0x0A), "type"),
        ("unknown flags", acp.pack(acp.PING, 32, payload=b"8 bytes."), "flags"),
        ("a frame beyond the limit", acp.pack(acp.DATA, 0, 1, payload=bytes(65_537)), "larger"),
        ("meta beyond its frame", b"\0\0\0\1\1\0\0\2\0\0\0\1\0", "meta"),
        ("meta beyond the limit", acp.pack(acp.REQUEST, 16, 1, meta=bytes(16_385)), "meta"),
        ("an even stream", acp.pack(acp.REQUEST, 3, 2, meta), "even"),
        ("stream 0", acp.pack(acp.REQUEST, 3, 0, meta), "stream"),
        ("a falling stream", acp.pack(acp.REQUEST, 3, 5, meta) + acp.pack(acp.REQUEST, 3, 3, meta), "above"),
        ("a stream used twice", open_call + open_call, "above"),
        ("DATA on no stream", acp.pack(acp.DATA, 1, 9, payload=b"x"), "never opened"),
        ("CANCEL on no stream", acp.pack(acp.CANCEL, 0, 9), "never opened"),
        ("a message after END_STREAM", open_call + acp.pack(acp.DATA, 3, 1) + acp.pack(acp.DATA, 1, 1, payload=b"x"), "end"),
        ("the end inside a message", open_call + acp.pack(acp.DATA, 0, 1, payload=b"x") + acp.pack(acp.DATA, 18, 1), "inside"),
        ("payload with NO_MESSAGE", open_call + acp.pack(acp.DATA, 16, 1, payload=b"x"), "no message"),
        ("a short PING", acp.pack(acp.PING, payload=b"short"), "PING"),
        ("a WINDOW of nothing", window(0), ""),
        ("a WINDOW that overflows", window(0x7FFFFFFF), ""),
        ("HEADERS of a client", acp.pack(acp.HEADERS, 0, 1), ""),
        ("STATUS of a client", open_call + acp.pack(acp.STATUS, 18, 1), ""),
    ]


@case()
def protocol_errors_end_the_connection_with_a_reason(server):
    with server.connect() as other:
        for name, sent, word in broken():
            with server.connect(compresses=False) as connection:
                # Calls that are opened by hand may be answered before the end.
                connection.next_stream = 99
                connection.send_raw(sent)
                try:
                    ends(connection, Code.INTERNAL, word)
                except AssertionError as error:
                    raise AssertionError(f"{name}: {error}") from None
        unary(other)


@case()
def errors_before_hello(server):
    for sent in (acp.pack(acp.PING, payload=b"8 bytes."), acp.pack(acp.HELLO, meta=b"\xff\xff"), acp.pack(acp.HELLO, stream=1)):
        connection = acp.Connection(server.socket(), opens=False)
        connection.send_raw(acp.PREFACE + sent)
        ends(connection, Code.INTERNAL)


@case()
def hello_at_its_limit(server):
    for size, is_good in ((4096, True), (4097, False)):
        build = wire.Hello(build="b" * (size - 3))
        assert len(bytes_of(build)) == size
        connection = acp.Connection(server.socket(), hello={}, opens=False)
        connection.send_raw(acp.PREFACE + acp.pack(acp.HELLO, meta=bytes_of(build)))
        if is_good:
            connection.wait_for_hello()
            unary(connection)
        else:
            ends(connection, Code.INTERNAL, "HELLO")
        connection.close()


@case()
def floods(server):
    meta = bytes_of(wire.Request(path=path("ClientStream")))
    open_call = (acp.REQUEST, acp.NO_MESSAGE, 1, meta)
    for name, frame, count in [
        ("PING", (acp.PING, 0, 0, b"", b"8 bytes."), 100), ("CANCEL", (acp.CANCEL, 0, 1), 1002),
        ("WINDOW", (acp.WINDOW, 0, 0, b"", b"\0\0\0\1"), 2000), ("empty DATA", (acp.DATA, 0, 1), 1000), ("ignorable", (0xAA,), 1000),
    ]:
        with server.connect() as connection:
            # The call that is opened by hand.
            connection.next_stream = 3
            connection.send_raw(connection.pack(*open_call) + connection.pack(*frame) * count)
            # As many as are allowed do no harm; one more is one too many. A PING would itself be one. Of the CANCELs one ends the call, and
            # one more than 1,000 may come late, for one call was opened.
            if name != "PING":
                connection.ping()
            connection.send_frame(*frame)
            ends(connection, Code.RESOURCE_EXHAUSTED, name)
    server.works()


# Limits


@case()
def frames_at_their_limit(server):
    with server.connect(compresses=False) as connection:
        overhead = 4 if connection.sends_checksums else 0
        call = connection.call(path("ClientStream"), end=False)
        payload = request(payload=noise(65_536 - overhead - 4))
        assert len(payload) == 65_536 - overhead
        connection.send_frame(acp.DATA, acp.END_MESSAGE | acp.END_STREAM, call.stream, payload=payload)
        assert reply(call.result()).seen.messages == 1


@case()
def messages_at_their_limit(server):
    with server.connect(compresses=False) as connection:
        overhead = 5
        fine = request(payload=noise(4_194_304 - overhead))
        assert len(fine) == 4_194_304
        assert reply(connection.call(path("Unary"), fine).result()).seen.messages == 1
        fails(Code.RESOURCE_EXHAUSTED, "TOO_LARGE", connection.call(path("Unary"), fine + b"\0").result)
        unary(connection)


@case()
def more_calls_than_streams_max(server):
    with server.connect() as connection:
        held = [
            connection.call(path("Unary"), request(name=f"many {server.port}", ending=control.CONTROL_ENDING_ON_SIGNAL))
            for _ in range(1024)
        ]
        status = fails(Code.UNAVAILABLE, "TOO_MANY_STREAMS", connection.call(path("Unary"), request()).result)
        assert status.refused and status.retry_after_ms == 100
        server.signal(f"many {server.port}")
        for call in held:
            call.result()
        unary(connection)


# The end


@case()
def a_client_that_drains(server):
    with server.connect() as connection:
        name = f"draining {server.port}"
        call = connection.call(path("Unary"), request(name=name, ending=control.CONTROL_ENDING_ON_SIGNAL))
        server.progress(name, has_started=True)
        connection.send_frame(acp.GOAWAY)
        connection.ping()
        server.signal(name)
        call.result()


@case()
def opening_without_a_byte_ends(server):
    sock, began = silent.pop(server.port)
    sock.settimeout(10)
    while sock.recv(4096):
        pass
    assert 4 < time.monotonic() - began < 30
    sock.close()


@case()
def drain(server):
    """The last case: the server takes no calls afterwards."""
    with server.connect() as connection, server.connect() as other, server.connect() as unused:
        call = connection.call(path("Bidi"), end=False)
        call.send(request(payload=b"before", echo=True))
        assert reply(call.receive()).payload == b"before"
        other.call(path("Drain"), b"").result()
        # Two steps: the first asks for no more calls, the second names the last one that arrived.
        connection.pump(lambda: connection.goaway)
        assert (connection.goaway.code, connection.goaway.last_stream) == (Code.OK, 0xFFFFFFFF)
        connection.pump(lambda: connection.goaway.last_stream != 0xFFFFFFFF)
        assert (connection.goaway.code, connection.goaway.last_stream) == (Code.OK, call.stream)
        # Who has no call in flight is closed at once.
        ends(unused, Code.OK)
        assert fails(Code.UNAVAILABLE, "DRAINING", connection.call(path("Unary"), request()).result).refused
        call.send(request(payload=b"after", echo=True))
        assert reply(call.receive()).payload == b"after"
        call.finish()
        assert call.receive() is None
        ends(connection, Code.OK)
