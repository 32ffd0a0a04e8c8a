//! A generated network and attacks on it, as a `capture::Source`.
