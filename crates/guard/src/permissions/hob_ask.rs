//! `hob.ask`: asking a running hob how it is.

use super::Permission;

/// The row.
pub(crate) static PERMISSION: Permission = Permission {
    id: "hob.ask",
    title: "Ask a hob server how it is",
    explanation: "Reads load, speed, memory and energy from a hob server, the one on this machine \
        unless another is named. That server learns this machine's address; nothing else is sent.",
    leaves_machine: true,
    allowed_by_default: true,
};
