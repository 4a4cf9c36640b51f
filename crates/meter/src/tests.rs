//! Recorded machines, with figures worked out by hand beside them.

mod damage;
mod machine;
mod power;
mod rest;
