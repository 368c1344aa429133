//! A real nginx, where there is one.

use super::client::wait_until;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Debian keeps it where the search path of ordinary users does not lead.
const PROGRAMS: [&str; 2] = ["nginx", "/usr/sbin/nginx"];

/// It runs until it is dropped.
pub(crate) struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Nginx {
    /// Starts one that listens on an address of its own and passes everything on as `upstream` and `location` say, which
    /// are directives of nginx. `None`, and a printed line, when there is no nginx here.
    pub(crate) fn start(folder: &Path, upstream: &str, location: &str) -> Option<(Self, SocketAddr)> {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let configuration = format!(
            "daemon off; master_process off; pid {folder}/pid; error_log stderr;\n\
             events {{}}\n\
             http {{\n\
             access_log off; client_max_body_size 16m;\n\
             client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;\n\
             uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;\n\
             upstream app {{ {upstream} }}\n\
             server {{ listen {address}; location / {{\n\
             proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
             {location}\n\
             }} }}\n\
             }}\n",
            folder = folder.display(),
        );
        let file = folder.join("nginx.conf");
        fs::write(&file, configuration).unwrap();
        let start = |program: &&str| {
            let mut nginx = Command::new(program);
            nginx.arg("-c").arg(&file).arg("-p").arg(folder);
            nginx.stderr(Stdio::from(fs::File::create(folder.join("log")).unwrap()));
            nginx.spawn().ok()
        };
        let Some(child) = PROGRAMS.iter().find_map(start) else {
            // Past the test harness, which shows what is printed only if a test fails.
            let _ = writeln!(std::io::stdout().lock(), "skipped: there is no nginx here");
            return None;
        };
        let mut nginx = Self(child);
        wait_until("nginx to listen", || {
            if let Some(status) = nginx.0.try_wait().unwrap() {
                panic!("{status}: {}", fs::read_to_string(folder.join("log")).unwrap());
            }
            TcpStream::connect(address).is_ok()
        });
        Some((nginx, address))
    }
}
