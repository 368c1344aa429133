//! A client whose records are made by hand, under the keys of a real handshake: what no library sends.

// Each test file uses a part of it.
#![allow(dead_code)]

use super::tls::{Peer, Trusting};
use rustls::client::Resumption;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, Iv, MessageDecrypter, MessageEncrypter, OutboundChunks, OutboundPlainMessage,
};
use rustls::{ConnectionTrafficSecrets, ContentType, ProtocolVersion, SupportedCipherSuite, SupportedProtocolVersion};
use std::sync::Arc;

/// Types of records (RFC 8446 §5.1).
pub(crate) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const DATA: u8 = 23;

/// Levels of alerts.
pub(crate) const WARNING: u8 = 1;
pub(crate) const FATAL: u8 = 2;

/// A record as it lies on the wire before there are keys.
pub(crate) fn plain_record(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[kind, 3, 3], &length[..], content].concat()
}

/// A client whose keys can be taken.
pub(crate) fn open_hearted(version: &'static SupportedProtocolVersion) -> Peer {
    let mut config = Trusting::new().config(&[version]);
    config.enable_secret_extraction = true;
    config.resumption = Resumption::disabled();
    Peer::new(&Arc::new(config), "site.test")
}

pub(crate) struct Forger {
    encrypter: Box<dyn MessageEncrypter>,
    decrypter: Box<dyn MessageDecrypter>,
    sent: u64,
    opened: u64,
}

impl Forger {
    /// Goes on where an [`open_hearted`] client has come to, which must be behind its handshake.
    pub(crate) fn of(peer: Peer) -> Self {
        let suite = peer.tls.negotiated_cipher_suite().unwrap();
        let secrets = peer.tls.dangerous_extract_secrets().unwrap();
        let ((sent, ours), (opened, theirs)) = (secrets.tx, secrets.rx);
        let mut new = Self {
            encrypter: encrypter(suite, ours),
            decrypter: decrypter(suite, theirs),
            sent: 0,
            opened,
        };
        // The library wants to see all numbers in their order.
        while new.sent < sent {
            new.record(DATA, b"");
        }
        new
    }

    /// A sealed record with that in it, whatever it is.
    pub(crate) fn record(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let message = OutboundPlainMessage {
            typ: ContentType::from(kind),
            version: ProtocolVersion::TLSv1_2,
            payload: OutboundChunks::Single(content),
        };
        let sealed = self.encrypter.encrypt(message, self.sent).unwrap();
        self.sent += 1;
        sealed.encode()
    }

    pub(crate) fn alert(&mut self, level: u8, description: u8) -> Vec<u8> {
        self.record(ALERT, &[level, description])
    }

    /// What lies in the server's records, each with its type.
    pub(crate) fn open(&mut self, mut records: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut opened = Vec::new();
        while let Some((head, rest)) = records.split_at_checked(5) {
            let (sealed, rest) = rest.split_at(usize::from(u16::from_be_bytes([head[3], head[4]])));
            records = rest;
            let mut sealed = sealed.to_vec();
            let version = ProtocolVersion::TLSv1_2;
            let message = InboundOpaqueMessage::new(ContentType::from(head[0]), version, &mut sealed);
            let plain = self.decrypter.decrypt(message, self.opened).unwrap();
            self.opened += 1;
            opened.push((u8::from(plain.typ), plain.payload.to_vec()));
        }
        assert!(records.is_empty(), "half a record");
        opened
    }
}

fn encrypter(suite: SupportedCipherSuite, secrets: ConnectionTrafficSecrets) -> Box<dyn MessageEncrypter> {
    let (key, iv) = parts(secrets);
    match suite {
        SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(key, iv),
        SupportedCipherSuite::Tls12(suite) => {
            let (fixed, explicit) = iv.as_ref().split_at(suite.aead_alg.key_block_shape().fixed_iv_len);
            suite.aead_alg.encrypter(key, fixed, explicit)
        }
    }
}

fn decrypter(suite: SupportedCipherSuite, secrets: ConnectionTrafficSecrets) -> Box<dyn MessageDecrypter> {
    let (key, iv) = parts(secrets);
    match suite {
        SupportedCipherSuite::Tls13(suite) => suite.aead_alg.decrypter(key, iv),
        SupportedCipherSuite::Tls12(suite) => {
            let fixed = &iv.as_ref()[..suite.aead_alg.key_block_shape().fixed_iv_len];
            suite.aead_alg.decrypter(key, fixed)
        }
    }
}

fn parts(secrets: ConnectionTrafficSecrets) -> (AeadKey, Iv) {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key, iv),
        _ => unreachable!("there are no others"),
    }
}
