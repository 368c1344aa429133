//! The page of a server that was given nothing to serve.

use super::{is_read, refuse, refuse_method};
use crate::handler::{Exchange, Handler, Outcome, Request};
use http::StatusCode;
use http::header::CONTENT_TYPE;

/// Says at `/` that the server works and what to do next; every other path is 404.
///
/// The `stannel` command serves it when it is given no folder.
///
/// ```
/// use stannel::ServerOptions;
/// use stannel::connection::Engine;
/// use stannel::middleware::WelcomePage;
///
/// let engine = Engine::new(&ServerOptions::default(), || WelcomePage, || ());
/// # let _ = engine;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WelcomePage;

impl Handler for WelcomePage {
    fn handle(&mut self, request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
        if !is_read(request) {
            return refuse_method(exchange);
        }
        if request.path() != "/" {
            return refuse(exchange, StatusCode::NOT_FOUND);
        }
        exchange
            .respond(StatusCode::OK)
            .header(CONTENT_TYPE, "text/html; charset=utf-8")
            .send(PAGE)
    }
}

const PAGE: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>stannel works</title>
<style>
body { font: 1.1em/1.6 system-ui, sans-serif; max-width: 40em; margin: 4em auto; padding: 0 1em; color-scheme: light dark }
code, pre { font-family: ui-monospace, monospace }
</style>
</head>
<body>
<h1>It works</h1>
<p>stannel is running, and your browser has reached it. It was given no folder, so this page is all there is.</p>
<h2>What next</h2>
<p>Serve the files of a folder:</p>
<pre>stannel ./some-folder</pre>
<p>Listen elsewhere, here on port 8080 of every address:</p>
<pre>stannel ./some-folder --urls http://*:8080</pre>
<p><code>stannel --help</code> shows all options. To write a server of your own, start from the examples in
<code>docs/examples</code>, such as <code>cargo run --example hello</code>.</p>
</body>
</html>
"#;
