//! Files of a folder over HTTP.

mod conditional;
mod content_type;
mod listing;
mod lookup;
mod range;

use super::{is_read, percent_encode, refuse, refuse_method, say};
use crate::handler::{BodyLength, Exchange, Handler, Outcome, ReaderSource, Request};
use conditional::{Validators, Verdict};
use http::header::{ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED, LOCATION, RANGE};
use http::{Method, StatusCode};
use lookup::{Found, Missing};
use range::Selection;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Serves the files of a folder, to GET and HEAD.
///
/// - A folder is answered with its default document, `index.html`; a folder without one is 404, or a listing if
///   [`directory_listing`](Self::directory_listing) is on. Without the slash at its end it is redirected there.
/// - ETag, Last-Modified, conditional requests and single ranges (RFC 9110 §13 and §14). Several ranges at once are
///   answered with the whole file.
/// - Nothing outside the folder is served: symbolic links may lead about inside it, and are 404 where they lead out.
///   A `%2F` is no separator.
/// - Only regular files are served. Names that begin with a dot are not, nor is what lies below them (404), as with
///   Kestrel's `PhysicalFileProvider`. What the operating system refuses to open is 403, as with nginx.
/// - A file is read while it is sent, never more than `max_response_buffer_size` ahead. One that shrinks meanwhile cuts
///   the connection off, because its length is promised.
///
/// Reading a file blocks the worker for as long as the disk takes. Whoever can write in the folder can make it serve
/// what that one can read: between the check and the opening, a name can be exchanged.
///
/// ```
/// use stannel::ServerOptions;
/// use stannel::connection::Engine;
/// use stannel::middleware::StaticFiles;
///
/// # let folder = std::env::temp_dir();
/// let files = StaticFiles::new(folder)?.default_document("home.html").directory_listing(true);
/// let engine = Engine::new(&ServerOptions::default(), move || files.clone(), || ());
/// # let _ = engine;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StaticFiles {
    /// Canonical.
    root: PathBuf,
    default_document: String,
    directory_listing: bool,
}

impl StaticFiles {
    /// Serves what is below `root`, which is resolved now: a later change of the working directory, or of a symbolic
    /// link on the way there, changes nothing.
    ///
    /// # Errors
    /// When `root` does not exist, is no folder, or cannot be reached.
    pub fn new(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = fs::canonicalize(root.into())?;
        if !fs::metadata(&root)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self {
            root,
            default_document: "index.html".to_owned(),
            directory_listing: false,
        })
    }

    /// Whether a folder without default document is answered with a page that lists it. Default: no, because a listing
    /// shows files that nobody meant to publish.
    #[must_use]
    pub fn directory_listing(mut self, listed: bool) -> Self {
        self.directory_listing = listed;
        self
    }

    /// The file that is served for its folder. Default: `index.html`.
    #[must_use]
    pub fn default_document(mut self, name: impl Into<String>) -> Self {
        self.default_document = name.into();
        self
    }

    /// The folder, without symbolic links.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn serve_folder(&self, request: &Request<'_>, exchange: Exchange<'_>, folder: &Path) -> Outcome {
        match lookup::inspect(&self.root, &folder.join(&self.default_document)) {
            Ok(Found::File(path)) => return serve_file(request, exchange, &path, &self.default_document),
            Ok(Found::Folder(_)) | Err(Missing::NotFound) => {}
            Err(missing) => return refuse_missing(request, exchange, &missing),
        }
        if !self.directory_listing {
            return refuse(exchange, StatusCode::NOT_FOUND);
        }
        match listing::page(&self.root, folder, request.path()) {
            Ok(page) => exchange
                .respond(StatusCode::OK)
                .header(CONTENT_TYPE, "text/html; charset=utf-8")
                .send(page),
            Err(error) => refuse_missing(request, exchange, &error.into()),
        }
    }
}

