//! Several models on one machine: one budget, who does not fit into it, and what would make room.

use serde::Serialize;

use crate::machine::Machine;
use crate::memory::{KvType, Memory, sum};
use crate::plan::{Verdict, Wish, memory};
use crate::recipe::Quantisation;
use crate::subject::Subject;

/// One of the models, planned alone.
#[derive(Clone, Debug)]
pub struct Guest<'a> {
    /// The model.
    pub subject: &'a Subject,
    /// What is wished for of it.
    pub wish: Wish,
    /// What was said of it alone.
    pub verdict: Verdict,
}

/// All of them on one machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Together {
    /// All models, with one reserve.
    pub memory: Memory,
    /// In the order they were named: the first are the most important.
    pub seats: Vec<Seat>,
    /// What would make room for all, each alone, the mildest first; nothing where all fit.
    pub changes: Vec<Change>,
}

/// One model's share.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Seat {
    /// Name of the model.
    pub model: String,
    /// Name of its mix.
    pub quant: String,
    /// Everything that it takes; the reserve is not its own.
    pub bytes: u64,
    /// Whether it fits beside those before it that do.
    pub fits: bool,
    /// What is missing where it does not.
    pub missing_bytes: u64,
}

/// Something that makes room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "change")]
pub enum Change {
    /// Keys and values of all models in another type.
    Kv {
        /// Its name.
        kv: &'static str,
        /// What all take then.
        total_bytes: u64,
    },
    /// One model with less context.
    Context {
        /// The model.
        model: String,
        /// Positions.
        context: u64,
        /// What all take then.
        total_bytes: u64,
    },
    /// One model in another mix.
    Quant {
        /// The model.
        model: String,
        /// Name of the mix.
        quant: &'static str,
        /// What all take then.
        total_bytes: u64,
    },
    /// One model less.
    LeaveOut {
        /// The model.
        model: String,
        /// What the others take then.
        total_bytes: u64,
    },
}

/// Contexts are not made shorter than this.
const CONTEXT_LEAST: u64 = 4 << 10;

impl Guest<'_> {
    /// What it takes itself.
    fn bytes(&self) -> u64 {
        let memory = &self.verdict.memory;
        memory.total_bytes.saturating_sub(memory.reserve_bytes)
    }

    /// What it would take with another wish. Told by formula where the loader told the rest: what
    /// changes is the same.
    fn bytes_with(&self, machine: &Machine, wish: &Wish) -> u64 {
        let of = |wish: &Wish| {
            let weights = self.subject.weights(wish.quantisation);
            let conversations = (wish.users, wish.context, wish.kv);
            memory(self.subject, &weights, machine, conversations).total_bytes
        };
        self.bytes().saturating_add(of(wish)).saturating_sub(of(&self.wish))
    }
}

/// One budget for all of them.
#[must_use]
pub fn together(guests: &[Guest<'_>], machine: &Machine) -> Together {
    let available = machine.usable_bytes();
    let reserve = crate::plan::RESERVE_BYTES;
    let all = sum(guests.iter().map(Guest::bytes)).saturating_add(reserve);
    let mut taken = reserve;
    let seat = |guest: &Guest<'_>| {
        let bytes = guest.bytes();
        let wanted = taken.saturating_add(bytes);
        let fits = wanted <= available;
        if fits {
            taken = wanted;
        }
        let (model, quant) = (guest.verdict.model.clone(), guest.verdict.quant.clone());
        Seat { model, quant, bytes, fits, missing_bytes: wanted.saturating_sub(available) }
    };
    let seats = guests.iter().map(seat).collect();
    let kinds = |kind: fn(&Memory) -> u64| sum(guests.iter().map(|it| kind(&it.verdict.memory)));
    let memory = Memory {
        weights_bytes: kinds(|memory| memory.weights_bytes),
        kv_bytes: kinds(|memory| memory.kv_bytes),
        state_bytes: kinds(|memory| memory.state_bytes),
        activation_bytes: kinds(|memory| memory.activation_bytes),
        adapter_bytes: kinds(|memory| memory.adapter_bytes),
        projector_bytes: kinds(|memory| memory.projector_bytes),
        runtime_bytes: kinds(|memory| memory.runtime_bytes),
        reserve_bytes: reserve,
        total_bytes: all,
        available_bytes: available,
    };
    let changes =
        if all <= available { Vec::new() } else { Room { guests, machine, all }.changes() };
    Together { memory, seats, changes }
}

/// Looks for room.
struct Room<'a> {
    guests: &'a [Guest<'a>],
    machine: &'a Machine,
    all: u64,
}

