//! A ClientHello that can be changed.

// Each test file uses a part of it.
#![allow(dead_code)]

/// A ClientHello in its parts (RFC 8446 §4.1.2).
#[derive(Clone)]
pub(crate) struct Greeting {
    /// Version, random, session id, cipher suites and compression methods.
    first: Vec<u8>,
    extensions: Vec<(u16, Vec<u8>)>,
}

pub(crate) const SERVER_NAME: u16 = 0;

impl Greeting {
    /// Takes apart one that lies in a single record.
    pub(crate) fn of(record: &[u8]) -> Self {
        let message = &record[9..];
        let mut at = 2 + 32;
        at += 1 + usize::from(message[at]);
        at += 2 + usize::from(u16::from_be_bytes([message[at], message[at + 1]]));
        at += 1 + usize::from(message[at]);
        let mut rest = &message[at + 2..];
        let mut extensions = Vec::new();
        while let [k1, k2, l1, l2, behind @ ..] = rest {
            let (content, behind) = behind.split_at(usize::from(u16::from_be_bytes([*l1, *l2])));
            extensions.push((u16::from_be_bytes([*k1, *k2]), content.to_vec()));
            rest = behind;
        }
        Self {
            first: message[..at].to_vec(),
            extensions,
        }
    }

    /// With another content of that extension, or without it.
    pub(crate) fn with(&self, kind: u16, content: Option<&[u8]>) -> Self {
        let mut new = self.clone();
        new.extensions.retain(|(other, _)| *other != kind);
        if let Some(content) = content {
            new.extensions.insert(0, (kind, content.to_vec()));
        }
        new
    }

    /// With a server name extension that has these entries: a type and a name each.
    pub(crate) fn with_names(&self, names: &[(u8, &[u8])]) -> Self {
        let mut list = Vec::new();
        for (kind, name) in names {
            list.push(*kind);
            list.extend(u16::try_from(name.len()).unwrap().to_be_bytes());
            list.extend(*name);
        }
        let length = u16::try_from(list.len()).unwrap().to_be_bytes();
        self.with(SERVER_NAME, Some(&[&length[..], &list].concat()))
    }

    /// The record with the message in it.
    pub(crate) fn record(&self) -> Vec<u8> {
        let mut extensions = Vec::new();
        for (kind, content) in &self.extensions {
            extensions.extend(kind.to_be_bytes());
            extensions.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
            extensions.extend(content);
        }
        let length = u16::try_from(extensions.len()).unwrap().to_be_bytes();
        let message = [&self.first[..], &length, &extensions].concat();
        let [_, high, middle, low] = u32::try_from(message.len()).unwrap().to_be_bytes();
        super::forger::plain_record(
            super::forger::HANDSHAKE,
            &[&[1, high, middle, low], &message[..]].concat(),
        )
    }
}
