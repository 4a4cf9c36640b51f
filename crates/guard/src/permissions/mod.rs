//! The permissions, one file each. Screens and documentation are made from these rows.

pub(crate) mod hob_ask;
pub(crate) mod models_pull;

/// A thing that hob may be allowed to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Permission {
    /// Name in settings and records, e.g. `models.pull`.
    pub id: &'static str,
    /// A few words.
    pub title: &'static str,
    /// What it means for the person who allows it.
    pub explanation: &'static str,
    /// Whether bytes leave this machine.
    pub leaves_machine: bool,
    /// What holds when nothing is set.
    pub allowed_by_default: bool,
}

/// Every permission, sorted by id.
pub static PERMISSIONS: &[&Permission] = &[&hob_ask::PERMISSION, &models_pull::PERMISSION];
