//! When changed files are worth reading: a machine that knows neither files nor a clock.

use std::time::{Duration, Instant};

/// How long files have to be as they are before they are read: whoever writes two files, or one in two steps, is done by
/// then. .NET's figure.
const SETTLE: Duration = Duration::from_millis(250);

/// Files that are followed: how they were when they were last read, with whatever success, and how they were found since.
#[derive(Debug)]
pub(super) struct Settling<S> {
    read: S,
    /// With the moment when they were found so first.
    found: Option<(S, Instant)>,
}

impl<S: PartialEq> Settling<S> {
    /// `read`: how they were right before they were read.
    pub(super) fn new(read: S) -> Self {
        Self { read, found: None }
    }

    /// Tells how they are now. Returns whether they are to be read, because they have changed and then stayed as they are
    /// for long enough; that is said once for each state.
    pub(super) fn look(&mut self, now_are: S, now: Instant) -> bool {
        if now_are == self.read {
            self.found = None;
            return false;
        }
        match &self.found {
            Some((found, since)) if *found == now_are => {
                let is_settled = now.saturating_duration_since(*since) >= SETTLE;
                if is_settled {
                    self.has_read(now_are);
                }
                is_settled
            }
            _ => {
                self.found = Some((now_are, now));
                false
            }
        }
    }

    /// They were read at somebody's request, and were so right before.
    pub(super) fn has_read(&mut self, read: S) {
        self.read = read;
        self.found = None;
    }
}

#[cfg(test)]
mod tests {
    use super::super::reload::POLL;
    use super::*;

    /// What is found at which millisecond, and whether it is to be read then.
    type Story = &'static [(u64, char, bool)];

    #[test]
    fn what_changes_is_read_once_it_stays() {
        let table: &[(&str, Story)] = &[
            (
                "nothing changes",
                &[(0, 'a', false), (250, 'a', false), (9000, 'a', false)],
            ),
            (
                "a change",
                &[
                    (0, 'b', false),
                    (249, 'b', false),
                    (250, 'b', true),
                    (500, 'b', false),
                    (9000, 'b', false),
                ],
            ),
            (
                "still written",
                &[
                    (0, 'b', false),
                    (200, 'c', false),
                    (400, 'd', false),
                    (649, 'd', false),
                    (650, 'd', true),
                ],
            ),
            (
                "gone for a moment",
                &[(0, '-', false), (200, 'b', false), (400, 'b', false), (450, 'b', true)],
            ),
            (
                "gone",
                &[
                    (0, '-', false),
                    (300, '-', true),
                    (600, '-', false),
                    (900, 'b', false),
                    (1200, 'b', true),
                ],
            ),
            (
                "back again",
                &[
                    (0, 'b', false),
                    (200, 'a', false),
                    (400, 'b', false),
                    (500, 'b', false),
                    (650, 'b', true),
                ],
            ),
            (
                "wrong first, right later",
                &[
                    (0, 'b', false),
                    (250, 'b', true),
                    (500, 'c', false),
                    (750, 'c', true),
                    (1000, 'c', false),
                ],
            ),
            ("looked at late", &[(0, 'b', false), (60_000, 'b', true)]),
        ];
        let start = Instant::now();
        for (name, story) in table {
            let mut settling = Settling::new('a');
            for (millis, found, expected) in *story {
                let now = start + Duration::from_millis(*millis);
                assert_eq!(settling.look(*found, now), *expected, "{name}, at {millis}");
            }
        }
    }

    /// Whatever moment a change comes at, it is read within a second of the server's own time.
    #[test]
    fn a_change_waits_for_less_than_a_second() {
        let start = Instant::now();
        for changed in 0..1000 {
            let mut settling = Settling::new(false);
            let looks = (0..).map(|number| POLL * number);
            let read = looks.take(100).find(|look| {
                let is_new = *look >= Duration::from_millis(changed);
                settling.look(is_new, start + *look)
            });
            let waited = read.expect("it is read") - Duration::from_millis(changed);
            assert!(waited < Duration::from_secs(1), "changed at {changed}: {waited:?}");
        }
    }

    #[test]
    fn what_was_read_at_request_is_no_change() {
        let start = Instant::now();
        let mut settling = Settling::new('a');
        assert!(!settling.look('b', start));
        settling.has_read('b');
        assert!(!settling.look('b', start + SETTLE));
        assert!(!settling.look('a', start + SETTLE));
        assert!(settling.look('a', start + 2 * SETTLE));
    }
}
