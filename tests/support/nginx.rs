//! How an nginx is configured that passes everything on.

use super::proxy::Program;
use std::net::SocketAddr;
use std::path::Path;

pub(crate) const NGINX: Program = Program {
    name: "nginx",
    arguments: &["-c"],
};

/// It passes on as `upstream` and `location` say, which are directives of nginx. `access_log` is one, too.
pub(crate) fn configuration(
    folder: &Path,
    address: SocketAddr,
    access_log: &str,
    upstream: &str,
    location: &str,
) -> String {
    format!(
        "daemon off; master_process off; pid {folder}/pid; error_log stderr;\n\
         events {{}}\n\
         http {{\n\
         {access_log} client_max_body_size 16m;\n\
         client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;\n\
         uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;\n\
         upstream app {{ {upstream} }}\n\
         server {{ listen {address}; location / {{\n\
         proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
         {location}\n\
         }} }}\n\
         }}\n",
        folder = folder.display(),
    )
}
