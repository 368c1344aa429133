//! Bytes on their way in and out.
//!
//! Both buffers belong to the loop: a connection owns one only while a request is split or an answer is stuck, so
//! that an idle connection costs next to nothing.

mod file_part;
mod input;
mod output;

pub(crate) use file_part::FilePart;
pub(crate) use input::Input;
pub(crate) use output::{Mark, Output};
