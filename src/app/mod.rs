//! Construction of the daemon: threads, supervision, shutdown in order.
