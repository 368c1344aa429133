//! The endpoints that are and were served, with their counters.

use super::listener::BoundAddress;
use crate::event::{Counters, EndpointMetrics, Metrics};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Known to the handle and to whoever changes endpoints.
#[derive(Debug)]
pub(super) struct Endpoints {
    workers: usize,
    slots: Mutex<Vec<Slot>>,
}

#[derive(Debug)]
struct Slot {
    address: BoundAddress,
    /// One for each worker.
    counters: Vec<Arc<Counters>>,
    /// When it was given up; `None`: it is accepted from.
    closed: Option<Instant>,
}

/// How long an index is not used again: by then every worker has heard that its endpoint is closed, and the connections
/// that were in its queue are counted.
const REST: Duration = Duration::from_secs(30);

impl Slot {
    fn metrics(&self) -> EndpointMetrics {
        let mut sum = EndpointMetrics::named(self.address.to_string());
        self.counters.iter().for_each(|counters| sum.add_counters(counters));
        sum
    }

    /// Whether nothing can be counted any more.
    fn is_over(&self) -> bool {
        self.closed.is_some() && self.metrics().active_connections == 0
    }

    fn is_free(&self) -> bool {
        self.is_over() && self.closed.is_some_and(|closed| closed.elapsed() >= REST)
    }
}

impl Endpoints {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            workers,
            slots: Mutex::default(),
        }
    }

    /// A new endpoint: its index, and counters for each worker. An index whose connections are all gone is used again.
    ///
    /// # Panics
    /// When there are more than 65,536 of them, which [`has_room`](Self::has_room) tells.
    pub(super) fn add(&self, address: BoundAddress) -> (u16, Vec<Arc<Counters>>) {
        let counters: Vec<Arc<Counters>> = (0..self.workers).map(|_| Arc::default()).collect();
        let slot = Slot {
            address,
            counters: counters.clone(),
            closed: None,
        };
        let mut slots = self.slots();
        let index = slots.iter().position(Slot::is_free).unwrap_or(slots.len());
        if index == slots.len() {
            slots.push(slot);
        } else {
            slots[index] = slot;
        }
        let index = u16::try_from(index).expect("there is room for it");
        (index, counters)
    }

    pub(super) fn has_room(&self, more: usize) -> bool {
        self.slots().len() + more <= usize::from(u16::MAX)
    }

    pub(super) fn close(&self, index: u16) {
        if let Some(slot) = self.slots().get_mut(usize::from(index)) {
            slot.closed = Some(Instant::now());
        }
    }

    /// What is listened on.
    pub(super) fn addresses(&self) -> Vec<BoundAddress> {
        let open = |slot: &Slot| slot.closed.is_none().then(|| slot.address.clone());
        self.slots().iter().filter_map(open).collect()
    }

    /// Those of endpoints that are served, and of others until their last connection is gone.
    pub(super) fn metrics(&self) -> Metrics {
        let slots = self.slots();
        Metrics {
            endpoints: slots.iter().filter(|slot| !slot.is_over()).map(Slot::metrics).collect(),
        }
    }

    /// The counters of one worker, by index.
    pub(super) fn counters_of(&self, worker: usize) -> Vec<Arc<Counters>> {
        self.slots()
            .iter()
            .map(|slot| Arc::clone(&slot.counters[worker]))
            .collect()
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Slot>> {
        // Nothing is left half done in there.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
