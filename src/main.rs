//! The `stannel` command: serves a folder, or a page that says it works.
#![forbid(unsafe_code)]

mod front;
mod stderr_log;

use front::Front;
use stannel::middleware::{StaticFiles, WelcomePage};
use stannel::{Arguments, Configuration, Handler, Server, ServerOptions};
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::process::ExitCode;

const HELP: &str = "\
Serves the files of a folder over HTTP/1.1.

Usage: stannel [FOLDER] [OPTIONS]
       stannel check [FOLDER] [OPTIONS]
       stannel dev-certs https [OPTIONS]

Without FOLDER it serves a page that says it works. GET and HEAD only.
Names that begin with a dot are not served, nor are links out of the folder.
check reads everything, binds nothing and says what would be served; its exit
code is 0, or 1 if the server could not start.
dev-certs makes, trusts and exports a certificate for development, as the
command of .NET does; its --help says more.

Options:
      --urls=URLS            What to listen on, with ';' between several
                             [default: http://localhost:5000, both loopbacks]
                             such as http://*:8080, http://127.0.0.1:0 (any free
                             port) or http://unix:/run/stannel.sock
      --config=FILE          A JSON file with settings, stronger than
                             appsettings.json
      --directory-listing    List folders that have no index.html
      --Kestrel:KEY=VALUE    A setting of the server, such as
                               --Kestrel:Workers=4
                               --Kestrel:Endpoints:Web:Url=http://*:8080
                               --Kestrel:Limits:KeepAliveTimeout=00:01:00
                             docs/configuration.md lists all of them
      --print-config         Print all settings, each with its origin, and end
      --strict-config        Settings that mean nothing are errors
  -h, --help                 Print this help
  -V, --version              Print the version

Settings are also understood as --KEY VALUE and KEY=VALUE, in appsettings.json
and appsettings.{Environment}.json of the current folder, and as environment
variables with __ for the colon: Kestrel__Workers=4. What follows -- is a
folder, whatever it looks like.

SIGTERM and SIGINT stop the server once running requests are answered.
Exit code: 0 after a stop, 1 if the server could not start.

Environment:
  ASPNETCORE_ENVIRONMENT   The environment's name [default: Production]
  STANNEL_LOG              What to log on standard error: off, error, warn,
                           info, debug or trace [default: warn]
";

const FLAGS: [&str; 7] = [
    "-h",
    "--help",
    "-V",
    "--version",
    "--directory-listing",
    "--print-config",
    "--strict-config",
];

fn main() -> ExitCode {
    stderr_log::install();
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    #[cfg(feature = "dev-cert")]
    if let [command, rest @ ..] = &arguments[..]
        && command == "dev-certs"
    {
        return dev_certs(rest);
    }
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            stderr_log::line(format_args!("stannel: {error}"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(feature = "dev-cert")]
fn dev_certs(arguments: &[OsString]) -> ExitCode {
    use stannel::certificate::{CertificateStores, development};
    let (stores, now) = (CertificateStores::from_environment(), std::time::SystemTime::now());
    let (out, err) = (&mut std::io::stdout(), &mut std::io::stderr());
    ExitCode::from(development::run(arguments.iter().cloned(), &stores, now, out, err))
}

fn run(arguments: Vec<OsString>) -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::split(arguments, &FLAGS)?;
    if arguments.has_flag("-h") || arguments.has_flag("--help") {
        print(HELP);
        return Ok(());
    }
    if arguments.has_flag("-V") || arguments.has_flag("--version") {
        print(concat!("stannel ", env!("CARGO_PKG_VERSION"), "\n"));
        return Ok(());
    }
    let (checks_only, folder) = match arguments.positional() {
        [first, rest @ ..] if first == "check" => (true, folder(rest)?),
        all => (false, folder(all)?),
    };
    let configuration = read_configuration(&arguments)?;
    if arguments.has_flag("--print-config") {
        print(&configuration.to_string());
        return Ok(());
    }
    let mut options = configuration.server_options()?;
    options.handle_signals = true;
    #[cfg(feature = "systemd")]
    options.use_systemd();
    options.strict_configuration = arguments.has_flag("--strict-config");
    let mut warnings = configuration.unknown_arguments(&["config"]);
    warnings.extend(configuration.middleware_warnings());
    for warning in warnings {
        if options.strict_configuration {
            return Err(format!("{warning} (an error because of --strict-config)").into());
        }
        log::warn!(target: "stannel", "{warning}");
    }
    let files = folder
        .map(|folder| {
            StaticFiles::new(folder).map_err(|error| {
                let folder = folder.to_string_lossy();
                format!("cannot serve the folder {}: {error}", folder.escape_debug())
            })
        })
        .transpose()?
        .map(|files| files.directory_listing(arguments.has_flag("--directory-listing")));
    let front = Front::new(&configuration)?;
    options.on_reload({
        let front = front.clone();
        move |newer| front.on_reload(newer)
    });
    let before = front.clone();
    match files {
        _ if checks_only => check(&options),
        Some(files) => serve(options, &front, move || before.before(files.clone())),
        None => serve(options, &front, move || before.before(WelcomePage)),
    }
}

fn folder(positional: &[OsString]) -> Result<Option<&OsStr>, Box<dyn Error>> {
    match positional {
        [] => Ok(None),
        [folder] => Ok(Some(folder)),
        [_, second, ..] => {
            let second = second.to_string_lossy();
            Err(format!("one folder is enough; what is {}?", second.escape_debug()).into())
        }
    }
}

/// The default sources, and the file that was asked for on top of the usual ones.
fn read_configuration(arguments: &Arguments) -> Result<Configuration, Box<dyn Error>> {
    let builder = Configuration::builder().add_default_sources(arguments.settings())?;
    #[cfg(feature = "config")]
    let builder = match config_file(arguments) {
        Some(file) => builder.add_json_file_above_others(file),
        None => builder,
    };
    Ok(builder.build()?)
}

#[cfg(feature = "config")]
fn config_file(arguments: &Arguments) -> Option<&str> {
    let prefix = "--config=";
    arguments.settings().iter().rev().find_map(|setting| {
        let start = setting.get(..prefix.len())?;
        start.eq_ignore_ascii_case(prefix).then(|| &setting[prefix.len()..])
    })
}

/// Says what would be served.
fn check(options: &ServerOptions) -> Result<(), Box<dyn Error>> {
    let plan = options.plan()?;
    for note in plan.notes().iter().filter(|note| note.level() <= log::Level::Warn) {
        stderr_log::line(format_args!("stannel: warning: {}", note.text()));
    }
    for endpoint in plan.endpoints() {
        print(&format!("{endpoint}  {}\n", endpoint.source()));
        if let Some(certificate) = endpoint.https().and_then(|https| https.server_certificate.as_ref()) {
            print(&format!("  certificate: {certificate}\n"));
        }
    }
    Ok(())
}

fn serve<H, F>(options: ServerOptions, front: &Front, factory: F) -> Result<(), Box<dyn Error>>
where
    F: Fn() -> H + Send + Sync + 'static,
    H: Handler + 'static,
{
    let server = Server::new(options, factory).bind()?;
    for line in server.addresses().iter().flat_map(|address| address.lines()) {
        print(&format!("{line}\n"));
    }
    front.on_bound(&server);
    server.run()?;
    Ok(())
}

/// Unlike `print!` it does not panic when nobody reads: a server outlives the terminal it was started in.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
