//! Containers with a capacity given at construction and a written policy for what happens at it.

mod distinct;
mod text;

pub use distinct::{Distinct, scramble};
pub use text::Text;
