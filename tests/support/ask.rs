// The examples in the crate's documentation include this, so that each of them is run and shows only what it is about.

/// The answer to one request, from a connection without a socket.
fn ask<H: stannel::Handler + 'static>(factory: impl Fn() -> H + Send + Sync + 'static, request: &str) -> String {
    use stannel::connection::{Connection, Engine};
    let mut engine = Engine::new(&stannel::ServerOptions::default(), factory, || ());
    let info = stannel::ConnectionInfo::new(1, stannel::Peer::Unix);
    let mut connection = Connection::new(&engine, info, 0);
    let mut turn = connection.turn(&mut engine, 0);
    turn.on_bytes(request.as_bytes());
    let mut answer = Vec::new();
    turn.copy_output(&mut answer);
    String::from_utf8(answer).expect("the examples answer in text")
}
