//! How an error is told to people: in one line, with its causes.

use std::error::Error;

/// An error and its causes in one line. A cause that the line says already is left out.
#[must_use]
pub fn one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the door")]
    struct Door(#[source] Key);

    #[derive(Debug, thiserror::Error)]
    #[error("the key\nis lost")]
    struct Key(#[source] Lost);

    #[derive(Debug, thiserror::Error)]
    #[error("is lost")]
    struct Lost;

    #[test]
    fn causes_follow_once() {
        assert_eq!(one_line(&Door(Key(Lost))), "cannot open the door: the key is lost");
    }
}
