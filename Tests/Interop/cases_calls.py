"""Cases of calls: their kinds, metadata, status, deadlines, cancellation, roles."""
import time

import acp_client as acp
from acp_client import Code
from acp.test.v1 import control_pb2 as control
from acp.wire.v1 import wire_pb2 as wire
from support import bytes_of, case, compressible, fails, noise, path, replies, reply, request, unary

# Unary


@case()
def unary_small(server):
    with server.connect() as connection:
        assert unary(connection, payload=b"hello", echo=True).payload == b"hello"
        seen = unary(connection).seen
        assert (seen.messages, seen.payload_bytes, seen.attempt) == (1, 0, 0)


@case()
def unary_empty(server):
    with server.connect() as connection:
        assert connection.call(path("Unary"), b"").result()


@case()
def unary_large(server):
    with server.connect() as connection:
        for size in (60_000, 70_000, 271_828, 4_000_000):
            payload = noise(size)
            assert unary(connection, payload=payload, echo=True).payload == payload
        answer = unary(connection, payload=noise(271_828), replies=replies((1, 314_159, False)))
        assert answer.payload == compressible(314_159)


@case()
def unary_in_every_form(server):
    """Section 3: what counts is the sequence of messages, not the frames."""
    message = request(payload=b"x" * 100, echo=True)
    meta = bytes_of(wire.Request(path=path("Unary")))
    both = acp.END_MESSAGE | acp.END_STREAM
    forms = [
        [(acp.REQUEST, both, message)],
        [(acp.REQUEST, acp.END_MESSAGE, message), (acp.DATA, acp.END_STREAM | acp.NO_MESSAGE, b"")],
        [(acp.REQUEST, acp.NO_MESSAGE, b""), (acp.DATA, both, message)],
        [(acp.REQUEST, acp.NO_MESSAGE, b""), (acp.DATA, 0, message[:9]), (acp.DATA, 0, b""), (acp.DATA, both, message[9:])],
        [(acp.REQUEST, 0, message[:9]), (acp.DATA, both, message[9:])],
        [(acp.REQUEST, 0, message), (acp.DATA, both, b"")],
    ]
    for form in forms:
        with server.connect() as connection:
            call = acp.Call(connection)
            for kind, flags, payload in form:
                connection.send_frame(kind, flags, call.stream, meta if kind == acp.REQUEST else b"", payload)
            assert reply(call.result()).payload == b"x" * 100, form


@case()
def unary_needs_one_message(server):
    with server.connect() as connection:
        fails(Code.INVALID_ARGUMENT, "NO_MESSAGE", lambda: connection.call(path("Unary"), None).result())
        server.works()
        unary(connection)


@case()
def many_calls_at_once(server):
    with server.connect() as connection:
        calls = [connection.call(path("Unary"), request(payload=b"%d" % index, echo=True)) for index in range(300)]
        assert [reply(call.result()).payload for call in calls] == [b"%d" % index for index in range(300)]


# Streams


@case()
def server_streaming(server):
    sizes = [31_415, 9, 2653, 58_979]
    with server.connect() as connection:
        call = connection.call(path("ServerStream"), request(replies=replies(*[(1, size, True) for size in sizes])))
        messages = [reply(message) for message in call.all()]
        assert [len(message.payload) for message in messages] == sizes
        assert [message.sequence for message in messages] == [0, 1, 2, 3]


@case()
def client_streaming(server):
    sizes = [27_182, 8, 1828, 45_904]
    with server.connect() as connection:
        call = connection.call(path("ClientStream"), end=False)
        for size in sizes:
            call.send(request(payload=noise(size)))
        call.finish()
        seen = reply(call.result()).seen
        assert (seen.messages, seen.payload_bytes) == (4, sum(sizes))
        # END_STREAM on the last message.
        call = connection.call(path("ClientStream"), end=False)
        call.send(request())
        call.send(request(), end=True)
        assert reply(call.result()).seen.messages == 2


@case()
def ping_pong(server):
    with server.connect() as connection:
        call = connection.call(path("Bidi"), end=False)
        for sent, wanted in [(27_182, 31_415), (8, 9), (1828, 2653), (45_904, 58_979)]:
            call.send(request(payload=noise(sent), replies=replies((1, wanted, False))))
            assert len(reply(call.receive()).payload) == wanted
        call.finish()
        assert call.receive() is None


@case()
def empty_streams(server):
    with server.connect() as connection:
        assert connection.call(path("Bidi")).all() == []
        assert connection.call(path("ServerStream"), request()).all() == []
        assert reply(connection.call(path("ClientStream")).result()).seen.messages == 0
        call = connection.call(path("ClientStream"), end=False)
        for _ in range(10):
            call.send(b"")
        call.finish()
        assert reply(call.result()).seen.messages == 10, "an empty message is a message"


