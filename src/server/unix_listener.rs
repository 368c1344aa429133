//! Unix sockets: binding a path without leaving a moment in which somebody else could connect, and removing it again.

use super::address_owner::is_bound_to;
use super::listener::{BACKLOG, Bound, Listener};
use crate::endpoint::{BindError, ListenOptions};
use mio::net::UnixListener;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::Permissions;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};

/// The file of a Unix socket; removed when this is dropped, if it still is the one that was made.
#[derive(Debug)]
pub(super) struct UnixPath {
    path: PathBuf,
    /// Device and inode.
    file: (u64, u64),
    /// While it is open no other file gets the inode's number, and nobody takes the socket for a stale one: the file that
    /// is removed cannot be a successor's.
    _socket: Socket,
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
    let mode = endpoint.socket_mode;
    let bound = if endpoint.replace_stale_socket {
        bind_replacing(path, mode)
    } else {
        bind(path, mode)
    };
    bound
        .and_then(|(socket, unix_path)| {
            Ok(Bound {
                binding: endpoint.binding().clone(),
                socket_addrs: Vec::new(),
                listeners: share_unix(socket, workers)?,
                unix_path: Some(unix_path),
            })
        })
        .map_err(|error| endpoint.refused(endpoint.binding(), error))
}

/// Nobody can connect before `listen`, so the rights are set before the first connection.
fn bind(path: &Path, mode: Option<u32>) -> io::Result<(std::os::unix::net::UnixListener, UnixPath)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    // Before there is a file, which nobody would remove if this failed.
    let kept = socket.try_clone()?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = file_at(path).inspect_err(|_| {
        // It was made a moment ago; that it cannot be looked at is what is told.
        let _ = std::fs::remove_file(path);
    })?;
    let unix_path = UnixPath {
        path: path.to_owned(),
        file,
        _socket: kept,
    };
    if let Some(mode) = mode {
        std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    socket.listen(BACKLOG)?;
    Ok((socket.into(), unix_path))
}

/// Puts a new socket in the place of one that nobody serves. A file of any other kind stays.
///
/// Looking, removing and binding are three steps. Of two servers that do them at the same time the slower one would
/// remove the socket of the faster one, which would go on without clients and without knowing it: so they take turns, and
/// whoever finds another one at work is refused.
fn bind_replacing(path: &Path, mode: Option<u32>) -> io::Result<(std::os::unix::net::UnixListener, UnixPath)> {
    let _turn = turn_at(path)?;
    match bind(path, mode) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
            std::fs::remove_file(path)?;
            bind(path, mode)
        }
        other => other,
    }
}

/// An abstract socket with the name of the file serves as the lock: binding it is one step, only one can have it, it
/// leaves no file, and the system takes it from a process that dies.
fn turn_at(path: &Path) -> io::Result<UnixDatagram> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // However the folder is called.
    let folder = std::fs::metadata(folder)?;
    let mut name = format!("stannel/{:x}/{:x}/", folder.dev(), folder.ino()).into_bytes();
    // Two files of one folder whose long names begin alike may be refused for each other's sake, at the same moment.
    let file = path.file_name().unwrap_or_default().as_bytes();
    let room = ABSTRACT_NAME.saturating_sub(name.len());
    name.extend(file.iter().take(room));
    UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?)
}

/// The longest name of an abstract socket.
const ABSTRACT_NAME: usize = 107;

/// Whether it is a socket that nobody has open: one that is bound and does not listen yet refuses connections too.
fn is_stale(path: &Path) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    let is_refused =
        || matches!(UnixStream::connect(path), Err(error) if error.kind() == io::ErrorKind::ConnectionRefused);
    is_socket && is_refused() && !is_bound_to(path)
}

pub(super) fn bind_abstract(endpoint: &ListenOptions, name: &str, workers: usize) -> Result<Bound, BindError> {
    let listeners = SocketAddr::from_abstract_name(name)
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

#[cfg(test)]
mod tests {
    use super::bind;

    /// Many file systems give the next file the number of the one that has just gone.
    #[test]
    fn a_file_with_the_same_number_is_not_taken_for_ours() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let (listener, unix_path) = bind(&path, None).unwrap();
        drop(listener);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        drop(unix_path);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        std::fs::remove_file(&path).unwrap();
        let (listener, unix_path) = bind(&path, None).unwrap();
        drop(listener);
        drop(unix_path);
        assert!(!path.exists(), "its own is removed");
    }
}
