//! Who has the address that could not be bound, as far as `/proc` tells it.

use crate::endpoint::Binding;
use std::fs;
use std::path::Path;

/// Processes that are looked at: a start must not take long for the sake of a better message.
const PROCESSES: usize = 4096;

/// The name and number of the process that listens there.
pub(super) fn owner_of(binding: &Binding) -> Option<String> {
    let inodes = match binding {
        Binding::Address(address) => listening_on(address.port()),
        Binding::Localhost(port) | Binding::AnyIp(port) => listening_on(*port),
        Binding::Unix(path) => unix_inodes(path.to_str()?),
        Binding::UnixAbstract(name) => unix_inodes(&format!("@{name}")),
        Binding::Handle(_) => Vec::new(),
    };
    let pid = holder_of(&inodes)?;
    if pid == std::process::id() {
        return Some("this server itself: two of its endpoints want it".to_owned());
    }
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(format!("{} (process {pid})", name.trim().escape_debug()))
}

/// The sockets that listen on a TCP port, on whatever address: overlaps are what keeps others out.
fn listening_on(port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let mut inodes = Vec::new();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        for line in fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let local = fields.get(1).and_then(|address| address.rsplit_once(':'));
            let is_there = local.is_some_and(|(_, hex)| u16::from_str_radix(hex, 16) == Ok(port));
            if is_there && fields.get(3) == Some(&LISTEN) {
                inodes.extend(fields.get(9).map(|inode| (*inode).to_owned()));
            }
        }
    }
    inodes
}

fn unix_inodes(path: &str) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/net/unix").unwrap_or_default();
    let inode = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.get(7) == Some(&path))
            .then(|| fields.get(6).map(|inode| (*inode).to_owned()))
            .flatten()
    };
    table.lines().filter_map(inode).collect()
}

/// The process with one of these sockets open; other users' processes do not show theirs.
fn holder_of(inodes: &[String]) -> Option<u32> {
    if inodes.is_empty() {
        return None;
    }
    let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let is_one = |link: &Path| link.to_str().is_some_and(|link| links.iter().any(|one| one == link));
    let has_one = |pid: u32| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let mut open = descriptors
            .flatten()
            .filter_map(|entry| fs::read_link(entry.path()).ok());
        open.any(|link| is_one(&link)).then_some(pid)
    };
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .take(PROCESSES)
        .find_map(has_one)
}

#[cfg(test)]
mod tests {
    use super::owner_of;
    use crate::endpoint::Binding;
    use std::net::TcpListener;

    #[test]
    fn this_process_knows_itself() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let owner = owner_of(&Binding::AnyIp(listener.local_addr().unwrap().port()));
        assert_eq!(
            owner.as_deref(),
            Some("this server itself: two of its endpoints want it")
        );
        assert_eq!(owner_of(&Binding::Unix("/folder/that/is/not/there".into())), None);
    }
}