@case()
def answer_before_the_end_of_the_requests(server):
    with server.connect() as connection:
        for _ in range(5):
            call = connection.call(path("ClientStream"), end=False)
            call.send(request(reading=control.CONTROL_READING_FIRST))
            while call.status is None:
                call.send(request(payload=noise(100_000)))
            assert reply(call.result()).seen.messages == 1
        unary(connection)


# Metadata and status


@case()
def metadata(server):
    pairs = [("x-initial", "test_initial_metadata_value"), ("x-trailing-bin", bytes([10, 11, 0, 255])), ("twice", "1"), ("twice", "2 ~")]
    wanted = [(key, value if isinstance(value, bytes) else value.encode()) for key, value in pairs]
    with server.connect() as connection:
        call = connection.call(path("ServerStream"), request(replies=replies((1, 1, False)), echo_metadata=True), metadata=pairs)
        messages = call.all()
        assert call.headers == wanted
        assert call.trailers == wanted
        assert [(pair.key, pair.value) for pair in reply(messages[0]).seen.metadata] == wanted


@case()
def metadata_at_its_limits(server):
    with server.connect() as connection:
        good = [("a" * 128, ""), ("0-_.", " ~"), ("k-bin", bytes(range(256)))]
        assert len(unary(connection, options={"metadata": good}).seen.metadata) == 3
        for bad in [("", "x"), ("a" * 129, "x"), ("Upper", "x"), ("sp ace", "x"), ("key", "\n"), ("key", "ä")]:
            fails(Code.INVALID_ARGUMENT, "", lambda: unary(connection, options={"metadata": [bad]}))
        assert len(unary(connection, options={"metadata": [("k", "v")] * 64}).seen.metadata) == 64
        fails(Code.RESOURCE_EXHAUSTED, "TOO_LARGE", lambda: unary(connection, options={"metadata": [("k", "v")] * 65}))
        unary(connection, options={"metadata": [("k", "v" * 12_287)]})
        fails(Code.RESOURCE_EXHAUSTED, "TOO_LARGE", lambda: unary(connection, options={"metadata": [("k", "v" * 12_288)]}))


@case()
def status_with_all_its_details(server):
    wanted = control.ControlStatus(
        code=Code.FAILED_PRECONDITION, message="\t\n☺ 😈\r\n", reason="ASKED_FOR", remedy="Do not ask.",
        fields=[control.ControlField(field="a.b", description="was refused")], retry_after_ms=1234)
    trailing = [control.ControlPair(key="why-bin", value=b"\0\xff")]
    with server.connect() as connection:
        call = connection.call(path("Unary"), request(status=wanted, trailing_metadata=trailing))
        status = fails(Code.FAILED_PRECONDITION, "ASKED_FOR", call.result)
        assert (status.message, status.remedy, status.retry_after_ms) == (wanted.message, wanted.remedy, 1234)
        assert [(field.field, field.description) for field in status.fields] == [("a.b", "was refused")]
        assert call.trailers == [("why-bin", b"\0\xff")]
        assert not status.refused


@case()
def every_status_code(server):
    with server.connect() as connection:
        for code in range(1, 17):
            status = control.ControlStatus(code=code, message="m")
            fails(Code(code), "", lambda: unary(connection, status=status))
            fails(Code(code), "", lambda: connection.call(path("ServerStream"), request(status=status)).all())


@case()
def status_texts_are_cut(server):
    fields = [control.ControlField(field=f"f{index}", description="d") for index in range(7)]
    wanted = control.ControlStatus(code=9, message="m" * 2000, remedy="r" * 2000, fields=fields)
    with server.connect() as connection:
        status = fails(Code.FAILED_PRECONDITION, "", lambda: unary(connection, status=wanted))
        assert (len(status.message), len(status.remedy), len(status.fields)) == (1024, 1024, 6)


@case()
def unimplemented(server):
    with server.connect() as connection:
        for target in [path("Unregistered"), path("Unary", "acp.test.v1.UnregisteredControl"), "/", "nonsense", ""]:
            fails(Code.UNIMPLEMENTED, "UNKNOWN_METHOD", lambda: connection.call(target, request()).result())
        unary(connection)


