//! Containers with a capacity given at construction and a written policy for what happens at it.

mod distinct;
mod slab;
mod table;
mod text;

pub use distinct::{Distinct, scramble};
pub use slab::{ListSlab, Place};
pub use table::{Keyed, Refused, Table};
pub use text::Text;
