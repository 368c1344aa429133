//! Where bytes are cut into pieces.

use super::dice::Dice;

/// How all cases are cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mode {
    Whole,
    Bytes,
    /// In two pieces, once for every place where that is possible; what is long or waits in between stays whole.
    Cuts,
    Random(u64),
}

/// How a case wants to be cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Split {
    EveryByte,
    /// Once for every place where it can be cut in two.
    EachCut,
}

/// Behind so many single bytes the rest comes in larger pieces: what depends on single bytes has happened by then.
const SINGLE_BYTES: usize = 40_000;

/// Pieces of a size that is no power of two, so that they fit no buffer.
const LARGE_PIECE: usize = 8191;

impl Mode {
    /// The ends of the pieces.
    pub(crate) fn cuts(self, len: usize, dice: &mut Dice) -> Vec<usize> {
        let mut cuts = Vec::new();
        match self {
            Self::Whole | Self::Cuts => {}
            Self::Bytes => {
                let single = len.min(SINGLE_BYTES);
                cuts.extend(1..single);
                cuts.extend((single..len).step_by(LARGE_PIECE));
            }
            Self::Random(_) => {
                let sizes: &[usize] = if len < 20_000 {
                    &[1, 1, 2, 3, 7, 20, 100, 1500]
                } else {
                    &[1, 500, 4000, 30_000]
                };
                let mut at = 0;
                loop {
                    at += sizes[dice.below(sizes.len())];
                    if at >= len {
                        break;
                    }
                    cuts.push(at);
                }
            }
        }
        cuts.push(len);
        cuts
    }

    pub(crate) fn dice(self, id: &str) -> Dice {
        let seed = match self {
            Self::Whole | Self::Bytes | Self::Cuts => 0,
            Self::Random(seed) => seed,
        };
        let seed = id
            .bytes()
            .fold(seed, |seed, byte| Dice::new(seed ^ u64::from(byte)).roll());
        Dice::new(seed)
    }
}
