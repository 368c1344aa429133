"""Python's ssl and http.client against a server of the test. Fails by an exception, which says what was expected."""

import http.client
import json
import socket
import ssl
import sys

FOLDER, HOST, PORT = sys.argv[1], sys.argv[2], int(sys.argv[3])
GET = b"GET /tls HTTP/1.1\r\nHost: h\r\n\r\n"
LAST = b"GET /n/last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


def context(version, client=None):
    made = ssl.create_default_context(cafile=f"{FOLDER}/servers.pem")
    made.minimum_version = made.maximum_version = version
    if client:
        made.load_cert_chain(f"{FOLDER}/{client}.pem", f"{FOLDER}/{client}.key")
    return made


def connect(made, name="site.test", session=None):
    return made.wrap_socket(
        socket.create_connection((HOST, PORT), timeout=60), server_hostname=name, session=session
    )


def read_all(stream):
    """Up to the announced end; anything else raises."""
    stream.suppress_ragged_eofs = False
    pieces = []
    while piece := stream.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def check(found, expected):
    assert found == expected, f"{found!r} instead of {expected!r}"


def refused(action, *reasons):
    try:
        action()
    except ssl.SSLError as error:
        assert error.reason in reasons, f"{error.reason} instead of {reasons}"
    else:
        raise AssertionError(f"no error instead of {reasons}")


def http_client(version):
    connection = http.client.HTTPSConnection("site.test", PORT, context=context(version))
    connection._create_connection = lambda *_: socket.create_connection((HOST, PORT), timeout=60)
    body = bytes(range(256)) * 4096
    for size in (0, 1, 16384, 16385, len(body)):
        connection.request("POST", "/echo", body[:size])
        check(connection.getresponse().read(), body[:size])
    local = connection.sock.getsockname()
    # Chunked, and in the smallest pieces.
    connection.request("POST", "/count", (b"x" for _ in range(1000)), encode_chunked=True)
    check(connection.getresponse().read(), b"1000")
    check(connection.sock.getsockname(), local)
    connection.close()


def client_certificates(version):
    with connect(context(version, "client"), "asks.test") as stream:
        stream.sendall(GET)
        assert b" asks.test CN=client" in stream.recv(65536)

    def ask(client):
        with connect(context(version, client), "asks.test") as stream:
            stream.sendall(GET)
            stream.recv(65536)

    refused(lambda: ask("stranger"), "TLSV1_ALERT_UNKNOWN_CA")
    refused(lambda: ask(None), "TLSV13_ALERT_CERTIFICATE_REQUIRED")


def orderly_ends(version):
    # The client's end is answered by the server's, and what is below TLS lives on until then.
    stream = connect(context(version))
    stream.sendall(GET)
    assert stream.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
    plain = stream.unwrap()
    check(plain.recv(1), b"")
    plain.close()
    # The server's end is announced.
    stream = connect(context(version))
    stream.sendall(LAST)
    assert b"/n/last" in read_all(stream)
    stream.close()


def half_closed(version):
    """Requests, the client's end right behind them, and then the answers."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    stream = context(version).wrap_bio(incoming, outgoing, server_hostname="site.test")
    with socket.create_connection((HOST, PORT), timeout=60) as plain:

        def until_done(action):
            while True:
                try:
                    return action()
                except ssl.SSLWantReadError:
                    if sent := outgoing.read():
                        plain.sendall(sent)
                    piece = plain.recv(65536)
                    incoming.write(piece) if piece else incoming.write_eof()

        until_done(stream.do_handshake)
        stream.write(GET + b"GET /bytes/300000 HTTP/1.1\r\nHost: h\r\n\r\n")
        try:
            stream.unwrap()
        except ssl.SSLWantReadError:
            pass
        plain.sendall(outgoing.read())
        plain.shutdown(socket.SHUT_WR)
        answer = b""
        while True:
            try:
                piece = until_done(lambda: stream.read(65536))
            except ssl.SSLZeroReturnError:
                break
            if not piece:
                break
            answer += piece
        check(answer.count(b"HTTP/1.1 200 OK\r\n"), 2)
        assert answer.endswith(b"x" * 300000)


def a_record_that_is_too_long(version):
    stream = connect(context(version))
    plain = socket.socket(fileno=socket.dup(stream.fileno()))
    plain.sendall(b"\x17\x03\x03" + (17 * 1024).to_bytes(2, "big") + b"x" * 17 * 1024)
    refused(lambda: stream.recv(1), "SSLV3_ALERT_BAD_RECORD_MAC", "TLSV1_ALERT_RECORD_OVERFLOW")
    plain.close()
    stream.close()


def sessions(version):
    made = context(version)
    first = connect(made)
    first.sendall(GET)
    first.recv(65536)
    check(first.session_reused, False)
    second = connect(made, session=first.session)
    second.sendall(LAST)
    assert b"/n/last" in read_all(second)
    check(second.session_reused, True)
    first.close()
    second.close()


done = []
for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    for part in (
        http_client,
        client_certificates,
        orderly_ends,
        half_closed,
        a_record_that_is_too_long,
        sessions,
    ):
        part(version)
        done.append(part.__name__)
print(json.dumps(done))
