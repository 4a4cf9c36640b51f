//! From all that was measured to one sum, in which nothing is twice.
//!
//! A machine may say what it draws as a whole (battery, platform counter, meter in the power
//! supply) and what its parts draw (package, memory, cards). The whole is taken, unless its parts
//! together say more: then it is not wired to all of them, or lags behind. Without a whole the
//! parts are added. Where the processor is not among them a model of the whole machine stands in,
//! with the same rule.

use crate::draws::Interval;
use crate::reading::{Basis, Domain, Scope};

/// What a machine draws at the wall when it is idle and under full load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Model {
    /// Watts when idle.
    pub idle_w: f64,
    /// Watts under full load.
    pub load_w: f64,
}

/// Watts by a model: idle, and of what load adds the share of time that is busy (0 to 1).
#[must_use]
pub fn modelled(model: Model, busy: f64) -> f64 {
    model.idle_w + (model.load_w - model.idle_w) * busy.clamp(0.0, 1.0)
}

/// One sum.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sum {
    pub(crate) joules: f64,
    pub(crate) basis: Basis,
    pub(crate) scope: Scope,
    /// Places of what went into it.
    pub(crate) counted: Vec<usize>,
}

/// None where nothing is known of this time.
pub(crate) fn sum(
    draws: &[(Domain, Option<Interval>)],
    modelled_joules: Option<f64>,
) -> Option<Sum> {
    let known = || {
        let places = draws.iter().enumerate();
        places.filter_map(|(place, (domain, interval))| Some((place, *domain, (*interval)?)))
    };
    let (mut parts, mut has_processor) = (None::<Sum>, false);
    for (place, domain, interval) in known().filter(|(_, domain, _)| *domain != Domain::Machine) {
        let empty =
            Sum { joules: 0.0, basis: Basis::Counter, scope: Scope::Parts, counted: Vec::new() };
        let sum = parts.get_or_insert(empty);
        sum.joules += interval.joules;
        sum.basis = sum.basis.max(interval.basis);
        sum.counted.push(place);
        has_processor |= domain == Domain::Processor;
    }
    let measured =
        known().find(|(_, domain, _)| *domain == Domain::Machine).map(|(place, _, interval)| Sum {
            joules: interval.joules,
            basis: interval.basis,
            scope: Scope::Machine,
            counted: vec![place],
        });
    let modelled = modelled_joules.filter(|_| !has_processor).map(|joules| Sum {
        joules,
        basis: Basis::Modelled,
        scope: Scope::Machine,
        counted: Vec::new(),
    });
    match (measured.or(modelled), parts) {
        (Some(whole), Some(parts)) if whole.joules < parts.joules => Some(parts),
        (Some(whole), _) => Some(whole),
        (None, parts) => parts,
    }
}
