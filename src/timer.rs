//! Deadlines of many connections: a timer wheel that knows no clock.
//!
//! Exactness is not wanted: a timeout of seconds may come a quarter of a second late, but never early. So deadlines
//! are sorted into slots, and arming, disarming and moving one are a few writes into memory that is already there.
//!
//! This module is for whoever drives the core: a loop hands [`Time`] to its engine and keeps the deadlines of its
//! connections in a [`TimerWheel`].

use std::ops::Add;
use std::time::Duration;

/// A moment: milliseconds since the event loop began.
///
/// ```
/// use stannel::timer::Time;
/// use std::time::Duration;
///
/// let start = Time::from_millis(500);
/// let later = start + Duration::from_secs(2);
/// assert_eq!(later.as_millis(), 2500);
/// assert_eq!(later.since(start), Duration::from_secs(2));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// When the loop began.
    pub const ZERO: Self = Self(0);

    /// The moment that many milliseconds after the loop began.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the loop began.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The moment that much later, rounded up to a millisecond; at most the last one there is.
    #[must_use]
    pub const fn saturating_add(self, duration: Duration) -> Self {
        // Rounded up, so that no deadline comes before its time.
        let below_second = duration.subsec_nanos().div_ceil(1_000_000);
        let millis = duration.as_secs().saturating_mul(1000);
        Self(self.0.saturating_add(millis).saturating_add(below_second as u64))
    }

    /// The moment so many milliseconds later; at most the last one there is.
    #[must_use]
    pub const fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// How long ago `earlier` was; nothing if it is yet to come.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    /// The same as [`Time::saturating_add`].
    fn add(self, duration: Duration) -> Self {
        self.saturating_add(duration)
    }
}

/// One deadline per key, sorted into slots of 256 ms.
///
/// Keys are small numbers as a slab gives them. Memory grows with the largest key (12 bytes each) and is kept.
///
/// A key comes back from [`pop_expired`](Self::pop_expired) at the end of its slot: never before its deadline, and less
/// than one slot late. What comes back is a question, not a verdict: [`arm`](Self::arm) leaves a key alone that will
/// come back earlier anyway, and a deadline beyond the horizon (about 130 s) comes back there. So whoever owns the key
/// looks at the real deadline, and arms again if it is still to come.
///
/// ```
/// use stannel::timer::{Time, TimerWheel};
///
/// let mut wheel = TimerWheel::new();
/// wheel.arm(3, Time::from_millis(1000));
/// assert_eq!(wheel.pop_expired(Time::from_millis(999)), None);
/// assert_eq!(wheel.pop_expired(Time::from_millis(1024)), Some(3));
/// ```
#[derive(Clone, Debug)]
pub struct TimerWheel {
    nodes: Vec<Node>,
    /// The first key of each slot.
    heads: [u32; SLOTS],
    /// One bit for each slot that has keys.
    occupied: [u64; WORDS],
    /// One bit for each word of `occupied` that is not zero.
    occupied_words: u8,
    /// The last slot whose end is past, counted from [`Time::ZERO`]. Its keys have expired; those of the slots behind it,
    /// up to the horizon, wait.
    current: u64,
}

/// A key's place in the list of its slot.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// The key before it, or `NONE` for the first.
    before: u32,
    /// The key behind it, or `NONE` for the last.
    behind: u32,
    /// The slot, or `DISARMED`.
    slot: u16,
}

impl Default for TimerWheel {
    fn default() -> Self {
        Self::new()
    }
}

impl TimerWheel {
    /// A wheel without keys, at [`Time::ZERO`].
    #[must_use]
    pub const fn new() -> Self {
        Self {
            nodes: Vec::new(),
            heads: [NONE; SLOTS],
            occupied: [0; WORDS],
            occupied_words: 0,
            current: 0,
        }
    }

