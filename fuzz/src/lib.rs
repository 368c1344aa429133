//! What the targets share: how a fuzz input says where it is to be cut.

/// A fuzz input taken apart: a byte of choices, up to seven sizes of pieces, and the bytes that are to be cut.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// One bit each for whatever a target can choose.
    pub choices: u8,
    sizes: &'a [u8],
    pub input: &'a [u8],
}

impl<'a> Plan<'a> {
    /// Layout: choices (upper five bits) and the number of sizes (lower three), the sizes, the input.
    pub fn new(data: &'a [u8]) -> Option<Self> {
        let (&first, rest) = data.split_first()?;
        let (sizes, input) = rest.split_at_checked(usize::from(first & 7))?;
        Some(Self {
            choices: first >> 3,
            sizes,
            input,
        })
    }

    pub fn chooses(&self, bit: u8) -> bool {
        self.choices & (1 << bit) != 0
    }

    /// The sizes over and over, never 0; without any it is byte by byte.
    pub fn sizes(&self) -> impl Iterator<Item = usize> + use<'a> {
        let sizes = if self.sizes.is_empty() { &[1][..] } else { self.sizes };
        sizes.iter().cycle().map(|&size| usize::from(size).max(1))
    }

    /// The input in pieces of these sizes.
    pub fn pieces(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut sizes = self.sizes();
        let mut rest = self.input;
        std::iter::from_fn(move || {
            let size = sizes.next()?.min(rest.len());
            let (piece, behind) = rest.split_at(size);
            rest = behind;
            (!piece.is_empty()).then_some(piece)
        })
    }
}
