//! The arena's WebSocket.

use crate::client::{self, Client};
use crate::site::Arena;
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;
use tungstenite::error::Error;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::frame::{Frame, FrameHeader};
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

/// The key of RFC 6455 §1.3 and what has to be said to it.
const OFFER: &str = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const ACCEPTED: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn open(arena: &Arena) -> WebSocket<TcpStream> {
    let mut client = arena.client();
    client.send(OFFER);
    let response = client.response();
    assert_eq!(response.status, 101, "{}", response.head);
    assert_eq!(crate::field(&response, "sec-websocket-accept"), Some(ACCEPTED));
    assert_eq!(crate::field(&response, "upgrade"), Some("websocket"));
    let config = WebSocketConfig::default().accept_unmasked_frames(true);
    WebSocket::from_raw_socket(client.stream().try_clone().unwrap(), Role::Client, Some(config))
}

#[track_caller]
fn expect_echo(socket: &mut WebSocket<TcpStream>, message: Message) {
    socket.send(message.clone()).unwrap();
    assert!(socket.read().unwrap() == message);
}

#[test]
fn messages_come_back() {
    let arena = Arena::start();
    let mut socket = open(&arena);
    for length in [0, 1, 5, 125, 126, 127, 1_000, 65_535, 65_536, 300_000] {
        expect_echo(&mut socket, Message::text("x".repeat(length)));
        expect_echo(
            &mut socket,
            Message::binary((0..length).map(|n| n as u8).collect::<Vec<_>>()),
        );
    }
    expect_echo(&mut socket, Message::text("käfer"));
    // Many at once.
    for n in 0..200 {
        socket.write(Message::text(n.to_string())).unwrap();
    }
    socket.flush().unwrap();
    for n in 0..200 {
        assert_eq!(socket.read().unwrap(), Message::text(n.to_string()));
    }
    // In parts, with a ping between them.
    let part =
        |text: &'static str, opcode, is_final| Message::Frame(Frame::message(text, OpCode::Data(opcode), is_final));
    socket.send(part("one ", Data::Text, false)).unwrap();
    socket.send(Message::Ping("are you there?".into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong("are you there?".into()));
    socket.send(part("and two", Data::Continue, true)).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text("one and two"));
    arena.stop();
}

#[test]
fn a_close_frame_is_answered() {
    let arena = Arena::start();
    let reason = Some(CloseFrame {
        code: CloseCode::Normal,
        reason: "enough".into(),
    });
    for reason in [reason, None] {
        let mut socket = open(&arena);
        expect_echo(&mut socket, Message::text("hello"));
        socket.close(reason.clone()).unwrap();
        assert_eq!(socket.read().unwrap(), Message::Close(reason));
        assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
    }
    // One that leaves without a word is no trouble.
    open(&arena).get_ref().shutdown(Shutdown::Both).unwrap();
    arena.stop();
}

/// Frames in pieces with the arena's pauses, the first one right behind the head.
#[test]
fn frames_in_pieces() {
    let arena = Arena::start();
    let mut frame = Vec::new();
    let header = FrameHeader {
        opcode: OpCode::Data(Data::Text),
        mask: Some([0; 4]),
        ..FrameHeader::default()
    };
    header.format(5, &mut frame).unwrap();
    frame.extend(b"Hello");
    let mut client = arena.client();
    client.send([OFFER.as_bytes(), &frame].concat());
    assert_eq!(client.response().status, 101);
    assert_eq!(client.bytes(7), b"\x81\x05Hello");
    for byte in &frame {
        client.send([*byte]);
        thread::sleep(Duration::from_millis(30));
    }
    assert_eq!(client.bytes(7), b"\x81\x05Hello");
    arena.stop();
}

#[test]
fn whoever_breaks_the_rules_hears_why() {
    let arena = Arena::start();
    let cases: &[(&[u8], CloseCode)] = &[
        // Without a mask; a reserved bit; a frame that nobody knows; no UTF-8; a part without a beginning; 2 MiB.
        (b"\x81\x01x", CloseCode::Protocol),
        (b"\xc1\x81\0\0\0\0x", CloseCode::Protocol),
        (b"\x83\x81\0\0\0\0x", CloseCode::Protocol),
        (b"\x81\x81\0\0\0\0\xff", CloseCode::Invalid),
        (b"\x80\x81\0\0\0\0x", CloseCode::Protocol),
        (b"\x82\xff\0\0\0\0\0\x20\0\0\0\0\0\0", CloseCode::Size),
    ];
    for (bytes, code) in cases {
        let mut client = arena.client();
        client.send(OFFER);
        assert_eq!(client.response().status, 101);
        client.send(bytes);
        let code = u16::from(*code).to_be_bytes();
        assert_eq!(client.bytes(4), [0x88, 2, code[0], code[1]], "{bytes:?}");
        client.expect_end();
    }
    arena.stop();
}

#[test]
fn what_is_no_offer_is_refused() {
    let arena = Arena::start();
    let without = |line: &str| {
        assert!(OFFER.contains(line));
        OFFER.replace(line, "")
    };
    let cases = [
        (client::get("/ws"), 426),
        (without("Upgrade: WebSocket\r\n"), 426),
        (without("Connection: keep-alive, Upgrade\r\n"), 426),
        (OFFER.replace("WebSocket\r\n", "h2c\r\n"), 400),
        (without("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), 400),
        (OFFER.replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ=="), 400),
        (without("Sec-WebSocket-Version: 13\r\n"), 400),
        (OFFER.replace("Version: 13", "Version: 8"), 400),
        (OFFER.replace("GET", "POST"), 405),
    ];
    for (request, status) in cases {
        let mut client: Client = arena.client();
        client.send(&request);
        let response = client.response();
        assert_eq!(response.status, status, "{request}");
        if status == 426 {
            assert_eq!(crate::field(&response, "upgrade"), Some("websocket"));
        }
        // The connection speaks HTTP as before.
        assert_eq!(client.get("/pipeline").text(), "ok");
    }
    arena.stop();
}

#[test]
fn a_server_that_stops_says_so() {
    let arena = Arena::start();
    let mut socket = open(&arena);
    expect_echo(&mut socket, Message::text("hello"));
    let asker = thread::spawn(move || arena.stop());
    let Message::Close(Some(frame)) = socket.read().unwrap() else {
        panic!("a close frame was owed");
    };
    assert_eq!(frame.code, CloseCode::Away);
    // What is read now sends the answer, and then there is the end.
    assert!(socket.read().is_err());
    asker.join().unwrap();
}
