//! Who computes what in the next step, and in which pages of the cache. Sans-IO: no clock, no
//! threads, no tensors; pages are numbers.
//!
//! Entry point: [`Scheduler`]. A caller admits requests, asks for a [`Plan`], computes it, and
//! commits the [`Outcome`]; [`Event`]s say what became of each request.
//!
//! A sequence is a row of tokens whose `computed` count catches up with its length, so chunked
//! prefill, prefix hits and resuming after a preemption are one case.
//!
//! **Invariant:** a page that is being written belongs to one sequence; only full, computed pages
//! are shared. **Invariant:** pages planned for a step stay leased until its commit.
//! **Invariant:** of layers that see only a window, the pages that the next tokens can see stay,
//! and those behind are given back at each commit.
//! **Invariant:** positions have 64 bits, and a step copies no table of pages, however long a
//! sequence is.
//! **Invariant:** a plan is empty only when nothing runs and nothing waiting can start.

mod commit;
mod fairness;
mod limits;
mod pages;
mod plan;
mod prefix;
mod request;
mod scheduler;
mod sequence;
mod table;
#[cfg(test)]
mod tests;
mod windows;

pub use commit::{Event, FinishReason, Made, Outcome, StepResult};
pub use limits::{DRAFT_TOKENS_MAX, Limits, WindowLimits};
pub use plan::{Plan, PlanSpan};
pub use request::{Admission, PageId, Refusal, Request, RequestId, Tick, TokenId};
pub use scheduler::{Scheduler, Stats};
pub use table::PageTable;
