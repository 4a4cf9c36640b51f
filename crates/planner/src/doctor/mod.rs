//! "Why is it slow, or not running at all?": what was read of a machine goes in; findings with
//! what, why, the loss and the fix come out.
//!
//! [`Facts::gather`] reads through a [`Source`], which is this machine's files for `app` and a
//! recorded machine for tests; [`diagnose`] is pure. A thing that can be wrong is a row of
//! [`FINDINGS`] and has a fixture that it must find.

mod facts;
mod findings;
pub(crate) mod gather;
mod report;

pub use facts::{
    Disk, Facts, Graphics, House, Kind, Listener, Loading, Memory, ModelFile, Node, Nvidia, Nvml,
    NvmlGpu, NvmlProcess, Policy, Processor, System, User, Vendor, Zone,
};
pub use findings::FINDINGS;
pub use gather::Source;
pub use gather::dmi::MemoryDevice;
pub use gather::memory::{Room, room};
pub use report::{Checked, Finding, Loss, Report, Severity, Skip, Work};

/// What a machine's facts come to.
pub struct Diagnosis {
    /// What was found, worst first, then by id.
    pub found: Vec<Found>,
    /// What was looked at and is well.
    pub fine: Vec<&'static Finding>,
    /// What could not be looked at, with what is missing.
    pub unread: Vec<(&'static Finding, &'static str)>,
}

/// A row's report.
pub struct Found {
    /// The row's id.
    pub id: &'static str,
    /// What was found.
    pub report: Report,
}

/// Every row's answer.
#[must_use]
pub fn diagnose(facts: &Facts) -> Diagnosis {
    let mut diagnosis = Diagnosis { found: Vec::new(), fine: Vec::new(), unread: Vec::new() };
    for finding in FINDINGS {
        match (finding.check)(facts) {
            Ok(reports) if reports.is_empty() => diagnosis.fine.push(finding),
            Ok(reports) => {
                let found = |report| Found { id: finding.id, report };
                diagnosis.found.extend(reports.into_iter().map(found));
            }
            Err(Skip::NotHere) => {}
            Err(Skip::Unread(what)) => diagnosis.unread.push((finding, what)),
        }
    }
    // Stable: rows are sorted by id.
    diagnosis.found.sort_by_key(|found| found.report.severity);
    diagnosis
}

#[cfg(test)]
mod tests;
