//! A folder that is served, and who asks for what is in it.

use stannel::connection::{Connection, Engine, Fate};
use stannel::middleware::StaticFiles;
use stannel::{ConnectionInfo, Peer, ServerOptions};
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// When the files were written, and what time it is: a day later.
pub(crate) const WRITTEN: u64 = 1_000_000_000;
pub(crate) const WRITTEN_DATE: &str = "Sun, 09 Sep 2001 01:46:40 GMT";

/// A folder that is served, and one beside it that is not.
pub(crate) struct Site {
    base: TempDir,
    pub(crate) engine: Engine,
}

impl Site {
    pub(crate) fn new(configure: impl FnOnce(StaticFiles) -> StaticFiles) -> Self {
        let base = TempDir::new().unwrap();
        let root = base.path().join("root");
        fs::create_dir_all(root.join("folder/below")).unwrap();
        fs::create_dir(base.path().join("outside")).unwrap();
        let files = configure(StaticFiles::new(&root).unwrap());
        let mut engine = Engine::new(&ServerOptions::default(), move || files.clone(), || ());
        engine.set_wall_clock(SystemTime::UNIX_EPOCH + Duration::from_secs(WRITTEN + 24 * 60 * 60));
        let site = Self { base, engine };
        site.write("root/index.html", b"<p>home");
        site.write("root/digits.txt", b"0123456789");
        site.write("root/folder/page.html", b"<p>page");
        site.write("outside/secret.txt", b"secret");
        site
    }

    pub(crate) fn path(&self, path: &str) -> std::path::PathBuf {
        self.base.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, content: &[u8]) {
        let path = self.path(path);
        fs::write(&path, content).unwrap();
        set_time(&path, SystemTime::UNIX_EPOCH + Duration::from_secs(WRITTEN));
    }

    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.ask("GET", target, &[])
    }

    #[track_caller]
    pub(crate) fn status(&mut self, target: &str) -> u16 {
        self.get(target).status
    }

    pub(crate) fn ask(&mut self, method: &str, target: &str, fields: &[(&str, &str)]) -> Answer {
        let mut request = format!("{method} {target} HTTP/1.1\r\nHost: h\r\n");
        for (name, value) in fields {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let mut talk = Talk::begin(&self.engine);
        talk.send(&mut self.engine, request.as_bytes());
        talk.finish(&mut self.engine, method)
    }
}

/// A connection and what it has sent so far.
pub(crate) struct Talk {
    connection: Connection,
    pub(crate) received: Vec<u8>,
    /// The most that lay in the output at once.
    pub(crate) most: usize,
    pub(crate) fate: Fate,
}

impl Talk {
    pub(crate) fn begin(engine: &Engine) -> Self {
        Self {
            connection: Connection::new(engine, ConnectionInfo::new(1, Peer::Unix), 0),
            received: Vec::new(),
            most: 0,
            fate: Fate::Open,
        }
    }

    pub(crate) fn send(&mut self, engine: &mut Engine, bytes: &[u8]) {
        self.connection.turn(engine, 0).on_bytes(bytes);
    }

    /// Takes what waits; whether there was anything.
    pub(crate) fn take(&mut self, engine: &mut Engine) -> bool {
        let mut turn = self.connection.turn(engine, 0);
        let before = self.received.len();
        turn.copy_output(&mut self.received);
        let count = self.received.len() - before;
        self.most = self.most.max(count);
        turn.on_written(count);
        let has_more = turn.has_more();
        if has_more {
            turn.on_room();
        }
        self.fate = turn.fate();
        count > 0 || has_more
    }

    pub(crate) fn finish(mut self, engine: &mut Engine, method: &str) -> Answer {
        while self.take(engine) {}
        Answer::parse(&self.received, method, self.fate)
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) fate: Fate,
}

impl Answer {
    pub(crate) fn parse(bytes: &[u8], method: &str, fate: Fate) -> Self {
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .expect("a whole head");
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let fields = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let answer = Self {
            status,
            fields,
            body: bytes[end + 4..].to_vec(),
            fate,
        };
        if fate == Fate::Open {
            let length = answer
                .field("content-length")
                .map_or(0, |length| length.parse().unwrap());
            assert_eq!(answer.body.len(), if method == "HEAD" { 0 } else { length });
        }
        answer
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter().filter(|(other, _)| other == name);
        let value = fields.next().map(|(_, value)| value.as_str());
        assert!(fields.next().is_none(), "{name} stands twice");
        value
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub(crate) fn set_time(path: &Path, time: SystemTime) {
    fs::File::options()
        .append(true)
        .open(path)
        .unwrap()
        .set_modified(time)
        .unwrap();
}

pub(crate) fn plain() -> Site {
    Site::new(|files| files)
}
