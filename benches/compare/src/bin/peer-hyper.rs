//! hyper as a peer: its HTTP/1 connection on a current-thread tokio runtime, over tokio-rustls where TLS is asked for,
//! without a framework, answering what stannel's benchmark server and the first profiles of its arena entry answer.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use compare::{Scheme, ServerOptions, tls};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue, SERVER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = ServerOptions::from_args()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(serve(&options))
}

async fn serve(options: &ServerOptions) -> Result<(), Box<dyn std::error::Error>> {
    let acceptor = match options.scheme {
        Scheme::Http => None,
        Scheme::Https => Some(TlsAcceptor::from(tls::server_config()?)),
    };
    let listener = tokio::net::TcpListener::from_std(options.listen()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        // Two kinds of task: one that could be either would have the size of the larger.
        match acceptor.clone() {
            None => tokio::spawn(connection(stream)),
            Some(acceptor) => tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    connection(stream).await;
                }
            }),
        };
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut builder = http1::Builder::new();
    builder.pipeline_flush(true);
    // A client that leaves is no news here; the load generator counts what it did not get.
    let _ = builder.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}

type Answer = Either<Full<Bytes>, Either<Incoming, Repeated>>;

async fn answer(request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET, "/plaintext") => whole(TEXT, Bytes::from_static(b"Hello, World!")),
        (&Method::GET, "/json") => whole(JSON, Bytes::from_static(b"{\"message\":\"Hello, World!\"}")),
        (&Method::GET, "/pipeline") => whole(TEXT, Bytes::from_static(b"ok")),
        (&Method::GET | &Method::POST, "/baseline11") => sum(request).await,
        (&Method::POST, "/upload") => upload(request.into_body()).await,
        (_, "/echo") => with_body(TEXT, Either::Right(Either::Left(request.into_body()))),
        (&Method::GET, path) if path.starts_with("/bytes/") => match path["/bytes/".len()..].parse() {
            Ok(length) => with_body(BINARY, Either::Right(Either::Right(Repeated { left: length }))),
            Err(_) => not_found(),
        },
        (&Method::GET, path) if path.starts_with("/memory/") => {
            match path["/memory/".len()..].parse().ok().and_then(memory) {
                Some(bytes) => whole(BINARY, bytes),
                None => not_found(),
            }
        }
        _ => not_found(),
    })
}

/// So many bytes that lie in memory, made when they are first asked for.
fn memory(count: usize) -> Option<Bytes> {
    thread_local! {
        static MEMORY: RefCell<Bytes> = const { RefCell::new(Bytes::new()) };
    }
    if count > MOST_MEMORY {
        return None;
    }
    Some(MEMORY.with_borrow_mut(|memory| {
        if memory.len() < count {
            *memory = Bytes::from(vec![b'x'; count]);
        }
        memory.slice(..count)
    }))
}

async fn upload(mut body: Incoming) -> Response<Answer> {
    let mut count = 0;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => count += frame.data_ref().map_or(0, Bytes::len),
            Err(_) => break,
        }
    }
    whole(TEXT, Bytes::from(count.to_string()))
}

async fn sum(request: Request<Incoming>) -> Response<Answer> {
    let mut sum: i64 = request
        .uri()
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('=')?.1.parse::<i64>().ok())
        .sum();
    if request.method() == Method::POST
        && let Ok(body) = request.into_body().collect().await
    {
        let body = body.to_bytes();
        sum += std::str::from_utf8(&body).map_or(0, |text| text.trim().parse().unwrap_or(0));
    }
    whole(TEXT, Bytes::from(sum.to_string()))
}

fn whole(content_type: HeaderValue, body: Bytes) -> Response<Answer> {
    with_body(content_type, Either::Left(Full::new(body)))
}

fn with_body(content_type: HeaderValue, body: Answer) -> Response<Answer> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response.headers_mut().insert(SERVER, NAME);
    response
}

fn not_found() -> Response<Answer> {
    let mut response = whole(TEXT, Bytes::new());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

/// A body of a declared length, handed over in pieces that are never copied on this side: hyper at its best.
struct Repeated {
    left: u64,
}

impl Body for Repeated {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let length = self.left.min(PIECE.len() as u64);
        self.left -= length;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&PIECE[..length as usize])))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

const MOST_MEMORY: usize = 1 << 30;
static PIECE: [u8; 64 << 10] = [b'x'; 64 << 10];
const TEXT: HeaderValue = HeaderValue::from_static("text/plain");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const BINARY: HeaderValue = HeaderValue::from_static("application/octet-stream");
const NAME: HeaderValue = HeaderValue::from_static("hyper");
