//! What is asked for on the command line, in the words of `dotnet dev-certs`.

use super::export::{Export, Form, KeyForm};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What to do, and how much to say.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) task: Task,
    pub(super) verbosity: Verbosity,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Task {
    Help,
    /// Only look.
    Check {
        trust: Trust,
    },
    /// What there is, for programs.
    Report,
    Clean {
        import: Option<Import>,
    },
    /// Make one if there is none.
    Ensure {
        trust: Trust,
        export: Option<Export>,
    },
}

/// Whether trust is part of the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    Included,
    LeftOut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verbosity {
    Quiet,
    Normal,
    Verbose,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Import {
    pub(super) file: PathBuf,
    pub(super) password: String,
}

/// Why an order is not carried out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// An argument that means nothing.
    Unknown(String),
    /// Options that do not go together.
    Combination(&'static str),
    Format(String),
}

pub(super) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Order, Refusal> {
    let mut arguments = arguments.into_iter();
    let help = Order {
        task: Task::Help,
        verbosity: Verbosity::Normal,
    };
    let Some(command) = arguments.next() else {
        return Ok(help);
    };
    if HELP.iter().any(|name| command == *name) {
        return Ok(help);
    }
    if !command.eq_ignore_ascii_case("https") {
        return Err(Refusal::Unknown(format!(
            "{} is none of its commands; the only one is https",
            shown(&command)
        )));
    }
    match Given::read(arguments)? {
        Some(given) => given.order(),
        None => Ok(help),
    }
}

/// The options that were given.
#[derive(Default)]
struct Given {
    check: bool,
    clean: bool,
    no_password: bool,
    quiet: bool,
    report: bool,
    trust: bool,
    verbose: bool,
    export_path: Option<OsString>,
    format: Option<String>,
    import: Option<OsString>,
    password: Option<String>,
}

impl Given {
    /// `None`: help was asked for.
    fn read(mut arguments: impl Iterator<Item = OsString>) -> Result<Option<Self>, Refusal> {
        let mut given = Self::default();
        let mut seen = Vec::new();
        while let Some(argument) = arguments.next() {
            let (name, joined) = split(&argument);
            if joined.is_none() && HELP.iter().any(|it| name == *it) {
                return Ok(None);
            }
            let option = OPTIONS.iter().find(|it| name == it.short || name == it.long);
            let Some(option) = option.filter(|_| !name.is_empty()) else {
                return Err(Refusal::Unknown(format!("{} is none of its options", shown(&argument))));
            };
            if seen.contains(&option.long) {
                return Err(Refusal::Unknown(format!("{} is given twice", option.long)));
            }
            seen.push(option.long);
            match option.kind {
                Kind::Flag(_) if joined.is_some() => {
                    return Err(Refusal::Unknown(format!("{} takes no value", option.long)));
                }
                Kind::Flag(flag) => *flag(&mut given) = true,
                Kind::Path(value) => *value(&mut given) = Some(needed(option, joined, &mut arguments)?),
                Kind::Text(value) => match needed(option, joined, &mut arguments)?.into_string() {
                    Ok(text) => *value(&mut given) = Some(text),
                    Err(_) => return Err(Refusal::Unknown(format!("the value of {} is no text", option.long))),
                },
            }
        }
        Ok(Some(given))
    }

    fn order(self) -> Result<Order, Refusal> {
        if let Some((_, why)) = self.combinations().into_iter().find(|(is_given, _)| *is_given) {
            return Err(Refusal::Combination(why));
        }
        let format = match self.format.as_deref() {
            None => Form::Pfx,
            Some(text) => Form::read(text).ok_or_else(|| Refusal::Format(text.escape_debug().to_string()))?,
        };
        let verbosity = match (self.verbose, self.quiet) {
            (true, _) => Verbosity::Verbose,
            (false, true) => Verbosity::Quiet,
            (false, false) => Verbosity::Normal,
        };
        let trust = if self.trust { Trust::Included } else { Trust::LeftOut };
        let task = if self.report {
            Task::Report
        } else if self.check {
            Task::Check { trust }
        } else if self.clean {
            let import = self.import.zip(self.password).map(|(file, password)| Import {
                file: file.into(),
                password,
            });
            Task::Clean { import }
        } else {
            let key = match (self.password, self.no_password) {
                (Some(password), _) => KeyForm::Closed(password),
                (None, true) => KeyForm::Open,
                (None, false) => KeyForm::LeftOut,
            };
            let export = self.export_path.map(|path| Export {
                path: path.into(),
                form: format,
                key,
            });
            Task::Ensure { trust, export }
        };
        Ok(Order { task, verbosity })
    }

    /// What does not go together, and why.
    fn combinations(&self) -> [(bool, &'static str); 7] {
        let export = self.export_path.is_some();
        let format = self.format.is_some();
        let import = self.import.is_some();
        let password = self.password.is_some();
        let is_pem = self.format.as_deref().is_some_and(|it| it.eq_ignore_ascii_case("pem"));
        let beside_report =
            self.check || self.clean || self.no_password || self.trust || export || format || import || password;
        [
            (
                self.report && beside_report,
                "--check-trust-machine-readable stands alone, or with -v or -q",
            ),
            (
                self.check && (export || password || self.no_password || self.clean || format || import),
                "--check only looks; beside it there can be --trust",
            ),
            (
                self.clean && (export || self.trust || format || self.no_password),
                "--clean removes; beside it there can be --import with --password",
            ),
            (
                self.clean && import != password,
                "--clean takes --import and --password together, or neither",
            ),
            (import && !self.clean, "--import needs --clean"),
            (
                password && self.no_password,
                "--password and --no-password exclude each other",
            ),
            (
                self.no_password && !is_pem,
                "--no-password needs --format Pem; a PFX keeps its key behind a password",
            ),
        ]
    }
}

struct Opt {
    short: &'static str,
    long: &'static str,
    kind: Kind,
}

enum Kind {
    Flag(fn(&mut Given) -> &mut bool),
    Path(fn(&mut Given) -> &mut Option<OsString>),
    Text(fn(&mut Given) -> &mut Option<String>),
}

const OPTIONS: [Opt; 11] = [
    option("-ep", "--export-path", Kind::Path(|given| &mut given.export_path)),
    option("-p", "--password", Kind::Text(|given| &mut given.password)),
    option("-np", "--no-password", Kind::Flag(|given| &mut given.no_password)),
    option("-c", "--check", Kind::Flag(|given| &mut given.check)),
    option("", "--clean", Kind::Flag(|given| &mut given.clean)),
    option("-i", "--import", Kind::Path(|given| &mut given.import)),
    option("", "--format", Kind::Text(|given| &mut given.format)),
    option("-t", "--trust", Kind::Flag(|given| &mut given.trust)),
    option("-v", "--verbose", Kind::Flag(|given| &mut given.verbose)),
    option("-q", "--quiet", Kind::Flag(|given| &mut given.quiet)),
    option(
        "",
        "--check-trust-machine-readable",
        Kind::Flag(|given| &mut given.report),
    ),
];

const HELP: [&str; 3] = ["-?", "-h", "--help"];

const fn option(short: &'static str, long: &'static str, kind: Kind) -> Opt {
    Opt { short, long, kind }
}

/// The name of an option, and the value that hangs on it: `-ep=F`, `--export-path:F`.
fn split(argument: &OsStr) -> (&OsStr, Option<&OsStr>) {
    let bytes = argument.as_bytes();
    match bytes.iter().position(|byte| matches!(byte, b'=' | b':')) {
        Some(at) => (
            OsStr::from_bytes(&bytes[..at]),
            Some(OsStr::from_bytes(&bytes[at + 1..])),
        ),
        None => (argument, None),
    }
}

/// The value that hangs on an option, or the next argument, whatever that looks like.
fn needed(
    option: &Opt,
    joined: Option<&OsStr>,
    arguments: &mut impl Iterator<Item = OsString>,
) -> Result<OsString, Refusal> {
    joined
        .map(OsStr::to_owned)
        .or_else(|| arguments.next())
        .ok_or_else(|| Refusal::Unknown(format!("{} needs a value", option.long)))
}

fn shown(argument: &OsStr) -> String {
    argument.to_string_lossy().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(line: &str) -> Result<Order, Refusal> {
        read(line.split(' ').filter(|it| !it.is_empty()).map(OsString::from))
    }

    fn task(line: &str) -> Task {
        order(line).unwrap_or_else(|refusal| panic!("{line}: {refusal:?}")).task
    }

    #[test]
    fn orders() {
        let export = |path: &str, form, key| Export {
            path: path.into(),
            form,
            key,
        };
        let ensure = |trust, export| Task::Ensure { trust, export };
        let closed = |password: &str| KeyForm::Closed(password.to_owned());
        let import = Import {
            file: "f.pfx".into(),
            password: "x".to_owned(),
        };
        let table = [
            ("", Task::Help),
            ("--help", Task::Help),
            ("https -h", Task::Help),
            ("https --check -?", Task::Help),
            ("https", ensure(Trust::LeftOut, None)),
            ("HTTPS --trust", ensure(Trust::Included, None)),
            ("https -t -p x", ensure(Trust::Included, None)),
            ("https -np --format Pem", ensure(Trust::LeftOut, None)),
            ("https -c", Task::Check { trust: Trust::LeftOut }),
            ("https --check --trust", Task::Check { trust: Trust::Included }),
            ("https --clean", Task::Clean { import: None }),
            ("https -p x -i f.pfx --clean", Task::Clean { import: Some(import) }),
            ("https --check-trust-machine-readable -v -q", Task::Report),
            (
                "https -ep a.cer",
                ensure(Trust::LeftOut, Some(export("a.cer", Form::Pfx, KeyForm::LeftOut))),
            ),
            (
                "https -ep=a=b:c -p:",
                ensure(Trust::LeftOut, Some(export("a=b:c", Form::Pfx, closed("")))),
            ),
            (
                "https --export-path:a --password -q",
                ensure(Trust::LeftOut, Some(export("a", Form::Pfx, closed("-q")))),
            ),
            (
                "https -ep a -np --format PEM",
                ensure(Trust::LeftOut, Some(export("a", Form::Pem, KeyForm::Open))),
            ),
        ];
        for (line, expected) in table {
            assert_eq!(task(line), expected, "{line}");
        }
        assert_eq!(order("https --format der"), Err(Refusal::Format("der".to_owned())));
        let empty = read(["https", "-ep", "a", "-p", ""].map(OsString::from)).unwrap().task;
        assert_eq!(empty, ensure(Trust::LeftOut, Some(export("a", Form::Pfx, closed("")))));
        for (line, verbosity) in [
            ("https", Verbosity::Normal),
            ("https -q", Verbosity::Quiet),
            ("https -v", Verbosity::Verbose),
            ("https --quiet --verbose", Verbosity::Verbose),
        ] {
            assert_eq!(order(line).unwrap().verbosity, verbosity, "{line}");
        }
    }

    #[test]
    fn what_means_nothing() {
        for line in [
            "http",
            "https x",
            "https -ct",
            "https --Check",
            "https --check --check",
            "https -c --check",
            "https -ep",
            "https --check=yes",
            "https -p a -p b",
            "https -",
            "https =x",
        ] {
            assert!(
                matches!(order(line), Err(Refusal::Unknown(_))),
                "{line}: {:?}",
                order(line)
            );
        }
    }

    /// Each pair of options that is refused; all others are not.
    #[test]
    fn what_does_not_go_together() {
        let options = [
            "-ep e",
            "-p p",
            "-np",
            "-c",
            "--clean",
            "-i i",
            "--format Pem",
            "-t",
            "-v",
            "-q",
        ];
        let refused = [
            "-ep e -np",
            "-ep e -c",
            "-ep e --clean",
            "-ep e -i i",
            "-p p -np",
            "-p p -c",
            "-p p --clean",
            "-p p -i i",
            "-np -c",
            "-np --clean",
            "-np -i i",
            "-np -t",
            "-np -v",
            "-np -q",
            "-c --clean",
            "-c -i i",
            "-c --format Pem",
            "--clean -i i",
            "--clean --format Pem",
            "--clean -t",
            "-i i --format Pem",
            "-i i -t",
            "-i i -v",
            "-i i -q",
        ];
        for (at, first) in options.iter().enumerate() {
            for second in &options[at + 1..] {
                let pair = format!("{first} {second}");
                let is_refused = matches!(order(&format!("https {pair}")), Err(Refusal::Combination(_)));
                assert_eq!(is_refused, refused.contains(&&*pair), "{pair}");
            }
            let report = format!("https --check-trust-machine-readable {first}");
            let is_refused = matches!(order(&report), Err(Refusal::Combination(_)));
            assert_eq!(is_refused, !["-v", "-q"].contains(first), "{report}");
        }
        for line in [
            "-i f -p x --clean -t",
            "-i f -p x --clean --format Pfx",
            "-np --format Pfx",
            "-np --format 1",
        ] {
            let order = order(&format!("https {line}"));
            assert!(matches!(order, Err(Refusal::Combination(_))), "{line}: {order:?}");
        }
    }
}
