//! actix-web as a peer: one worker beside its thread that accepts, without the features of the framework that are not
//! asked for, over rustls where TLS is.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, MessageBody, SizedStream};
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, SERVER};
use actix_web::http::{KeepAlive, StatusCode};
use actix_web::rt::System;
use actix_web::web::{self, Bytes, Payload};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use compare::{Scheme, ServerOptions, tls};
use futures_core::Stream;

fn main() -> io::Result<()> {
    let options = ServerOptions::from_args().map_err(io::Error::other)?;
    System::new().block_on(serve(&options))
}

async fn serve(options: &ServerOptions) -> io::Result<()> {
    let server = HttpServer::new(|| {
        App::new()
            .route("/plaintext", web::get().to(plaintext))
            .route("/json", web::get().to(json))
            .route("/pipeline", web::get().to(pipeline))
            .route("/baseline11", web::get().to(sum))
            .route("/baseline11", web::post().to(sum_with_body))
            .route("/upload", web::post().to(upload))
            .route("/echo", web::route().to(echo))
            .route("/bytes/{length}", web::get().to(bytes))
    })
    .workers(1)
    .keep_alive(KeepAlive::Timeout(KEEP_ALIVE))
    .shutdown_timeout(1);
    let listener = options.listen()?;
    let server = match options.scheme {
        Scheme::Http => server.listen(listener)?,
        Scheme::Https => {
            let config = tls::server_config().map_err(io::Error::other)?;
            server.listen_rustls_0_23(listener, (*config).clone())?
        }
    };
    server.run().await
}

async fn plaintext() -> HttpResponse<Bytes> {
    whole(TEXT, Bytes::from_static(b"Hello, World!"))
}

async fn json() -> HttpResponse<Bytes> {
    whole(JSON, Bytes::from_static(b"{\"message\":\"Hello, World!\"}"))
}

async fn pipeline() -> HttpResponse<Bytes> {
    whole(TEXT, Bytes::from_static(b"ok"))
}

async fn sum(request: HttpRequest) -> HttpResponse<Bytes> {
    whole(TEXT, Bytes::from(sum_of_query(&request).to_string()))
}

async fn sum_with_body(request: HttpRequest, body: Bytes) -> HttpResponse<Bytes> {
    let in_body: i64 = std::str::from_utf8(&body).map_or(0, |text| text.trim().parse().unwrap_or(0));
    whole(TEXT, Bytes::from((sum_of_query(&request) + in_body).to_string()))
}

fn sum_of_query(request: &HttpRequest) -> i64 {
    let pairs = request.query_string().split('&');
    pairs
        .filter_map(|pair| pair.split_once('=')?.1.parse::<i64>().ok())
        .sum()
}

async fn upload(mut body: Payload) -> actix_web::Result<HttpResponse<Bytes>> {
    let mut count = 0;
    while let Some(piece) = next(&mut body).await {
        count += piece?.len();
    }
    Ok(whole(TEXT, Bytes::from(count.to_string())))
}

async fn next(body: &mut Payload) -> Option<Result<Bytes, PayloadError>> {
    poll_fn(|context| Pin::new(&mut *body).poll_next(context)).await
}

async fn echo(request: HttpRequest, body: Payload) -> HttpResponse {
    let length = request.headers().get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    with_fields(
        TEXT,
        HttpResponse::with_body(StatusCode::OK, SizedStream::new(length.unwrap_or(0), body)),
    )
    .map_into_boxed_body()
}

async fn bytes(length: web::Path<u64>) -> HttpResponse<Repeated> {
    with_fields(
        BINARY,
        HttpResponse::with_body(StatusCode::OK, Repeated { left: *length }),
    )
}

fn whole(content_type: HeaderValue, body: Bytes) -> HttpResponse<Bytes> {
    with_fields(content_type, HttpResponse::with_body(StatusCode::OK, body))
}

fn with_fields<B>(content_type: HeaderValue, mut response: HttpResponse<B>) -> HttpResponse<B> {
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response.headers_mut().insert(SERVER, NAME);
    response
}

/// A body of a declared length, handed over in pieces that are never copied on this side.
struct Repeated {
    left: u64,
}

impl MessageBody for Repeated {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.left)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let length = self.left.min(PIECE.len() as u64);
        self.left -= length;
        Poll::Ready(Some(Ok(Bytes::from_static(&PIECE[..length as usize]))))
    }
}

static PIECE: [u8; 64 << 10] = [b'x'; 64 << 10];
const TEXT: HeaderValue = HeaderValue::from_static("text/plain");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const BINARY: HeaderValue = HeaderValue::from_static("application/octet-stream");
const NAME: HeaderValue = HeaderValue::from_static("actix");
/// As long as stannel's: idle connections of a run are to outlive it.
const KEEP_ALIVE: Duration = Duration::from_secs(130);