impl Handler for StaticFiles {
    fn handle(&mut self, request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
        if !is_read(request) {
            return refuse_method(exchange);
        }
        let wants_folder = request.path().ends_with('/');
        match lookup::find(&self.root, request.path()) {
            Ok(Found::File(path)) if !wants_folder => {
                let name = lookup::segments(request.path()).last().unwrap_or_default();
                serve_file(request, exchange, &path, name)
            }
            Ok(Found::File(_)) => refuse(exchange, StatusCode::NOT_FOUND),
            Ok(Found::Folder(folder)) if wants_folder => self.serve_folder(request, exchange, &folder),
            Ok(Found::Folder(_)) => redirect_to_folder(request, exchange),
            Err(missing) => refuse_missing(request, exchange, &missing),
        }
    }
}

/// The same path with a slash at its end, so that relative links in the folder's page lead into the folder.
///
/// It is written anew from its segments: what came as `//host` or `/\host` cannot be read as another host.
fn redirect_to_folder(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    let mut location = String::from("/");
    for segment in lookup::segments(request.path()) {
        percent_encode(segment, &mut location);
        location.push('/');
    }
    location.push_str(request.query());
    let status = StatusCode::MOVED_PERMANENTLY;
    say(exchange.respond(status).header(LOCATION, location), status)
}

fn refuse_missing(request: &Request<'_>, exchange: Exchange<'_>, missing: &Missing) -> Outcome {
    let status = match missing {
        Missing::NotFound => StatusCode::NOT_FOUND,
        Missing::Forbidden => StatusCode::FORBIDDEN,
        Missing::Failed(error) => {
            log::error!(
                target: "stannel",
                "serving {} failed: {error}; answered 500",
                request.path().escape_debug()
            );
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    refuse(exchange, status)
}

/// Answers with a file, or with what the request's conditions make of it. Its type is that of the name it was asked
/// for by, wherever a link leads.
fn serve_file(request: &Request<'_>, exchange: Exchange<'_>, path: &Path, name: &str) -> Outcome {
    let (mut file, metadata) = match open(path) {
        Ok(opened) => opened,
        Err(missing) => return refuse_missing(request, exchange, &missing),
    };
    let length = metadata.len();
    let validators = Validators::of(&metadata, exchange.time_of_day());
    let selection = match validators.check(request.headers()) {
        // RFC 9110 §15.4.5: the fields that a cache updates by, and the tag makes Last-Modified superfluous.
        Verdict::NotModified => {
            return exchange
                .respond(StatusCode::NOT_MODIFIED)
                .header(ETAG, &validators.etag)
                .send("");
        }
        Verdict::Failed => return refuse(exchange, StatusCode::PRECONDITION_FAILED),
        Verdict::Proceed { range: true } => selection(request, length),
        Verdict::Proceed { range: false } => Selection::Whole,
    };
    let (status, first, count) = match selection {
        Selection::Whole => (StatusCode::OK, 0, length),
        Selection::Part { first, last } => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Selection::Unsatisfiable => {
            let status = StatusCode::RANGE_NOT_SATISFIABLE;
            let head = exchange.respond(status);
            return say(head.header(CONTENT_RANGE, format!("bytes */{length}")), status);
        }
    };
    if first > 0
        && let Err(error) = file.seek(SeekFrom::Start(first))
    {
        return refuse_missing(request, exchange, &Missing::Failed(error));
    }
    let mut head = exchange
        .respond(status)
        .header(CONTENT_TYPE, content_type::content_type(name))
        .header(ETAG, &validators.etag)
        .header(ACCEPT_RANGES, "bytes");
    if let Some(modified) = validators.last_modified() {
        head = head.header(LAST_MODIFIED, modified);
    }
    if let Selection::Part { first, last } = selection {
        head = head.header(CONTENT_RANGE, format!("bytes {first}-{last}/{length}"));
    }
    head.stream(BodyLength::Exact(count), ReaderSource::new(file.take(count)))
}

/// RFC 9110 §14.2: Range is for GET; given twice it says nothing.
fn selection(request: &Request<'_>, length: u64) -> Selection {
    let mut ranges = request.headers().get_all(RANGE.as_str());
    match (ranges.next(), ranges.next()) {
        (Some(range), None) if request.method() == Method::GET => range::select(range, length),
        _ => Selection::Whole,
    }
}

/// Opens a regular file. What is told of it afterwards is told of the opened one.
fn open(path: &Path) -> Result<(File, fs::Metadata), Missing> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        Ok((file, metadata))
    } else {
        Err(Missing::NotFound)
    }
}
