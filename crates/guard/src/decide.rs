//! The one place that allows or denies.

use crate::{Action, Permit};

/// What the person has set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Nothing leaves this machine.
    pub offline: bool,
}

/// The answer.
#[derive(Debug)]
pub enum Decision {
    /// Go on, with this in hand.
    Allow(Permit),
    /// Do not.
    Deny(Denial),
}

impl Decision {
    /// The permit.
    ///
    /// # Errors
    /// The denial, when it was denied.
    pub fn into_result(self) -> Result<Permit, Denial> {
        match self {
            Decision::Allow(permit) => Ok(permit),
            Decision::Deny(denial) => Err(denial),
        }
    }
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The policy says that nothing leaves.
    #[error("{action} is not allowed: hob was told to stay offline (leave out --offline)")]
    Offline {
        /// What was asked for.
        action: String,
    },
    /// The permission is not given.
    #[error("{action} is not allowed: the permission {permission} is not given")]
    NotGiven {
        /// What was asked for.
        action: String,
        /// Id of the permission.
        permission: &'static str,
    },
}

/// Allows `action` or denies it. Loopback stays on this machine, so offline does not forbid it.
#[must_use]
pub fn decide(action: &Action, policy: &Policy) -> Decision {
    let permission = action.permission();
    if policy.offline && permission.leaves_machine && !stays_here(action) {
        return Decision::Deny(Denial::Offline { action: action.to_string() });
    }
    if !permission.allowed_by_default {
        let action = action.to_string();
        return Decision::Deny(Denial::NotGiven { action, permission: permission.id });
    }
    Decision::Allow(Permit::new(action.clone()))
}

fn stays_here(action: &Action) -> bool {
    match action {
        Action::AskHob { host } | Action::FetchModel { host } => is_loopback(host),
        Action::FetchPackage { .. } => false,
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = host.parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}