    /// Sees to it that the key comes back soon after the deadline or earlier.
    ///
    /// If it already will, nothing changes. So a timeout that starts anew with every byte costs next to nothing: the
    /// key comes back once at the old deadline and is armed again for the new one. To give up an earlier deadline at
    /// once, [`disarm`](Self::disarm) first.
    ///
    /// # Panics
    ///
    /// If the key is `u32::MAX` or more: no process has that many connections.
    pub fn arm(&mut self, key: usize, deadline: Time) {
        // A slot ends at a multiple of its length, and that end is the earliest time for its keys. The current slot is
        // over, so the next one is the first that can be waited for.
        let distance = deadline
            .0
            .div_ceil(SLOT_MILLIS)
            .saturating_sub(self.current)
            .clamp(1, HORIZON);
        match self.nodes.get(key) {
            None => {
                assert!(key < NONE as usize, "key {key} is no slab key of this process");
                self.nodes.resize(key + 1, Node::DISARMED);
            }
            Some(node) if node.slot == DISARMED => {}
            Some(node) if self.distance(node.slot) <= distance => return,
            Some(_) => self.disarm(key),
        }
        self.link(key as u32, slot_of(self.current + distance));
    }

    /// Forgets the deadline of the key, if it has one.
    pub fn disarm(&mut self, key: usize) {
        let Some(node) = self.nodes.get_mut(key).filter(|node| node.slot != DISARMED) else {
            return;
        };
        let Node { before, behind, slot } = std::mem::replace(node, Node::DISARMED);
        if behind != NONE {
            self.nodes[behind as usize].before = before;
        }
        if before != NONE {
            self.nodes[before as usize].behind = behind;
            return;
        }
        let slot = usize::from(slot);
        self.heads[slot] = behind;
        if behind == NONE {
            self.occupied[slot / 64] &= !(1 << (slot % 64));
            if self.occupied[slot / 64] == 0 {
                self.occupied_words &= !(1 << (slot / 64));
            }
        }
    }

    /// Whether the key will come back.
    #[must_use]
    pub fn is_armed(&self, key: usize) -> bool {
        self.nodes.get(key).is_some_and(|node| node.slot != DISARMED)
    }

    /// How long to sleep at most: from `now` to the end of the first slot with keys, or `None` if there are no keys.
    #[must_use]
    pub fn next_deadline(&self, now: Time) -> Option<Duration> {
        let distance = self.next_occupied()?;
        let end = (self.current + distance).saturating_mul(SLOT_MILLIS);
        Some(Time(end).since(now))
    }

    /// Whether the end of a slot has passed since the last [`pop_expired`](Self::pop_expired), so that there may be keys
    /// to take: cheaper to ask than to look for them.
    #[inline]
    #[must_use]
    pub const fn has_expired(&self, now: Time) -> bool {
        now.0 / SLOT_MILLIS > self.current
    }

    /// Takes a key whose slot is over and disarms it; call it until there is none.
    ///
    /// Keys that are armed meanwhile come back in a later slot, so such a loop ends.
    pub fn pop_expired(&mut self, now: Time) -> Option<usize> {
        let ended = now.0 / SLOT_MILLIS;
        match self.next_occupied() {
            Some(distance) if self.current + distance <= ended => {
                self.current += distance;
                let key = self.heads[usize::from(slot_of(self.current))] as usize;
                self.disarm(key);
                Some(key)
            }
            _ => {
                self.current = self.current.max(ended);
                None
            }
        }
    }

    /// Puts a key to the front of a slot's list.
    fn link(&mut self, key: u32, slot: u16) {
        let index = usize::from(slot);
        let behind = std::mem::replace(&mut self.heads[index], key);
        if behind != NONE {
            self.nodes[behind as usize].before = key;
        }
        self.nodes[key as usize] = Node {
            before: NONE,
            behind,
            slot,
        };
        self.occupied[index / 64] |= 1 << (index % 64);
        self.occupied_words |= 1 << (index / 64);
    }

    /// How many slots behind the current one this one is.
    const fn distance(&self, slot: u16) -> u64 {
        (slot as u64).wrapping_sub(self.current) % SLOTS as u64
    }

