//! Lines of text and the fields that HTTP (RFC 9112) and SSDP make of them.

/// More lines than these are not looked at: browsers send twenty.
const MAX_LINES: usize = 64;

/// A line longer than this is not waited for.
const MAX_LINE: usize = 4096;

/// What is left to read, and how many lines may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines<'a> {
    rest: &'a [u8],
    left: usize,
}

/// What the next line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// A field: its name, and its value without spaces around it.
    Field(&'a [u8], &'a [u8]),
    /// The empty line behind all fields, or the limit of lines.
    End,
    /// It is not all there.
    Missing,
    /// No field.
    Malformed,
}

impl<'a> Lines<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, left: MAX_LINES }
    }

    /// The next line without its end.
    pub(super) fn line(&mut self) -> Option<&'a [u8]> {
        let end = self.rest.iter().take(MAX_LINE).position(|&byte| byte == b'\n')?;
        let (line, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest.get(1..).unwrap_or(&[]);
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }

    pub(super) fn next(&mut self) -> Line<'a> {
        let Some(left) = self.left.checked_sub(1) else { return Line::End };
        self.left = left;
        match self.line() {
            None => Line::Missing,
            Some([]) => Line::End,
            // RFC 9112 section 5.2: what goes on with the line before.
            Some(line @ [b' ' | b'\t', ..]) => Line::Field(b"", line.trim_ascii()),
            Some(line) => match line.iter().position(|&byte| byte == b':').map(|at| line.split_at(at)) {
                Some((name @ [_, ..], value)) => {
                    Line::Field(name.trim_ascii(), value.get(1..).unwrap_or(&[]).trim_ascii())
                }
                _ => Line::Malformed,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_to_the_empty_line() {
        let mut lines = Lines::new(b"A: 1\r\nb:2 \n c\r\nno field\r\n: x\r\n\r\nbody");
        assert_eq!(lines.next(), Line::Field(b"A", b"1"));
        assert_eq!(lines.next(), Line::Field(b"b", b"2"));
        assert_eq!(lines.next(), Line::Field(b"", b"c"));
        assert_eq!(lines.next(), Line::Malformed);
        assert_eq!(lines.next(), Line::Malformed);
        assert_eq!(lines.next(), Line::End);
        assert_eq!(lines.next(), Line::Missing);
    }

    #[test]
    fn lines_are_looked_at_only_so_far() {
        let many = b"a:b\n".repeat(100);
        let mut lines = Lines::new(&many);
        let fields = std::iter::from_fn(|| Some(lines.next()).filter(|line| *line != Line::End)).count();
        assert_eq!(fields, 64);
        let long = [&[b'a'; 5000][..], b"\n"].concat();
        assert_eq!(Lines::new(&long).line(), None);
    }
}
