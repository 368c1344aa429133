//! Letters from other threads to a loop.

use crate::handler::{Bell, DeferredResponse, ExchangeId};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where other threads leave letters for one loop.
pub(crate) struct Mailbox {
    letters: Mutex<Vec<Letter>>,
    /// Wakes the loop; called only for the first letter that it has not seen yet.
    wake: Box<dyn Fn() + Send + Sync>,
}

/// Something for one exchange of one connection. Letters to an exchange that is over are thrown away.
pub(crate) struct Letter {
    pub(crate) key: usize,
    pub(crate) id: ExchangeId,
    pub(crate) content: Content,
}

pub(crate) enum Content {
    Wake(Arc<Bell>),
    Response(Box<DeferredResponse>),
}

impl Mailbox {
    pub(crate) fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            letters: Mutex::default(),
            wake: Box::new(wake),
        }
    }

    pub(crate) fn post(&self, key: usize, id: ExchangeId, content: Content) {
        let is_first = {
            let mut letters = self.letters();
            letters.push(Letter { key, id, content });
            letters.len() == 1
        };
        if is_first {
            (self.wake)();
        }
    }

    /// Moves all letters into `into`, which must be empty; its memory becomes the mailbox's.
    pub(crate) fn take(&self, into: &mut Vec<Letter>) {
        debug_assert!(into.is_empty());
        std::mem::swap(&mut *self.letters(), into);
    }

    fn letters(&self) -> MutexGuard<'_, Vec<Letter>> {
        // A push cannot leave the list broken, whoever panicked.
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}
