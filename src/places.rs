//! Counted places: a limit on how many may be in at once, shared by all loops.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of places; without a limit it costs nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    limited: Option<Arc<Limited>>,
}

#[derive(Debug)]
struct Limited {
    most: usize,
    taken: AtomicUsize,
}

/// One taken place, given back exactly once: when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Place {
    limited: Option<Arc<Limited>>,
}

impl Places {
    pub(crate) fn new(most: Option<usize>) -> Self {
        Self {
            limited: most.map(|most| {
                Arc::new(Limited {
                    most,
                    taken: AtomicUsize::new(0),
                })
            }),
        }
    }

    pub(crate) fn take(&self) -> Option<Place> {
        let Some(limited) = &self.limited else {
            return Some(Place::default());
        };
        let enter = |taken| (taken < limited.most).then_some(taken + 1);
        limited
            .taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, enter)
            .ok()?;
        Some(Place {
            limited: Some(Arc::clone(limited)),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(limited) = &self.limited {
            limited.taken.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Places;

    #[test]
    fn a_place_comes_back_when_it_is_dropped() {
        let places = Places::new(Some(1));
        let place = places.take();
        assert!(place.is_some() && places.take().is_none());
        drop(place);
        assert!(places.take().is_some());
        assert!(Places::new(Some(0)).take().is_none());
        assert!(Places::default().take().is_some());
    }
}