    /// The smallest distance to a slot with keys: 0 for the current one.
    fn next_occupied(&self) -> Option<u64> {
        if self.occupied_words == 0 {
            return None;
        }
        let start = usize::from(slot_of(self.current));
        let (word, bit) = (start / 64, start % 64);
        let from_start = self.occupied[word] >> bit;
        if from_start != 0 {
            return Some(u64::from(from_start.trailing_zeros()));
        }
        // The words behind it, round to the lower bits of this one.
        let turned = self.occupied_words.rotate_right(word as u32 + 1);
        let word = (word + 1 + turned.trailing_zeros() as usize) % WORDS;
        let slot = word * 64 + self.occupied[word].trailing_zeros() as usize;
        Some(self.distance(slot as u16))
    }
}

impl Node {
    const DISARMED: Self = Self {
        before: NONE,
        behind: NONE,
        slot: DISARMED,
    };
}

/// The place of a slot that is counted from [`Time::ZERO`].
const fn slot_of(count: u64) -> u16 {
    (count % SLOTS as u64) as u16
}

const SLOT_MILLIS: u64 = 256;
const SLOTS: usize = 512;
const WORDS: usize = SLOTS / 64;
/// The farthest slot that can be waited for. One further would be the current one.
const HORIZON: u64 = SLOTS as u64 - 1;
/// No key.
const NONE: u32 = u32::MAX;
/// No slot.
const DISARMED: u16 = u16::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn expired(wheel: &mut TimerWheel, now: u64) -> Vec<usize> {
        let mut keys: Vec<_> = std::iter::from_fn(|| wheel.pop_expired(at(now))).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn time_saturates_and_rounds_up() {
        assert_eq!(at(5) + Duration::from_millis(7), at(12));
        assert_eq!(at(5) + Duration::from_nanos(1), at(6));
        assert_eq!(at(5) + Duration::ZERO, at(5));
        assert_eq!(at(5) + Duration::MAX, at(u64::MAX));
        assert_eq!(at(5).since(at(9)), Duration::ZERO);
        assert_eq!(at(9).since(at(5)), Duration::from_millis(4));
        assert!(Time::ZERO < at(1));
    }

    #[test]
    fn keys_come_back_at_the_end_of_their_slot() {
        for (deadline, end) in [(0, 256), (1, 256), (255, 256), (256, 256), (257, 512), (10_000, 10_240)] {
            let mut wheel = TimerWheel::new();
            assert_eq!(wheel.next_deadline(at(0)), None);
            wheel.arm(7, at(deadline));
            assert!(wheel.is_armed(7) && !wheel.is_armed(6) && !wheel.is_armed(8));
            assert_eq!(wheel.next_deadline(at(0)), Some(Duration::from_millis(end)));
            assert_eq!(wheel.next_deadline(at(end - 1)), Some(Duration::from_millis(1)));
            assert_eq!(expired(&mut wheel, end - 1), Vec::<usize>::new());
            assert_eq!(wheel.next_deadline(at(end + 9)), Some(Duration::ZERO));
            assert_eq!(expired(&mut wheel, end), [7]);
            assert!(!wheel.is_armed(7));
            assert_eq!(wheel.next_deadline(at(end)), None);
            assert_eq!(expired(&mut wheel, end + 1_000_000), Vec::<usize>::new());
        }
    }

    #[test]
    fn arming_is_lazy() {
        let mut wheel = TimerWheel::new();
        wheel.arm(3, at(1000));
        wheel.arm(3, at(9000));
        assert_eq!(wheel.next_deadline(at(0)), Some(Duration::from_millis(1024)));
        wheel.arm(3, at(500));
        assert_eq!(wheel.next_deadline(at(0)), Some(Duration::from_millis(512)));
        wheel.disarm(3);
        wheel.arm(3, at(9000));
        assert_eq!(wheel.next_deadline(at(0)), Some(Duration::from_millis(9216)));
        assert_eq!(expired(&mut wheel, 9216), [3]);
    }

    #[test]
    fn disarming_leaves_the_others() {
        for gone in 0..3 {
            let mut wheel = TimerWheel::new();
            for key in 0..3 {
                wheel.arm(key, at(100));
            }
            wheel.disarm(gone);
            wheel.disarm(gone);
            wheel.disarm(99);
            let left: Vec<_> = (0..3).filter(|&key| key != gone).collect();
            assert_eq!(expired(&mut wheel, 256), left);
        }
    }

    #[test]
    fn far_deadlines_come_back_at_the_horizon() {
        let horizon = HORIZON * SLOT_MILLIS;
        let mut wheel = TimerWheel::new();
        wheel.arm(1, at(u64::MAX));
        wheel.arm(2, at(horizon));
        assert_eq!(expired(&mut wheel, horizon - 1), Vec::<usize>::new());
        assert_eq!(expired(&mut wheel, horizon), [1, 2]);
        wheel.arm(1, at(u64::MAX));
        assert_eq!(wheel.next_deadline(at(horizon)), Some(Duration::from_millis(horizon)));
    }

    #[test]
    fn arming_while_expiring_never_loops() {
        let mut wheel = TimerWheel::new();
        for key in 0..10 {
            wheel.arm(key, at(key as u64 * 300));
        }
        let now = at(2000);
        let mut rounds = 0;
        while let Some(key) = wheel.pop_expired(now) {
            wheel.arm(key, Time::ZERO);
            rounds += 1;
            assert!(rounds < 1000);
        }
        // All that are overdue are left for the slot behind this one.
        assert_eq!(expired(&mut wheel, 2048), (0..7).collect::<Vec<_>>());
    }

    #[test]
    fn a_long_sleep_is_caught_up_at_once() {
        let mut wheel = TimerWheel::new();
        wheel.arm(0, at(1000));
        wheel.arm(1, at(100_000));
        assert_eq!(expired(&mut wheel, u64::MAX), [0, 1]);
        wheel.arm(0, at(5));
        assert_eq!(expired(&mut wheel, u64::MAX), Vec::<usize>::new());
        assert!(wheel.is_armed(0));
    }

    /// One step of a loop's life.
    #[derive(Clone, Debug)]
    enum Step {
        Arm { key: usize, after: u64 },
        Disarm { key: usize },
        Pass { millis: u64 },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let after = prop_oneof![0..2000u64, 0..140_000u64, Just(10_000_000)];
        let millis = prop_oneof![4 => 0..600u64, 2 => 0..20_000u64, 1 => 0..400_000u64];
        let step = prop_oneof![
            4 => (0..20usize, after).prop_map(|(key, after)| Step::Arm { key, after }),
            1 => (0..20usize).prop_map(|key| Step::Disarm { key }),
            3 => millis.prop_map(|millis| Step::Pass { millis }),
        ];
        proptest::collection::vec(step, 0..120)
    }

    proptest! {
        /// The model keeps one time per key and no slots: the end of the slot in which the key has to come back.
        #[test]
        fn it_is_what_a_list_of_times_would_be(steps in steps()) {
            let mut wheel = TimerWheel::new();
            let mut model: Vec<Option<u64>> = vec![None; 20];
            let mut now = 0;
            for step in steps {
                match step {
                    Step::Arm { key, after } => {
                        let deadline = now + after;
                        let over = now / SLOT_MILLIS * SLOT_MILLIS;
                        let end = (deadline.div_ceil(SLOT_MILLIS) * SLOT_MILLIS)
                            .clamp(over + SLOT_MILLIS, over + HORIZON * SLOT_MILLIS);
                        wheel.arm(key, at(deadline));
                        // Never early unless it is beyond the horizon, and less than a slot late.
                        prop_assert!(end >= deadline.min(over + HORIZON * SLOT_MILLIS));
                        prop_assert!(end < deadline.max(now + 1) + SLOT_MILLIS);
                        let end = model[key].map_or(end, |before| before.min(end));
                        model[key] = Some(end);
                    }
                    Step::Disarm { key } => {
                        wheel.disarm(key);
                        model[key] = None;
                    }
                    Step::Pass { millis } => {
                        now += millis;
                        let due: Vec<_> = (0..20).filter(|&key| model[key].is_some_and(|end| end <= now)).collect();
                        prop_assert_eq!(expired(&mut wheel, now), due.clone());
                        for key in due {
                            model[key] = None;
                        }
                    }
                }
                let first = model.iter().flatten().min().map(|&end| at(end).since(at(now)));
                prop_assert_eq!(wheel.next_deadline(at(now)), first);
                for (key, end) in model.iter().enumerate() {
                    prop_assert_eq!(wheel.is_armed(key), end.is_some());
                }
            }
        }
    }
}