@case()
def context_of_a_call(server):
    fields = dict(
        trace_id=bytes(range(16)), span_id=bytes(range(8)), trace_flags=1, request_id="request-7",
        correlation_id="batch-1", idempotency_key="once", attempt=3)
    with server.connect() as connection:
        seen = unary(connection, options=dict(timeout_s=50, **fields)).seen
        assert seen.trace_id == bytes(range(16)).hex()
        assert (seen.request_id, seen.correlation_id, seen.idempotency_key, seen.attempt) == ("request-7", "batch-1", "once", 3)
        assert 0 < seen.remaining_us <= 50_000_000
        seen = unary(connection).seen
        assert seen.remaining_us == 0 and len(seen.trace_id) == 32 and seen.request_id


@case()
def malformed_messages(server):
    with server.connect() as connection:
        for message in [b"\xff\xff", b"\x0a\x05ab", b"\x0a\x02\xff\xfe", b"\x0a\x02a\0"]:
            fails(Code.INVALID_ARGUMENT, "MALFORMED_MESSAGE", lambda: connection.call(path("Unary"), message).result())
        for meta in [b"\xff\xff", b"\x0a\x02\xff\xfe"]:
            call = acp.Call(connection)
            connection.send_frame(acp.REQUEST, acp.END_MESSAGE | acp.END_STREAM, call.stream, meta)
            fails(Code.INVALID_ARGUMENT, "MALFORMED_MESSAGE", call.result)
        unary(connection)


# Deadlines and cancellation


@case()
def deadline_at_the_server(server):
    with server.connect() as connection:
        began = time.monotonic()
        never = request(name=f"late {server.port}", ending=control.CONTROL_ENDING_WHEN_CANCELLED)
        # Only the server knows of the deadline.
        fails(Code.DEADLINE_EXCEEDED, "", connection.call(path("Unary"), never, server_timeout_s=0.05).result)
        assert time.monotonic() - began >= 0.05, "never early"
        server.progress(f"late {server.port}", was_cancelled=True, has_ended=True)
        call = connection.call(path("ServerStream"), never, server_timeout_s=0.05)
        fails(Code.DEADLINE_EXCEEDED, "", call.all)


@case()
def deadline_at_the_client(server):
    with server.connect() as connection:
        name = f"held {server.port}"
        never = request(name=name, ending=control.CONTROL_ENDING_WHEN_CANCELLED)
        # Only the client knows of the deadline; CANCEL tells the server.
        fails(Code.DEADLINE_EXCEEDED, "", connection.call(path("Unary"), never, timeout_s=0.05, server_timeout_s=0).result)
        server.progress(name, was_cancelled=True, has_ended=True)
        unary(connection)


@case()
def cancel_is_answered_with_cancelled(server):
    with server.connect() as connection:
        name = f"cancelled {server.port}"
        call = connection.call(path("Unary"), request(name=name, ending=control.CONTROL_ENDING_WHEN_CANCELLED))
        server.progress(name, has_started=True)
        connection.send_frame(acp.CANCEL, stream=call.stream)
        fails(Code.CANCELLED, "", call.result)
        server.progress(name, was_cancelled=True, has_ended=True)
        # Of a stream that has ended it is ignored.
        connection.send_frame(acp.CANCEL, stream=call.stream)
        unary(connection)


@case()
def cancel_after_begin_and_after_the_first_answer(server):
    with server.connect() as connection:
        begun = connection.call(path("ClientStream"), end=False)
        begun.send(request(name=f"begun {server.port}"))
        server.progress(f"begun {server.port}", messages_read_min=1)
        begun.cancel()
        server.progress(f"begun {server.port}", was_cancelled=True, has_ended=True)
        call = connection.call(path("Bidi"), end=False)
        call.send(request(name=f"first {server.port}", replies=replies((1, 31_415, False))))
        assert len(reply(call.receive()).payload) == 31_415
        call.cancel()
        fails(Code.CANCELLED, "", call.all)
        server.progress(f"first {server.port}", was_cancelled=True, has_ended=True)
        unary(connection)


# Roles


@case()
def roles(server):
    with server.connect() as connection:
        fails(Code.UNAUTHENTICATED, "NO_CREDENTIALS", lambda: unary(connection, "Viewer"))
        assert unary(connection, "Viewer", {"credential": "viewer"}).seen.principal == "viewer"
        fails(Code.PERMISSION_DENIED, "ROLE_TOO_LOW", lambda: unary(connection, "Admin", {"credential": "viewer"}))
        fails(Code.UNAUTHENTICATED, "UNKNOWN_KEY", lambda: unary(connection, "Viewer", {"credential": "stranger"}))
    with server.connect(hello={"credential": "viewer"}) as connection:
        assert unary(connection, "Viewer").seen.principal == "viewer"
        fails(Code.PERMISSION_DENIED, "ROLE_TOO_LOW", lambda: unary(connection, "Admin"))
        assert unary(connection, "Admin", {"credential": "admin"}).seen.principal == "admin"
