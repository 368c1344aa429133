//! Which certificate of a store is taken. Pure: no files, no clock.

use super::subject::Subject;
use super::x509::date;
use std::cmp::Reverse;
use std::fmt;
use std::time::SystemTime;

/// What counts of a certificate when one is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its subject.
    pub subject: Subject,
    /// From when on it is valid.
    pub not_before: SystemTime,
    /// Until when it is valid.
    pub not_after: SystemTime,
    /// Whether its Extended Key Usage lets servers use it.
    pub is_for_servers: bool,
    /// The version of a development certificate; `None`: it is none.
    pub development_version: Option<u8>,
    /// Whether it has a private key that can be used, and why not.
    pub private_key: Result<(), Unfit>,
}

impl Candidate {
    fn check_dates(&self, now: SystemTime) -> Result<(), Unfit> {
        if now < self.not_before {
            Err(Unfit::NotYetValid {
                not_before: self.not_before,
            })
        } else if now > self.not_after {
            Err(Unfit::Expired {
                not_after: self.not_after,
            })
        } else {
            Ok(())
        }
    }
}

/// Chooses by a text in the subject: one that servers may use, with a private key and, unless invalid ones are allowed,
/// valid now and trusted (`trusted` is asked last, and says why not). One whose common name is the text goes before
/// those that merely contain it, then the one that lasts longest, then the first.
///
/// ```
/// use stannel::certificate::{Candidate, Subject, choose_by_subject};
/// use std::time::{Duration, SystemTime};
///
/// let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000);
/// let candidate = |name| Candidate {
///     subject: Subject::new([("CN", name)]),
///     not_before: SystemTime::UNIX_EPOCH,
///     not_after: now + Duration::from_secs(3600),
///     is_for_servers: true,
///     development_version: None,
///     private_key: Ok(()),
/// };
/// let store = [candidate("www.example.com"), candidate("example.com")];
/// assert_eq!(choose_by_subject(&store, "Example.com", false, now, |_| Ok(())), Ok(1));
/// ```
///
/// # Errors
///
/// If none fits: those that have the text in their subject, and why each one does not.
pub fn choose_by_subject(
    candidates: &[Candidate],
    text: &str,
    allow_invalid: bool,
    now: SystemTime,
    mut trusted: impl FnMut(usize) -> Result<(), String>,
) -> Result<usize, Vec<(usize, Unfit)>> {
    let mut check = |at: usize, candidate: &Candidate| {
        if !allow_invalid {
            candidate.check_dates(now)?;
        }
        if !candidate.is_for_servers {
            return Err(Unfit::NotForServers);
        }
        candidate.private_key.clone()?;
        if !allow_invalid {
            trusted(at).map_err(|reason| Unfit::NotTrusted { reason })?;
        }
        Ok(())
    };
    let mut fit = Vec::new();
    let mut unfit = Vec::new();
    for (at, candidate) in candidates.iter().enumerate() {
        if candidate.subject.contains(text) {
            match check(at, candidate) {
                Ok(()) => fit.push((at, candidate)),
                Err(reason) => unfit.push((at, reason)),
            }
        }
    }
    // Of equal ones the first: stores are read in the order of their file names.
    let best = fit
        .into_iter()
        .max_by_key(|(at, it)| (it.subject.has_common_name(text), it.not_after, Reverse(*at)));
    best.map(|(at, _)| at).ok_or(unfit)
}

/// Chooses the development certificate: valid now, with a private key, of the highest version, and of those the one that
/// lasts longest. Also tells which ones were passed over, and why.
#[must_use]
pub fn choose_development(candidates: &[Candidate], now: SystemTime) -> (Option<usize>, Vec<(usize, Unfit)>) {
    let mut best: Option<(usize, (u8, SystemTime))> = None;
    let mut unfit = Vec::new();
    for (at, candidate) in candidates.iter().enumerate() {
        let Some(version) = candidate.development_version else {
            continue;
        };
        let check = candidate.check_dates(now).and_then(|()| candidate.private_key.clone());
        let rank = (version, candidate.not_after);
        match check {
            Ok(()) if best.is_none_or(|(_, other)| rank > other) => best = Some((at, rank)),
            Ok(()) => (),
            Err(reason) => unfit.push((at, reason)),
        }
    }
    (best.map(|(at, _)| at), unfit)
}

/// A certificate that was not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// Its file, and its subject if it could be read.
    pub certificate: String,
    /// Why.
    pub reason: Unfit,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.certificate, self.reason)
    }
}

