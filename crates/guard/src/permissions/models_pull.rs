//! `models.pull`: fetching model files.

use super::Permission;

/// The row.
pub(crate) static PERMISSION: Permission = Permission {
    id: "models.pull",
    title: "Fetch models",
    explanation: "Asks a model hub or a package mirror for a model by its name. The host learns \
        this machine's address and the model's name; no prompt and no document is sent.",
    leaves_machine: true,
    allowed_by_default: true,
};
