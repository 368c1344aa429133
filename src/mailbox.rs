//! Letters from other threads to a loop.

use crate::handler::{Bell, DeferredResponse, ExchangeId};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where other threads leave letters for one loop.
pub(crate) struct Mailbox {
    /// `None` once nobody takes them any more.
    letters: Mutex<Option<Vec<Letter>>>,
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
            letters: Mutex::new(Some(Vec::new())),
            wake: Box::new(wake),
        }
    }

    pub(crate) fn post(&self, key: usize, id: ExchangeId, content: Content) {
        let letter = Letter { key, id, content };
        let is_first = match &mut *self.letters() {
            Some(letters) => {
                letters.push(letter);
                letters.len() == 1
            }
            None => return,
        };
        if is_first {
            (self.wake)();
        }
    }

    /// Moves all letters into `into`, which must be empty; its memory becomes the mailbox's.
    pub(crate) fn take(&self, into: &mut Vec<Letter>) {
        debug_assert!(into.is_empty());
        if let Some(letters) = &mut *self.letters() {
            std::mem::swap(letters, into);
        }
    }

    /// The loop has ended: what is left and what still comes is thrown away. A letter may hold on to its mailbox, so what
    /// lay in there would keep both for ever.
    pub(crate) fn close(&self) {
        let left = self.letters().take();
        drop(left);
    }

    fn letters(&self) -> MutexGuard<'_, Option<Vec<Letter>>> {
        // A push cannot leave the list broken, whoever panicked.
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}
