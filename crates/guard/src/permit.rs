//! The proof that something was allowed; it cannot be made outside this crate.

use crate::Action;

/// Allows one [`Action`]. The field is private: only [`crate::decide`] makes one.
#[derive(Debug)]
pub struct Permit {
    action: Action,
}

impl Permit {
    pub(crate) fn new(action: Action) -> Permit {
        Permit { action }
    }

    /// What is allowed.
    #[must_use]
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// Whether fetching from `host` is what was allowed.
    #[must_use]
    pub fn covers_host(&self, host: &str) -> bool {
        matches!(&self.action, Action::FetchModel { host: allowed }
            if allowed.eq_ignore_ascii_case(host))
    }

    /// Whether asking a hob at `host` is what was allowed.
    #[must_use]
    pub fn covers_hob(&self, host: &str) -> bool {
        matches!(&self.action, Action::AskHob { host: allowed }
            if allowed.eq_ignore_ascii_case(host))
    }

    /// Whether fetching `package` is what was allowed.
    #[must_use]
    pub fn covers_package(&self, package: &str) -> bool {
        matches!(&self.action, Action::FetchPackage { package: allowed } if allowed == package)
    }
}
