//! Who may do what. Whatever leaves this machine needs a [`Permit`], and only [`decide`] makes one.
//!
//! **Invariant:** no I/O, no clock; a pure function from an [`Action`] and a [`Policy`] to a
//! [`Decision`].

mod action;
mod decide;
mod permissions;
mod permit;

pub use action::Action;
pub use decide::{Decision, Denial, Policy, decide};
pub use permissions::{PERMISSIONS, Permission};
pub use permit::Permit;

#[cfg(test)]
mod tests;