/// Why a certificate is not taken from a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unfit {
    /// Its time is over.
    Expired {
        /// Since when.
        not_after: SystemTime,
    },
    /// Its time has not come.
    NotYetValid {
        /// When it will.
        not_before: SystemTime,
    },
    /// It does not lead to a trusted root.
    NotTrusted {
        /// Why.
        reason: String,
    },
    /// Its Extended Key Usage leaves out server authentication.
    NotForServers,
    /// It is there without its private key.
    NoPrivateKey,
    /// Its file, or its private key, cannot be used.
    Unusable {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { not_after } => write!(f, "it expired on {}", date(*not_after)),
            Self::NotYetValid { not_before } => write!(f, "it is valid from {} on", date(*not_before)),
            Self::NotTrusted { reason } => write!(f, "it is not trusted ({reason})"),
            Self::NotForServers => f.write_str("its extended key usage leaves out server authentication"),
            Self::NoPrivateKey => f.write_str("it has no private key"),
            Self::Unusable { reason } => f.write_str(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn year(year: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs((year - 1970) * 31_556_952)
    }

    fn candidate(name: &str, until: u64) -> Candidate {
        Candidate {
            subject: Subject::new([("CN", name), ("O", "Acme")]),
            not_before: year(2020),
            not_after: year(until),
            is_for_servers: true,
            development_version: None,
            private_key: Ok(()),
        }
    }

    #[test]
    fn the_order_of_preference() {
        let choose =
            |candidates: &[Candidate]| choose_by_subject(candidates, "a.test", false, year(2025), |_| Ok(())).unwrap();
        let (exact, longer, other) = (
            candidate("A.test", 2030),
            candidate("www.a.test", 2040),
            candidate("b", 2050),
        );
        assert_eq!(choose(&[longer.clone(), exact.clone(), other]), 1);
        assert_eq!(choose(&[exact.clone(), candidate("a.test", 2031), exact.clone()]), 1);
        assert_eq!(choose(&[exact.clone(), exact.clone()]), 0);
    }

    #[test]
    fn why_each_one_drops_out() {
        let change = |change: fn(&mut Candidate)| {
            let mut it = candidate("a", 2030);
            change(&mut it);
            it
        };
        let candidates = [
            candidate("a", 2021),
            change(|it| it.not_before = year(2029)),
            change(|it| it.is_for_servers = false),
            change(|it| it.private_key = Err(Unfit::NoPrivateKey)),
            candidate("a", 2030),
            change(|it| it.subject = Subject::new([("CN", "b")])),
        ];
        let trusted = |at| {
            assert_eq!(at, 4, "the others are not asked about");
            Err("unknown".to_owned())
        };
        let dropped = choose_by_subject(&candidates, "acme", false, year(2025), trusted).unwrap_err();
        let expected = [
            Unfit::Expired { not_after: year(2021) },
            Unfit::NotYetValid { not_before: year(2029) },
            Unfit::NotForServers,
            Unfit::NoPrivateKey,
            Unfit::NotTrusted {
                reason: "unknown".to_owned(),
            },
        ];
        let expected: Vec<_> = expected.into_iter().enumerate().collect();
        assert_eq!(dropped, expected);

        // Dates and trust do not count any more, the others do.
        let nobody = |_| panic!("nobody asks");
        assert_eq!(choose_by_subject(&candidates, "acme", true, year(2025), nobody), Ok(1));
        let dropped = choose_by_subject(&candidates[2..4], "acme", true, year(2025), nobody).unwrap_err();
        assert_eq!(dropped, [(0, Unfit::NotForServers), (1, Unfit::NoPrivateKey)]);
    }

    #[test]
    fn development_certificates() {
        let version = |version, until| Candidate {
            development_version: version,
            ..candidate("localhost", until)
        };
        let keyless = Candidate {
            private_key: Err(Unfit::NoPrivateKey),
            ..version(Some(7), 2030)
        };
        let candidates = [
            version(None, 2030),
            version(Some(6), 2030),
            version(Some(6), 2031),
            version(Some(4), 2040),
            version(Some(255), 2021),
            keyless,
        ];
        let (chosen, dropped) = choose_development(&candidates, year(2025));
        assert_eq!(chosen, Some(2));
        let expired = Unfit::Expired { not_after: year(2021) };
        assert_eq!(dropped, [(4, expired), (5, Unfit::NoPrivateKey)]);
        assert_eq!(choose_development(&candidates[..1], year(2025)), (None, vec![]));
    }
}
