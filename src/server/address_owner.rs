//! Who has the address that could not be bound, as far as `/proc` tells it.

use crate::endpoint::Binding;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// Processes that are looked at: a start must not take long for the sake of a better message.
const PROCESSES: usize = 4096;

/// The name and number of the process that listens there.
pub(super) fn owner_of(binding: &Binding) -> Option<String> {
    let on = |ip: IpAddr, port: u16| listening_on(SocketAddr::new(ip, port));
    let inodes = match binding {
        Binding::Address(address) => listening_on(*address),
        // In the order in which they are bound.
        Binding::Localhost(port) => match on(Ipv4Addr::LOCALHOST.into(), *port) {
            none if none.is_empty() => on(Ipv6Addr::LOCALHOST.into(), *port),
            some => some,
        },
        Binding::AnyIp(port) => on(Ipv6Addr::UNSPECIFIED.into(), *port),
        Binding::Unix(path) => unix_inodes(&path.to_string_lossy()),
        Binding::UnixAbstract(name) => unix_inodes(&format!("@{name}")),
        Binding::Handle(_) => Vec::new(),
    };
    let pid = holder_of(&inodes)?;
    if pid == std::process::id() {
        return Some("this process itself: another of its endpoints or servers has it".to_owned());
    }
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(format!("{} (process {pid})", name.trim().escape_debug()))
}

/// Whether somebody has a Unix socket open that is bound to this path, whether or not it listens.
pub(super) fn is_bound_to(path: &Path) -> bool {
    !unix_inodes(&path.to_string_lossy()).is_empty()
}

/// The sockets that listen where this address cannot be had because of them.
fn listening_on(address: SocketAddr) -> Vec<String> {
    const LISTEN: &str = "0A";
    let mut inodes = Vec::new();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        for line in fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let local = fields.get(1).and_then(|local| socket_addr(local));
            if local.is_some_and(|local| overlap(local, address)) && fields.get(3) == Some(&LISTEN) {
                inodes.extend(fields.get(9).map(|inode| (*inode).to_owned()));
            }
        }
    }
    inodes
}

/// `0100007F:1388`: words of 32 bits as they lie in memory, written as numbers of this machine.
fn socket_addr(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.rsplit_once(':')?;
    let mut bytes = Vec::new();
    for word in ip.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let ip: IpAddr = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(ip) => ip.into(),
        Err(_) => <[u8; 16]>::try_from(bytes.as_slice()).ok()?.into(),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// Whether two sockets cannot have both. `[::]` may be for IPv6 alone; what it has is not in the table.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let has = |one: IpAddr, other: IpAddr| one.is_unspecified() && (one.is_ipv6() || other.is_ipv4());
    let (port, one, other) = (one.port() == other.port(), one.ip(), other.ip());
    port && (one == other || has(one, other) || has(other, one))
}

/// The sockets that are bound to this path, or name behind an `@`; not the connections that were accepted there.
fn unix_inodes(path: &str) -> Vec<String> {
    const UNCONNECTED: &str = "01";
    let table = fs::read("/proc/self/net/unix").unwrap_or_default();
    let table = String::from_utf8_lossy(&table);
    let inode = |mut line: &str| {
        let mut fields = [""; 7];
        for field in &mut fields {
            (*field, line) = line.trim_start().split_once(' ')?;
        }
        let [.., state, inode] = fields;
        // The rest is the path, with its blanks.
        (line == path && state == UNCONNECTED).then(|| inode.to_owned())
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
    use super::{overlap, owner_of, socket_addr};
    use crate::endpoint::Binding;
    use std::net::TcpListener;

    #[test]
    fn this_process_knows_itself() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        for binding in [
            Binding::AnyIp(port),
            Binding::Localhost(port),
            Binding::Address(([127, 0, 0, 1], port).into()),
            Binding::Address(([0, 0, 0, 0], port).into()),
        ] {
            let owner = owner_of(&binding);
            let expected = "this process itself: another of its endpoints or servers has it";
            assert_eq!(owner.as_deref(), Some(expected), "{binding}");
        }
        // The port alone keeps nobody out.
        assert_eq!(owner_of(&Binding::Address(([127, 0, 0, 2], port).into())), None);
        assert_eq!(owner_of(&Binding::Unix("/folder/that/is/not/there".into())), None);
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn the_tables_addresses_are_read() {
        for (text, expected) in [
            ("0100007F:1388", Some("127.0.0.1:5000")),
            ("00000000:0050", Some("0.0.0.0:80")),
            ("00000000000000000000000001000000:1388", Some("[::1]:5000")),
            ("0000000000000000FFFF00000100007F:1388", Some("[::ffff:127.0.0.1]:5000")),
            ("0100007F", None),
            ("0100007F01:1388", None),
            ("0100007F:13880", None),
            ("local_address", None),
        ] {
            let expected = expected.map(|address| address.parse().unwrap());
            assert_eq!(socket_addr(text), expected, "{text}");
        }
    }

    #[test]
    fn overlaps() {
        for (one, other, expected) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("127.0.0.1:1", "0.0.0.0:1", true),
            ("127.0.0.1:1", "[::]:1", true),
            ("127.0.0.1:1", "[::1]:1", false),
            ("0.0.0.0:1", "[::]:1", true),
            ("0.0.0.0:1", "[::1]:1", false),
            ("[::]:1", "[::1]:1", true),
        ] {
            let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(overlap(one, other), expected, "{one} {other}");
            assert_eq!(overlap(other, one), expected, "{other} {one}");
        }
    }
}
