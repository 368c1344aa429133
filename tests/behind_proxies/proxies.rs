//! The proxies, and how each is told to pass everything on, over connections that it keeps.
//!
//! Each is as lenient as it can be made: what it refuses itself says nothing about us.

use crate::nginx::{self, NGINX};
use crate::proxy::{Program, Proxy};
use std::fmt;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Nginx,
    Haproxy,
    Apache,
}

/// Where the server is to be found.
#[derive(Clone, Debug)]
pub(crate) enum Backend {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp(_) => "TCP",
            Self::Unix(_) => "a Unix socket",
        })
    }
}

/// What a proxy says of one request of a client's.
#[derive(Debug)]
pub(crate) struct Line {
    /// Whether it chose the server for it. Apache chooses before it reads a body, and may refuse that then.
    pub(crate) is_forwarded: bool,
    /// Whether the client got the server's answer.
    pub(crate) is_answered: bool,
    pub(crate) text: String,
}

/// A line of the log has four parts: for whom the request was, the answer's `Server`, its status, and the request. A part
/// that there is not is a dash.
const PARTS: usize = 4;

impl Kind {
    /// Starts it in the folder, if it is installed.
    pub(crate) fn start(self, folder: &Path, backend: &Backend) -> Option<Proxy> {
        // Apache serves as somebody else, who has to reach the socket.
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        match self {
            Self::Nginx => Proxy::start(&NGINX, folder, |address| for_nginx(folder, address, backend)),
            Self::Haproxy => Proxy::start(&HAPROXY, folder, |address| for_haproxy(address, backend)),
            Self::Apache => Proxy::start(&APACHE, folder, |address| for_apache(folder, address, backend)),
        }
    }

    /// What is in the log so far.
    pub(crate) fn lines(self, proxy: &Proxy) -> Vec<Line> {
        let nobody = match self {
            Self::Nginx | Self::Apache => "-",
            Self::Haproxy => "<NOSRV>",
        };
        let output = proxy.output();
        // The last one may not be written to its end yet.
        let whole = output.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        whole
            .filter_map(|line| line.strip_prefix(MARK))
            .map(|text| {
                let parts: Vec<&str> = text.splitn(PARTS, '|').collect();
                assert_eq!(parts.len(), PARTS, "{text:?}");
                Line {
                    is_forwarded: parts[0] != nobody,
                    is_answered: parts[1] == "stannel",
                    text: text.to_owned(),
                }
            })
            .collect()
    }
}

/// Tells a line about a request from what a proxy writes besides.
const MARK: &str = "request|";

const HAPROXY: Program = Program {
    name: "haproxy",
    arguments: &["-db", "-f"],
};

const APACHE: Program = Program {
    name: "apache2",
    arguments: &["-X", "-f"],
};

fn for_nginx(folder: &Path, address: SocketAddr, backend: &Backend) -> String {
    let access_log =
        "log_format own '$MARK$upstream_addr|$upstream_http_server|$status|$request_method $request_uri'; \
                      access_log /dev/stdout own; ignore_invalid_headers off; underscores_in_headers on;"
            .replace("$MARK", MARK);
    let server = match backend {
        Backend::Tcp(address) => address.to_string(),
        Backend::Unix(path) => format!("unix:{}", path.display()),
    };
    let upstream = format!("server {server}; keepalive 8;");
    let location = "proxy_pass http://app; proxy_set_header Host $host; proxy_set_header X-Real-IP $remote_addr; \
                    proxy_request_buffering off; proxy_next_upstream off;";
    nginx::configuration(folder, address, &access_log, &upstream, location)
}

fn for_haproxy(address: SocketAddr, backend: &Backend) -> String {
    let server = match backend {
        Backend::Tcp(address) => address.to_string(),
        Backend::Unix(path) => format!("unix@{}", path.display()),
    };
    format!(
        "global\n  log stdout format raw local0\n  nbthread 1\n\
         defaults\n  mode http\n  log global\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n  retries 0\n\
         frontend clients\n  bind {address}\n  default_backend app\n  option accept-invalid-http-request\n  \
         capture response header Server len 16\n  \
         log-format \"{MARK}%s|%[capture.res.hdr(0)]|%ST|%HM %HU\"\n\
         backend app\n  http-reuse always\n  option accept-invalid-http-response\n  \
         http-request set-header X-Real-IP %[src]\n  server one {server}\n"
    )
}

fn for_apache(folder: &Path, address: SocketAddr, backend: &Backend) -> String {
    let server = match backend {
        Backend::Tcp(address) => format!("http://{address}/"),
        Backend::Unix(path) => format!("unix:{}|http://app/", path.display()),
    };
    let modules: String = ["mpm_event", "authz_core", "headers", "proxy", "proxy_http"]
        .iter()
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .collect();
    // Group and user are nobody's.
    format!(
        "{modules}User #65534\nGroup #65534\nServerName h\nServerRoot {folder}\nDefaultRuntimeDir {folder}\n\
         PidFile {folder}/pid\nErrorLog /dev/stderr\nLogFormat \"{MARK}%R|%{{origin}}n|%>s|%m %U\" own\n\
         CustomLog /dev/stdout own\nListen {address}\nHttpProtocolOptions Unsafe LenientMethods Allow0.9\n\
         AllowEncodedSlashes NoDecode\nProxyRequests Off\nProxyPass / \"{server}\" nocanon keepalive=On\n\
         Header note Server origin\nRequestHeader set X-Real-IP \"expr=%{{REMOTE_ADDR}}\"\n",
        folder = folder.display(),
    )
}
