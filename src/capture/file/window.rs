//! A bounded piece of a stream: bytes come in at the end and are consumed at the front. What they mean is not known.

use std::io::{self, Read};
use std::ops::Range;

/// A window of fixed size over a stream.
pub(super) struct Window<R> {
    input: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

/// Why [`Window::need`] has not got what it should.
#[derive(Debug)]
pub(super) enum Lack {
    /// The stream ended before, or the window is smaller than what is needed.
    Short,
    /// The stream has no more for now.
    Later,
    /// The stream failed.
    Io(io::Error),
}

impl<R: Read> Window<R> {
    /// A window of `capacity` bytes.
    pub(super) fn new(input: R, capacity: usize) -> Self {
        Self { input, buffer: vec![0; capacity].into_boxed_slice(), start: 0, end: 0 }
    }

    /// Reads until at least `wanted` bytes are there. What was read before stays when it says otherwise.
    pub(super) fn need(&mut self, wanted: usize) -> Result<(), Lack> {
        while self.end - self.start < wanted {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            let space = &mut self.buffer[self.end..];
            match self.input.read(space) {
                Ok(0) => return Err(Lack::Short),
                Ok(count) => self.end += count.min(space.len()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Lack::Later),
                Err(error) => return Err(Lack::Io(error)),
            }
        }
        Ok(())
    }

    /// The bytes that are there.
    pub(super) fn data(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Takes `count` bytes from the front, at most those that are there, and says where they are: [`Window::slice`]
    /// gives them until the next [`Window::need`].
    pub(super) fn consume(&mut self, count: usize) -> Range<usize> {
        let from = self.start;
        self.start = from.saturating_add(count).min(self.end);
        from..self.start
    }

    /// Bytes that were consumed; empty for a range that is none of the window's.
    pub(super) fn slice(&self, range: Range<usize>) -> &[u8] {
        self.buffer.get(range).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte, then nothing for now, and so on.
    struct Dribble<'a>(&'a [u8], bool);

    impl Read for Dribble<'_> {
        fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 { Err(io::ErrorKind::WouldBlock.into()) } else { self.0.read(&mut space[..1]) }
        }
    }

    #[test]
    fn a_dribbling_stream_comes_through_a_small_window() {
        let text: Vec<u8> = (0..100).collect();
        let mut window = Window::new(Dribble(&text, false), 7);
        let mut seen = Vec::new();
        while seen.len() < 100 {
            match window.need(5) {
                Ok(()) => {
                    let range = window.consume(5);
                    seen.extend_from_slice(window.slice(range));
                }
                Err(Lack::Later) => {}
                Err(other) => panic!("{other:?} after {}", seen.len()),
            }
        }
        assert_eq!(seen, text);
    }

    #[test]
    fn the_end_and_too_large_a_need_are_short() {
        let mut window = Window::new(&b"abcdef"[..], 4);
        assert!(matches!(window.need(5), Err(Lack::Short)));
        assert_eq!(window.data(), b"abcd");
        assert_eq!(window.consume(9), 0..4);
        assert!(matches!(window.need(3), Err(Lack::Short)));
        assert_eq!(window.data(), b"ef");
    }
}
