//! A machine's own kernels: how long each format's matrices take, in the caches and beyond them,
//! and what a model of such formats takes then.
//!
//! For a token of one conversation `t = bytes of each format * its time a byte + layers * its time
//! of a layer + caches * theirs`, at as many bytes as the model has. Those of a prompt take
//! operations, which narrow layers make slower than wide ones, and each step of a prompt takes
//! bytes besides, however few its rows are.

use serde::{Deserialize, Serialize};

use super::Load;
use super::demand::{Demand, TypeDemand};
use crate::memory::STEP_ROWS;
use crate::types::TensorType;

/// What `hob calibrate` times of this machine's kernels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernels {
    /// Seconds of a byte of keys and values, with one row.
    pub kv_byte_s: f64,
    /// Seconds of an operation of attention, with many rows.
    pub attention_flop_s: f64,
    /// Plain reads again and again, from few bytes to many.
    pub read: Vec<ReadRate>,
    /// Matrices.
    pub format: Vec<FormatTimes>,
}

/// Bytes that all threads read again and again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadRate {
    /// So many.
    pub bytes: f64,
    /// Bytes per second.
    pub rate: f64,
}

/// How long matrices of a format take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormatTimes {
    /// GGML's name.
    pub name: String,
    /// One row, from few layers to more than caches hold.
    pub walk: Vec<WalkTime>,
    /// Time of a head over that of other matrices: it keeps more precision.
    pub head: f64,
    /// Seconds of a byte of each step with many rows, however many those are.
    pub step_byte_s: f64,
    /// Many rows, from narrow layers to wide ones.
    pub rows: Vec<RowsTime>,
}

/// One row through layers one after another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalkTime {
    /// Bytes of all their matrices, as a file has them.
    pub bytes: f64,
    /// Seconds of each byte.
    pub byte_s: f64,
    /// Seconds of each layer that are not those of its bytes: norms, rotation, attention to nothing
    /// before, and what every product of matrices takes to begin and to end.
    pub layer_s: f64,
}

/// Many rows through layers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowsTime {
    /// Values of a row between layers.
    pub width: f64,
    /// Seconds of an operation of their matrices, with all that layers do beside.
    pub flop_s: f64,
}

/// What a type of a model takes.
struct Part<'a> {
    times: &'a FormatTimes,
    found: TypeDemand,
    bits: f64,
}

impl Kernels {
    /// Whether every number is one that a machine can have.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let own = [self.kv_byte_s, self.attention_flop_s];
        let read = self.read.iter().flat_map(|read| [read.bytes, read.rate]);
        let format = self.format.iter().flat_map(|times| {
            let walk = times.walk.iter().flat_map(|time| [time.bytes, time.byte_s, time.layer_s]);
            let rows = times.rows.iter().flat_map(|time| [time.width, time.flop_s]);
            walk.chain(rows).chain([times.head, times.step_byte_s])
        });
        let mut numbers = own.into_iter().chain(read).chain(format);
        !self.read.is_empty()
            && self.read.is_sorted_by(|a, b| a.bytes < b.bytes)
            && !self.format.is_empty()
            && self.format.iter().all(FormatTimes::is_whole)
            && numbers.all(|number| number.is_finite() && number > 0.0)
    }

    /// Seconds of a step with a token of each conversation.
    pub(super) fn step_s(&self, demand: &Demand, load: Load, power: f64) -> f64 {
        let alone_s = self.alone_s(demand, load, 1.0);
        if load.users <= 1 {
            return alone_s.max(self.bound_s(demand, load, power));
        }
        let users = f64::from(load.users);
        let touched = demand.touched(load.users, power);
        let kv_s = demand.kv_bytes(load.context, 1.0) * self.kv_byte_s;
        let rows_s = self.weights_row_s(demand);
        let together_s = self.alone_s(demand, load, touched) + (users - 1.0) * (kv_s + rows_s);
        // Nobody waits longer than if all went one after another.
        together_s.min(alone_s * users).max(self.bound_s(demand, load, power))
    }

    /// Seconds of a step that reads cannot go below.
    pub(super) fn bound_s(&self, demand: &Demand, load: Load, power: f64) -> f64 {
        let touched = demand.touched(load.users, power);
        let bytes = read_bytes(demand, load, touched);
        bytes / self.read_rate(bytes)
    }

    /// Seconds of each token of a prompt of so many new ones, so many positions deep in the middle.
    /// They are read in the largest steps that there are; none new stands for a share of such.
    pub(super) fn token_s(&self, demand: &Demand, depth: u64, new: u64) -> f64 {
        let share = demand.routed_share.unwrap_or(1.0);
        let steps_each = match new {
            0 => 1.0 / STEP_ROWS as f64,
            _ => new.div_ceil(STEP_ROWS) as f64 / new as f64,
        };
        // Even a short prompt is routed to most of the experts.
        let part_s = |part: Part<'_>| {
            let step_bytes = part.found.dense_bytes + part.found.expert_bytes;
            part.flops(share, 0.0) * part.times.flop_s(demand.width)
                + steps_each * step_bytes * part.times.step_byte_s
        };
        self.parts(demand).map(part_s).sum::<f64>()
            + demand.attention_flops(depth) * self.attention_flop_s
    }

    /// One row, with so many times as many experts as it is routed to.
    fn alone_s(&self, demand: &Demand, load: Load, touched: f64) -> f64 {
        let bytes = read_bytes(demand, Load { users: 1, ..load }, touched);
        let routed = demand.routed_share.unwrap_or(1.0) * touched;
        let body = |found: TypeDemand| found.dense_bytes + found.expert_bytes * routed;
        let bodies: f64 = self.parts(demand).map(|part| body(part.found)).sum();
        let part_s = |part: Part<'_>| {
            let own = body(part.found);
            let layers = demand.layers * own / bodies.max(1.0);
            let time = part.times.at(bytes);
            (own + part.found.head_bytes * part.times.head) * time.byte_s + layers * time.layer_s
        };
        self.parts(demand).map(part_s).sum::<f64>()
            + demand.kv_bytes(load.context, 1.0) * self.kv_byte_s
    }

    /// Seconds of the weights of one more row of a step, its logits with them.
    fn weights_row_s(&self, demand: &Demand) -> f64 {
        let share = demand.routed_share.unwrap_or(1.0);
        let part_s = |part: Part<'_>| part.flops(share, 1.0) * part.times.flop_s(demand.width);
        self.parts(demand).map(part_s).sum()
    }

    /// Bytes per second of plain reads, never more for more bytes.
    fn read_rate(&self, bytes: f64) -> f64 {
        let mut slowest = f64::INFINITY;
        let falling = self.read.iter().map(|read| {
            slowest = slowest.min(read.rate);
            (read.bytes.ln(), slowest)
        });
        between(falling, bytes.max(1.0).ln())
    }

    fn parts<'a>(&'a self, demand: &'a Demand) -> impl Iterator<Item = Part<'a>> {
        let told = demand.types.iter().copied();
        // Means over files do not tell types: then all is of the one whose bits are nearest.
        let guessed = demand.types.is_empty().then(|| guess(demand));
        told.chain(guessed).filter_map(|found| {
            let times = self.times(found.tensor_type)?;
            Some(Part { times, found, bits: found.tensor_type.bits() })
        })
    }

    /// The format's own, or those of the nearest of its kind: floats are multiplied as floats, some
    /// types are unpacked to floats, and all others are multiplied as whole numbers.
    fn times(&self, wanted: TensorType) -> Option<&FormatTimes> {
        let known = self.format.iter().filter_map(|times| {
            let found = TensorType::from_name(&times.name)?;
            let kind = |of: TensorType| (of.is_quantised(), of.is_unpacked());
            let is_other_kind = kind(found) != kind(wanted);
            let apart = (found.bits() - wanted.bits()).abs();
            Some(((found != wanted, is_other_kind, apart), times))
        });
        known.min_by(|(a, _), (b, _)| a.partial_cmp(b).expect("bits are numbers")).map(|(_, t)| t)
    }
}

