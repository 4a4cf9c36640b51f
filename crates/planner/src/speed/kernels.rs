//! A machine's own kernels: how long each format's matrices take, in the caches and beyond them,
//! and what a model of such formats takes then.
//!
//! `t = bytes of each format * its time a byte + caches * theirs + layers * a layer's` for a token
//! of one conversation; for those of a prompt, operations take the place of bytes. How far a model
//! is beyond the caches is told by plain reads of as many bytes as it has.

use serde::{Deserialize, Serialize};

use super::Load;
use super::demand::{Demand, TypeDemand};
use crate::types::TensorType;

/// What `hob calibrate` times of this machine's kernels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernels {
    /// Seconds of a layer besides its matrices, with one row: norms, rotation, attention to nothing
    /// before.
    pub layer_s: f64,
    /// The same of each of many rows.
    pub layer_row_s: f64,
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
    /// One row, few matrices.
    pub near: ByteTime,
    /// One row, more matrices than caches hold.
    pub far: ByteTime,
    /// Time of a head over that of other matrices: it keeps more precision.
    pub head: f64,
    /// Seconds of an operation, with many rows.
    pub flop_s: f64,
}

/// One row with matrices one after another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByteTime {
    /// Bytes of them, as a file has them.
    pub bytes: f64,
    /// Seconds of each byte.
    pub byte_s: f64,
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
        let own = [self.layer_s, self.layer_row_s, self.kv_byte_s, self.attention_flop_s];
        let read = self.read.iter().flat_map(|read| [read.bytes, read.rate]);
        let format = self.format.iter().flat_map(|times| {
            let (near, far) = (times.near, times.far);
            [near.bytes, near.byte_s, far.bytes, far.byte_s, times.head, times.flop_s]
        });
        let known = self.format.iter().all(|times| TensorType::from_name(&times.name).is_some());
        let mut numbers = own.into_iter().chain(read).chain(format);
        known
            && !self.read.is_empty()
            && !self.format.is_empty()
            && self.read.is_sorted_by(|a, b| a.bytes < b.bytes)
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
        let rows_s = self.weights_row_s(demand) + demand.layers * self.layer_row_s;
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

    /// Seconds of one token of a prompt, so many positions deep.
    pub(super) fn token_s(&self, demand: &Demand, depth: u64) -> f64 {
        let share = demand.routed_share.unwrap_or(1.0);
        self.parts(demand).map(|part| part.flops(share, 0.0) * part.times.flop_s).sum::<f64>()
            + demand.attention_flops(depth) * self.attention_flop_s
            + demand.layers * self.layer_row_s
    }

    /// One row, with so many times as many experts as it is routed to.
    fn alone_s(&self, demand: &Demand, load: Load, touched: f64) -> f64 {
        let beyond = |times: &FormatTimes| {
            self.beyond(read_bytes(demand, Load { users: 1, ..load }, touched), times)
        };
        let weights_s = self.parts(demand).map(|part| {
            let (near, far) = (part.times.near.byte_s, part.times.far.byte_s);
            let byte_s = near + beyond(part.times) * (far - near);
            let routed = demand.routed_share.unwrap_or(1.0) * touched;
            let body = part.found.dense_bytes + part.found.expert_bytes * routed;
            (body + part.found.head_bytes * part.times.head) * byte_s
        });
        weights_s.sum::<f64>()
            + demand.kv_bytes(load.context, 1.0) * self.kv_byte_s
            + demand.layers * self.layer_s
    }

    /// Seconds of the weights of one more row of a step, its logits with them.
    fn weights_row_s(&self, demand: &Demand) -> f64 {
        let share = demand.routed_share.unwrap_or(1.0);
        self.parts(demand).map(|part| part.flops(share, 1.0) * part.times.flop_s).sum()
    }

    /// 0 where so many bytes are as in the caches as the few that were timed, 1 where they are as
    /// far beyond as the many.
    fn beyond(&self, bytes: f64, times: &FormatTimes) -> f64 {
        let time = |bytes: f64| 1.0 / self.read_rate(bytes);
        let (near, far) = (time(times.near.bytes), time(times.far.bytes));
        if far <= near {
            // Reads do not tell the two apart, so sizes do.
            return if bytes > times.near.bytes { 1.0 } else { 0.0 };
        }
        ((time(bytes) - near) / (far - near)).clamp(0.0, 1.0)
    }

    /// Straight between the sizes that were read, never faster for more bytes.
    fn read_rate(&self, bytes: f64) -> f64 {
        let mut slowest = f64::INFINITY;
        let falling: Vec<(f64, f64)> = self
            .read
            .iter()
            .map(|read| {
                slowest = slowest.min(read.rate);
                (read.bytes.ln(), slowest)
            })
            .collect();
        let at = bytes.max(1.0).ln();
        let above = falling.partition_point(|(size, _)| *size < at);
        match (above.checked_sub(1).map(|below| falling[below]), falling.get(above)) {
            (Some((x0, y0)), Some((x1, y1))) => y0 + (at - x0) / (x1 - x0) * (y1 - y0),
            (Some((_, rate)), None) => rate,
            (None, Some((_, rate))) => *rate,
            (None, None) => f64::INFINITY,
        }
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

impl Part<'_> {
    /// Operations of one row, with a share of the experts and of the head.
    fn flops(&self, experts: f64, head: f64) -> f64 {
        let found = self.found;
        let bytes = found.dense_bytes + found.expert_bytes * experts + found.head_bytes * head;
        2.0 * bytes * 8.0 / self.bits
    }
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
