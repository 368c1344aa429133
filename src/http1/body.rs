//! A request body as it is read, whichever way it is framed.

use super::chunked::{ChunkedDecoder, Limits, Piece};
use super::framing::Framing;
use super::rejection::Rejection;

/// Takes a body apart.
#[derive(Debug)]
pub(crate) struct BodyReader {
    state: State,
    limits: Limits,
    trailers: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Length { left: u64 },
    Chunked(ChunkedDecoder),
    Done,
}

impl BodyReader {
    pub(crate) fn new(framing: Framing, limits: Limits) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(left) => State::Length { left },
            Framing::Chunked => State::Chunked(ChunkedDecoder::new()),
        };
        Self {
            state,
            limits,
            trailers: Vec::new(),
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// The checked trailer lines; complete when the body is.
    pub(crate) fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// How many bytes are known to be missing, for whoever wants to make room at once.
    pub(crate) fn known_rest(&self) -> usize {
        match self.state {
            State::Length { left } => usize::try_from(left).unwrap_or(usize::MAX),
            State::Chunked(_) | State::Done => 0,
        }
    }

    /// Takes from the front of `input`: how many bytes, and what they held.
    pub(crate) fn read<'i>(&mut self, input: &'i [u8]) -> Result<(usize, Piece<'i>), Rejection> {
        match &mut self.state {
            State::Done => Ok((0, Piece::End)),
            State::Length { left } => {
                if input.is_empty() {
                    return Ok((0, Piece::NeedInput));
                }
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= count as u64;
                if *left == 0 {
                    self.state = State::Done;
                }
                Ok((count, Piece::Data(&input[..count])))
            }
            State::Chunked(decoder) => {
                let (count, piece) = decoder.decode(input, &self.limits, &mut self.trailers)?;
                if matches!(piece, Piece::End) {
                    self.state = State::Done;
                }
                Ok((count, piece))
            }
        }
    }

    /// What it means when the input ends here.
    pub(crate) fn end_of_input(&self) -> Rejection {
        match self.state {
            State::Chunked(_) => Rejection::ChunkedRequestIncomplete,
            State::Length { .. } | State::Done => Rejection::UnexpectedEndOfRequestContent,
        }
    }
}
