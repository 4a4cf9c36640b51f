//! What the planner says, as lines of text. Pure: numbers in, lines out.

pub(crate) mod check;
pub(crate) mod cost;
pub(crate) mod explain;
pub(crate) mod fit;
pub(crate) mod machines;
pub(crate) mod several;
pub(crate) mod top;
pub(crate) mod units;
