//! The `stannel` command: serves a folder, or a page that says it works.
#![forbid(unsafe_code)]

mod stderr_log;

use stannel::middleware::{StaticFiles, WelcomePage};
use stannel::{Configuration, Handler, Server, ServerOptions};
use std::error::Error;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

const HELP: &str = "\
Serves the files of a folder over HTTP/1.1.

Usage: stannel [FOLDER] [OPTIONS]

Without FOLDER it serves a page that says it works. GET and HEAD only.
Names that begin with a dot are not served, nor are links out of the folder.

Options:
      --urls=URLS            What to listen on, with ';' between several
                             [default: http://localhost:5000, both loopbacks]
                             such as http://*:8080, http://127.0.0.1:0 (any free
                             port) or http://unix:/run/stannel.sock
      --directory-listing    List folders that have no index.html
      --Kestrel:KEY=VALUE    A setting of the server, such as
                               --Kestrel:Workers=4
                               --Kestrel:AddServerHeader=false
                               --Kestrel:Limits:KeepAliveTimeout=00:01:00
                             docs/configuration.md lists all of them
  -h, --help                 Print this help
  -V, --version              Print the version

Settings are also understood as --KEY VALUE and KEY=VALUE. What follows -- is a
folder, whatever it looks like.

SIGTERM and SIGINT stop the server once running requests are answered.
Exit code: 0 after a stop, 1 if the server could not start.

Environment:
  STANNEL_LOG    What to log on standard error: off, error, warn, info, debug or
                 trace [default: warn]
";

fn main() -> ExitCode {
    stderr_log::install();
    match run(std::env::args_os().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            stderr_log::line(format_args!("stannel: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Vec<OsString>) -> Result<(), Box<dyn Error>> {
    let command = Command::read(arguments);
    if command.help {
        print(HELP);
        return Ok(());
    }
    if command.version {
        print(concat!("stannel ", env!("CARGO_PKG_VERSION"), "\n"));
        return Ok(());
    }
    let configuration = Configuration::from_args(command.rest)?;
    let mut options = configuration.server_options()?;
    options.handle_signals = true;
    for warning in configuration.warnings() {
        stderr_log::line(format_args!("stannel: warning: {warning}"));
    }
    match configuration.positional() {
        [] => serve(options, || WelcomePage),
        [folder] => {
            let files = StaticFiles::new(folder).map_err(|error| {
                let folder = folder.to_string_lossy();
                format!("cannot serve the folder {}: {error}", folder.escape_debug())
            })?;
            let files = files.directory_listing(command.directory_listing);
            serve(options, move || files.clone())
        }
        [_, second, ..] => {
            let second = second.to_string_lossy();
            Err(format!("one folder is enough; what is {}?", second.escape_debug()).into())
        }
    }
}

fn serve<H, F>(options: ServerOptions, factory: F) -> Result<(), Box<dyn Error>>
where
    F: Fn() -> H + Send + Sync + 'static,
    H: Handler + 'static,
{
    let server = Server::new(options, factory).bind()?;
    for address in server.addresses() {
        print(&format!("Now listening on: {address}\n"));
    }
    server.run()?;
    Ok(())
}

/// The arguments that have no value, and all others.
#[derive(Debug, Default)]
struct Command {
    help: bool,
    version: bool,
    directory_listing: bool,
    rest: Vec<OsString>,
}

impl Command {
    fn read(arguments: Vec<OsString>) -> Self {
        let mut command = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("-h" | "--help") => command.help = true,
                Some("-V" | "--version") => command.version = true,
                Some("--directory-listing") => command.directory_listing = true,
                Some("--") => {
                    command.rest.push(argument);
                    command.rest.extend(arguments.by_ref());
                }
                _ => command.rest.push(argument),
            }
        }
        command
    }
}

/// Unlike `print!` it does not panic when nobody reads: a server outlives the terminal it was started in.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
