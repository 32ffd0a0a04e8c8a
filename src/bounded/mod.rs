//! Containers with a capacity given at construction and a written policy for what happens at it.

mod text;

pub use text::Text;