impl FormatTimes {
    fn is_whole(&self) -> bool {
        TensorType::from_name(&self.name).is_some()
            && !self.walk.is_empty()
            && self.walk.is_sorted_by(|a, b| a.bytes < b.bytes)
            && !self.rows.is_empty()
            && self.rows.is_sorted_by(|a, b| a.width < b.width)
    }

    /// One row, with layers of so many bytes in all.
    fn at(&self, bytes: f64) -> WalkTime {
        let at = bytes.max(1.0).ln();
        let of = |value: fn(&WalkTime) -> f64| {
            between(self.walk.iter().map(|time| (time.bytes.ln(), value(time))), at)
        };
        WalkTime { bytes, byte_s: of(|time| time.byte_s), layer_s: of(|time| time.layer_s) }
    }

    /// Many rows: what is beside operations grows with the width, and they with its square.
    fn flop_s(&self, width: f64) -> f64 {
        let narrowness = |width: f64| -1.0 / width.max(1.0);
        between(
            self.rows.iter().map(|time| (narrowness(time.width), time.flop_s)),
            narrowness(width),
        )
    }
}

impl Part<'_> {
    /// Operations of one row, with a share of the experts and of the head.
    fn flops(&self, experts: f64, head: f64) -> f64 {
        let found = self.found;
        let bytes = found.dense_bytes + found.expert_bytes * experts + found.head_bytes * head;
        2.0 * bytes * 8.0 / self.bits
    }
}

/// Straight between points that rise; the first and the last stand for all beyond.
fn between(points: impl Iterator<Item = (f64, f64)>, at: f64) -> f64 {
    let mut below: Option<(f64, f64)> = None;
    for (x, y) in points {
        if x >= at {
            return below.map_or(y, |(x0, y0)| y0 + (at - x0) / (x - x0) * (y - y0));
        }
        below = Some((x, y));
    }
    below.map_or(f64::INFINITY, |(_, last)| last)
}

fn read_bytes(demand: &Demand, load: Load, touched: f64) -> f64 {
    demand.dense_bytes
        + demand.routed_bytes() * touched
        + demand.kv_bytes(load.context, 1.0) * f64::from(load.users)
}

fn guess(demand: &Demand) -> TypeDemand {
    let weights = demand.dense_weights + demand.expert_weights;
    let bits = 8.0 * (demand.dense_bytes + demand.expert_bytes) / weights.max(1.0);
    let apart = |found: &TensorType| (found.bits() - bits).abs();
    let nearest = TensorType::all().min_by(|a, b| apart(a).total_cmp(&apart(b)));
    let head_bytes = demand.head_weights * bits / 8.0;
    TypeDemand {
        tensor_type: nearest.expect("there are types"),
        dense_bytes: demand.dense_bytes - head_bytes,
        expert_bytes: demand.expert_bytes,
        head_bytes,
    }
}

#[cfg(test)]
mod tests;