impl Room<'_> {
    fn changes(&self) -> Vec<Change> {
        let mut found = Vec::new();
        found.extend(self.shorter_keys());
        found.extend(self.best_of(|guest| self.shorter_context(guest)));
        found.extend(self.best_of(|guest| self.fewer_bits(guest)));
        found.extend(self.one_less());
        found
    }

    fn fits(&self, total: u64) -> bool {
        total <= self.machine.usable_bytes()
    }

    /// All others, and this much of one.
    fn total_with(&self, guest: &Guest<'_>, bytes: u64) -> u64 {
        self.all.saturating_sub(guest.bytes()).saturating_add(bytes)
    }

    /// The change of the one model whose change leaves the most.
    fn best_of(&self, change: impl Fn(&Guest<'_>) -> Option<(u64, Change)>) -> Option<Change> {
        let found = self.guests.iter().filter_map(change);
        found.max_by_key(|(total, _)| *total).map(|(_, change)| change)
    }

    fn shorter_keys(&self) -> Option<Change> {
        let kv = KvType::Q8_0;
        let bytes = |guest: &Guest<'_>| {
            let is_longer = guest.wish.kv.bytes(1024) > kv.bytes(1024);
            let wish = Wish { kv, ..guest.wish.clone() };
            if is_longer { guest.bytes_with(self.machine, &wish) } else { guest.bytes() }
        };
        let reserve = crate::plan::RESERVE_BYTES;
        let total_bytes = sum(self.guests.iter().map(bytes)).saturating_add(reserve);
        self.fits(total_bytes).then(|| Change::Kv { kv: kv.name(), total_bytes })
    }

    fn shorter_context(&self, guest: &Guest<'_>) -> Option<(u64, Change)> {
        let mut context = guest.wish.context / 2;
        while context >= CONTEXT_LEAST {
            let wish = Wish { context, ..guest.wish.clone() };
            let total_bytes = self.total_with(guest, guest.bytes_with(self.machine, &wish));
            if self.fits(total_bytes) {
                let model = guest.verdict.model.clone();
                return Some((total_bytes, Change::Context { model, context, total_bytes }));
            }
            context /= 2;
        }
        None
    }

    /// The most bits with which all fit.
    fn fewer_bits(&self, guest: &Guest<'_>) -> Option<(u64, Change)> {
        if guest.subject.file_quant().is_some() {
            return None;
        }
        let total = |quantisation: &Quantisation| {
            let wish = Wish { quantisation: *quantisation, ..guest.wish.clone() };
            self.total_with(guest, guest.bytes_with(self.machine, &wish))
        };
        let offered = guest.subject.offered().into_iter();
        let fitting = offered.map(|it| (total(&it), it)).find(|(total, _)| self.fits(*total));
        let (total_bytes, quantisation) = fitting?;
        let (model, quant) = (guest.verdict.model.clone(), quantisation.name());
        Some((total_bytes, Change::Quant { model, quant, total_bytes }))
    }

    fn one_less(&self) -> Option<Change> {
        let change = |guest: &Guest<'_>| {
            let total_bytes = self.total_with(guest, 0);
            let model = guest.verdict.model.clone();
            self.fits(total_bytes).then_some((total_bytes, Change::LeaveOut { model, total_bytes }))
        };
        self.best_of(change)
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, Guest, Together, together};
    use crate::{
        Coefficients, Engine, Knowledge, KvType, Quantisation, Subject, Wish, find_machine,
        find_model, plan,
    };

    fn check(machine: &str, models: &[(&str, &str, u64)]) -> Together {
        let machine = find_machine(machine).unwrap();
        let subjects: Vec<Subject> =
            models.iter().map(|(name, ..)| Subject::of_row(find_model(name).unwrap())).collect();
        let guest = |(subject, (_, quant, context)): (&'_ Subject, &(&str, &str, u64))| {
            let quantisation = Quantisation::from_name(quant).unwrap();
            let (kv, engine) = (KvType::F16, Engine::Plain);
            let wish = Wish { context: *context, users: 1, kv, quantisation, engine };
            let knowledge = Knowledge::of(Coefficients::embedded(), machine);
            (wish.clone(), plan(subject, machine, &wish, &knowledge))
        };
        let planned: Vec<_> = subjects.iter().zip(models).map(guest).collect();
        let guests: Vec<Guest<'_>> = subjects
            .iter()
            .zip(planned)
            .map(|(subject, (wish, verdict))| Guest { subject, wish, verdict })
            .collect();
        together(&guests, machine)
    }

    #[test]
    fn the_reserve_is_left_once_and_all_else_adds_up() {
        let alone = check("dgx-spark", &[("Qwen3-8B", "Q8_0", 8192)]);
        let two = check("dgx-spark", &[("Qwen3-8B", "Q8_0", 8192), ("Qwen3-8B", "Q8_0", 8192)]);
        let reserve = crate::RESERVE_BYTES;
        assert_eq!(two.memory.total_bytes, 2 * (alone.memory.total_bytes - reserve) + reserve);
        assert_eq!(two.memory.kv_bytes, 2 * 8192 * 144 * 1024);
        assert!(two.seats.iter().all(|seat| seat.fits) && two.changes.is_empty());
    }

    #[test]
    fn who_does_not_fit_and_what_makes_room() {
        let models = [("gpt-oss-120b", "MXFP4", 131_072), ("Llama-3.3-70B", "Q4_K_M", 32_768)];
        let found = check("dgx-spark", &models);
        let fits: Vec<bool> = found.seats.iter().map(|seat| seat.fits).collect();
        assert_eq!(fits, [true, false]);
        assert_eq!(
            found.seats[1].missing_bytes,
            found.memory.total_bytes - found.memory.available_bytes
        );
        let is_quant = |change: &Change| {
            matches!(change, Change::Quant { model, quant, .. }
                if model == "Llama-3.3-70B" && ["Q3_K_M", "Q2_K"].contains(quant))
        };
        assert!(found.changes.iter().any(is_quant), "{:?}", found.changes);
        for change in &found.changes {
            let (Change::Kv { total_bytes, .. }
            | Change::Context { total_bytes, .. }
            | Change::Quant { total_bytes, .. }
            | Change::LeaveOut { total_bytes, .. }) = change;
            assert!(*total_bytes <= found.memory.available_bytes, "{change:?}");
            assert!(*total_bytes < found.memory.total_bytes, "{change:?}");
        }
    }

    #[test]
    fn where_nothing_helps_nothing_is_offered() {
        let found =
            check("rtx-4060", &[("Llama-3.1-405B", "Q2_K", 4096), ("Qwen3-32B", "F16", 4096)]);
        assert_eq!(found.changes, []);
        assert!(found.seats.iter().all(|seat| !seat.fits));
    }
}
