//! Unix sockets: binding a path without leaving a moment in which somebody else could connect, and removing it again.

use super::listener::{BACKLOG, Bound, Listener};
use crate::endpoint::{BindError, ListenOptions};
use mio::net::UnixListener;
use socket2::{Domain, SockAddr, Type};
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// The file of a Unix socket; removed when this is dropped, if it still is the one that was made.
#[derive(Debug)]
pub(super) struct UnixPath {
    path: PathBuf,
    /// Device and inode.
    file: (u64, u64),
}

impl UnixPath {
    pub(super) fn set_mode(&self, mode: u32) {
        if let Err(error) = std::fs::set_permissions(&self.path, Permissions::from_mode(mode)) {
            log::error!(target: "stannel", "cannot set the mode of {}: {error}", self.path.display());
        }
    }
}

impl Drop for UnixPath {
    fn drop(&mut self) {
        // Somebody may have put a socket of their own there in the meantime.
        if file_at(&self.path).ok() != Some(self.file) {
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            log::warn!(target: "stannel", "cannot remove the Unix socket {}: {error}", self.path.display());
        }
    }
}

fn file_at(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

pub(super) fn bind_path(endpoint: &ListenOptions, path: &Path, workers: usize) -> Result<Bound, BindError> {
    let refused = |error| endpoint.refused(endpoint.binding(), error);
    let socket = match bind(path, endpoint.socket_mode) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && endpoint.replace_stale_socket => {
            remove_if_stale(path).map_err(refused)?;
            bind(path, endpoint.socket_mode)
        }
        other => other,
    };
    let (socket, unix_path) = socket.map_err(refused)?;
    let listeners = share_unix(socket, workers).map_err(refused)?;
    Ok(Bound {
        binding: endpoint.binding().clone(),
        socket_addrs: Vec::new(),
        listeners,
        unix_path: Some(unix_path),
    })
}

/// Nobody can connect before `listen`, so the rights are set before the first connection.
fn bind(path: &Path, mode: Option<u32>) -> io::Result<(std::os::unix::net::UnixListener, UnixPath)> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let unix_path = UnixPath {
        path: path.to_owned(),
        file: file_at(path)?,
    };
    if let Some(mode) = mode {
        std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    socket.listen(BACKLOG)?;
    Ok((socket.into(), unix_path))
}

/// Removes a socket on which nobody listens. A file of any other kind stays.
///
/// Somebody else may replace it at the same time. So it is moved away first, which takes exactly one file, and looked at
/// there: a socket that is not the one that was stale goes back.
fn remove_if_stale(path: &Path) -> io::Result<()> {
    let in_use = || io::Error::from(io::ErrorKind::AddrInUse);
    let file = file_at(path)?;
    let is_socket = std::fs::symlink_metadata(path)?.file_type().is_socket();
    let is_refused =
        || matches!(UnixStream::connect(path), Err(error) if error.kind() == io::ErrorKind::ConnectionRefused);
    if !is_socket || !is_refused() {
        return Err(in_use());
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".stale-{}", std::process::id()));
    std::fs::rename(path, &aside)?;
    if file_at(Path::new(&aside))? != file {
        // A link does not replace what may be there by now.
        std::fs::hard_link(&aside, path)?;
        std::fs::remove_file(&aside)?;
        return Err(in_use());
    }
    std::fs::remove_file(&aside)
}

pub(super) fn bind_abstract(endpoint: &ListenOptions, name: &str, workers: usize) -> Result<Bound, BindError> {
    use std::os::linux::net::SocketAddrExt;
    let listeners = std::os::unix::net::SocketAddr::from_abstract_name(name)
        .and_then(|address| std::os::unix::net::UnixListener::bind_addr(&address))
        .and_then(|listener| share_unix(listener, workers))
        .map_err(|error| endpoint.refused(endpoint.binding(), error))?;
    Ok(Bound {
        binding: endpoint.binding().clone(),
        socket_addrs: Vec::new(),
        listeners,
        unix_path: None,
    })
}

/// Unix sockets have no SO_REUSEPORT: all workers wait on the same one.
pub(super) fn share_unix(
    listener: std::os::unix::net::UnixListener,
    workers: usize,
) -> io::Result<Vec<(usize, Listener)>> {
    listener.set_nonblocking(true)?;
    let mut listeners = Vec::new();
    for worker in 1..workers {
        listeners.push((worker, Listener::Unix(UnixListener::from_std(listener.try_clone()?))));
    }
    listeners.push((0, Listener::Unix(UnixListener::from_std(listener))));
    Ok(listeners)
}
