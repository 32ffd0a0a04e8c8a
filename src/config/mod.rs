//! The configuration file: its shape, checks, defaults and overlays.
