//! [`Text`]: a short string held inline, cut at its capacity and cleaned of what a terminal or a page should not see.

use std::fmt;

/// At most `N` bytes of printable ASCII. Anything else that comes from the wire becomes `?`, and what does not fit
/// is cut; `N` is at most 255.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<const N: usize> {
    length: u8,
    bytes: [u8; N],
}

impl<const N: usize> Text<N> {
    /// The empty text.
    pub const EMPTY: Self = {
        assert!(N <= 255, "the length is held in one byte");
        Self { length: 0, bytes: [0; N] }
    };

    /// Cleans and, where needed, cuts `raw`.
    #[must_use]
    pub fn from_wire(raw: &[u8]) -> Self {
        let mut text = Self::EMPTY;
        text.push_wire(raw);
        text
    }

    /// Appends cleaned bytes up to the capacity.
    pub fn push_wire(&mut self, raw: &[u8]) {
        let free = self.bytes.iter_mut().skip(usize::from(self.length));
        let mut added = 0_u8;
        for (slot, &byte) in free.zip(raw) {
            *slot = if byte.is_ascii_graphic() || byte == b' ' { byte } else { b'?' };
            added += 1;
        }
        self.length += added;
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let used = self.bytes.get(..usize::from(self.length)).unwrap_or(&[]);
        std::str::from_utf8(used).unwrap_or("")
    }

    /// Whether nothing is in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans_and_cuts() {
        assert_eq!(Text::<8>::from_wire(b"tv\x1b[2J").as_str(), "tv?[2J");
        assert_eq!(Text::<4>::from_wire(b"kitchen").as_str(), "kitc");
        let mut t = Text::<4>::from_wire(b"ab");
        t.push_wire("ü-long".as_bytes());
        assert_eq!(t.as_str(), "ab??");
    }
}
