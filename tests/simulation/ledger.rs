//! What the observer of the simulation hears, and whether it adds up.

#![allow(dead_code, reason = "each user takes some of it")]

use super::service::number;
use stannel::{CloseReason, ConnectionInfo, Observer, Rejection, Request, StatusCode};
use std::collections::HashMap;
use std::sync::Mutex;

#[derive(Default)]
pub(crate) struct Ledger {
    entries: Mutex<HashMap<usize, Entry>>,
}

/// What one connection has answered so far.
#[derive(Clone, Copy, Default)]
pub(crate) struct Responses {
    pub(crate) count: usize,
    pub(crate) is_upgraded: bool,
}

/// One connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    accepted: usize,
    closed: Vec<CloseReason>,
    requests: Vec<u32>,
    responses: Vec<(u32, StatusCode)>,
    rejected: Vec<Rejection>,
}

impl Ledger {
    fn note(&self, connection: &ConnectionInfo, note: impl FnOnce(&mut Entry)) {
        note(self.entries.lock().unwrap().entry(number(connection)).or_default());
    }

    /// Of a connection that was accepted.
    pub(crate) fn entry(&self, peer: usize) -> Option<Entry> {
        self.entries.lock().unwrap().get(&peer).cloned()
    }

    pub(crate) fn responses(&self, peer: usize) -> Responses {
        let entries = self.entries.lock().unwrap();
        let responses = entries.get(&peer).map_or(&[][..], |entry| &entry.responses);
        Responses {
            count: responses.len(),
            is_upgraded: responses
                .last()
                .is_some_and(|&(_, status)| status == StatusCode::SWITCHING_PROTOCOLS),
        }
    }

    pub(crate) fn requests(&self) -> usize {
        let entries = self.entries.lock().unwrap();
        entries.values().map(|entry| entry.requests.len()).sum()
    }

    pub(crate) fn connections(&self) -> usize {
        self.entries.lock().unwrap().len()
    }
}

impl Observer for Ledger {
    fn accepted(&self, connection: &ConnectionInfo) {
        self.note(connection, |entry| entry.accepted += 1);
    }

    fn request(&self, request: &Request<'_>) {
        self.note(request.connection(), |entry| entry.requests.push(request.number()));
    }

    fn response(&self, connection: &ConnectionInfo, number: u32, status: StatusCode) {
        self.note(connection, |entry| entry.responses.push((number, status)));
    }

    fn rejected(&self, connection: &ConnectionInfo, reason: Rejection, _: &[u8]) {
        self.note(connection, |entry| entry.rejected.push(reason));
    }

    fn closed(&self, connection: &ConnectionInfo, reason: CloseReason) {
        self.note(connection, |entry| entry.closed.push(reason));
    }
}

impl Entry {
    pub(crate) fn responses(&self) -> usize {
        self.responses.len()
    }

    pub(crate) fn reason(&self) -> Option<CloseReason> {
        self.closed.first().copied()
    }

    /// Whether it adds up for a connection that is over.
    pub(crate) fn check(&self) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{what}: {self:?}"));
        if self.accepted != 1 || self.closed.len() != 1 {
            return wrong("it was not accepted and closed once");
        }
        if !self.requests.iter().copied().eq(1..=self.requests.len() as u32) {
            return wrong("requests are not counted one by one");
        }
        if !self.responses.is_sorted_by(|first, second| first.0 < second.0) {
            return wrong("a request was answered twice, or before its turn");
        }
        if self.rejected.len() > 1 || self.responses.len() > self.requests.len() + self.rejected.len() {
            return wrong("there are responses that nobody asked for");
        }
        let is_orderly = self.reason().is_some_and(|reason| reason.error_type().is_none());
        if is_orderly && self.responses.len() != self.requests.len() {
            return wrong("it ended in order, but not everything was answered");
        }
        Ok(())
    }
}
