//! Models on disk: named, verified, shared by every hob on the machine. [`Store`] is the entry
//! point; [`CATALOG`] lists the models that hob knows by name and where they may come from.
//!
//! **Invariant:** a file stands under its final name only after its SHA-256 was seen to fit; until
//! then it is `*.partial`. No environment variable and no clock is read here.

mod blobs;
mod catalog;
mod error;
mod event;
mod fetch;
mod gather;
mod hub;
mod limits;
mod local;
mod lock;
mod manifest;
mod name;
mod package;
mod peek;
mod pull;
mod space;
mod store;
#[cfg(test)]
mod tests;

pub use catalog::{CATALOG, CatalogRow, HubFile, PackageFile};
pub use error::{Error, Result, SourceAnswer};
pub use event::PullEvent;
pub use hub::HubSpec;
pub use manifest::{Entry, EntryFile};
pub use peek::{Beside, Peeked};
pub use pull::{Places, PullOptions};
pub use space::available_space;
pub use store::{ModelSource, Store};
