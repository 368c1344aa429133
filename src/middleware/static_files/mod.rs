//! Files of a folder over HTTP.

mod conditional;
mod content_type;
mod file_source;
mod listing;
mod lookup;
mod precompressed;
mod range;
mod served;

use super::{is_read, percent_encode, refuse, refuse_method, say};
use crate::handler::{Exchange, Handler, Outcome, Request};
use http::StatusCode;
use http::header::{CONTENT_TYPE, LOCATION};
use lookup::{Found, Missing};
use precompressed::{Form, Siblings};
use served::{Served, Varies};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Serves the files of a folder, to GET and HEAD.
///
/// - A folder is answered with its default document, `index.html`; a folder without one is 404, or a listing if
///   [`directory_listing`](Self::directory_listing) is on. Without the slash at its end it is redirected there.
/// - ETag, Last-Modified, conditional requests and single ranges (RFC 9110 §13 and §14). Several ranges at once are
///   answered with the whole file.
/// - What was compressed beforehand is sent compressed: `site.css.br` or `site.css.gz` beside `site.css`, to whoever
///   accepts that; see [`precompressed`](Self::precompressed).
/// - Nothing outside the folder is served: symbolic links may lead about inside it, and are 404 where they lead out.
///   A `%2F` is no separator.
/// - Only regular files are served. Names that begin with a dot are not, nor is what lies below them (404), as with
///   Kestrel's `PhysicalFileProvider`. What the operating system refuses to open is 403, as with nginx.
/// - A large file is sent by the system, without anybody reading it (sendfile), 256 KiB at a time; where TLS is spoken or
///   somebody looks at the bytes, it is read while it is sent, never more than `max_response_buffer_size` ahead. One that
///   shrinks meanwhile cuts the connection off, because its length is promised.
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
    precompressed: bool,
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
            precompressed: true,
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

    /// Whether a file `NAME.br` or `NAME.gz` beside `NAME` is sent in its place, with Content-Encoding, to a client whose
    /// Accept-Encoding likes it best (RFC 9110 §12.5.3). Default: yes, as with ASP.NET's `MapStaticAssets`, because whoever
    /// puts such a file there means it; looking for the two costs a system call each.
    ///
    /// One that is older than its file by a second or more is not sent: it holds what the file was before. nginx's
    /// `gzip_static` sends it all the same, and a visitor who accepts gzip then sees another page than one who does not.
    /// Whoever rules out everything that is there, as `identity;q=0` can, gets 406. The compressed files themselves can be
    /// asked for by their own names.
    #[must_use]
    pub fn precompressed(mut self, sent: bool) -> Self {
        self.precompressed = sent;
        self
    }

    /// The folder, without symbolic links.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn serve_folder(&self, request: &Request<'_>, exchange: Exchange<'_>, folder: &Path) -> Outcome {
        match lookup::inspect(&self.root, &folder.join(&self.default_document)) {
            Ok(Found::File { path, modified }) => {
                return self.serve_file(request, exchange, &path, modified, &self.default_document);
            }
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

    /// Answers with a file in the form that the client likes best.
    fn serve_file(
        &self,
        request: &Request<'_>,
        exchange: Exchange<'_>,
        path: &Path,
        modified: i64,
        name: &str,
    ) -> Outcome {
        let siblings = if self.precompressed {
            Siblings::of(&self.root, path, modified)
        } else {
            Siblings::default()
        };
        if siblings.is_empty() {
            // RFC 9110 §12.4.1: where there is one form only, nothing is negotiated.
            return match open(path) {
                Ok(opened) => Served::new(opened, name, None, Varies::Never).answer(request, exchange),
                Err(missing) => refuse_missing(request, exchange, &missing),
            };
        }
        for form in precompressed::forms(&siblings, request.headers()) {
            let (path, coding) = match form {
                Form::Plain => (path, None),
                Form::Compressed(coding, path) => (path, Some(coding)),
            };
            match open(path) {
                Ok(opened) => return Served::new(opened, name, coding, Varies::ByEncoding).answer(request, exchange),
                Err(missing) if coding.is_none() => return refuse_missing(request, exchange, &missing),
                // A compressed file that cannot be read is no reason not to send the file.
                Err(_) => {}
            }
        }
        let status = StatusCode::NOT_ACCEPTABLE;
        say(Varies::ByEncoding.tell(exchange.respond(status)), status)
    }
}

impl Handler for StaticFiles {
    fn handle(&mut self, request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
        if !is_read(request) {
            return refuse_method(exchange);
        }
        let wants_folder = request.path().ends_with('/');
        match lookup::find(&self.root, request.path()) {
            Ok(Found::File { path, modified }) if !wants_folder => {
                let name = lookup::segments(request.path()).last().unwrap_or_default();
                self.serve_file(request, exchange, &path, modified, name)
            }
            Ok(Found::File { .. }) => refuse(exchange, StatusCode::NOT_FOUND),
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
