//! `hob fit A B C`: several models on one machine, who does not fit and what makes room.

use app::planner::{Change, Machine, Together, Verdict};

use super::fit::bar;
use super::units::{gib, positions, rate};
use crate::text::{self, Side};

/// Several models on one machine.
pub(crate) fn lines(
    machine: &Machine,
    verdicts: &[&Verdict],
    found: &Together,
    width: usize,
) -> Vec<String> {
    let memory = &found.memory;
    let (total, available) = (gib(memory.total_bytes), gib(memory.available_bytes));
    let word = if found.seats.iter().all(|seat| seat.fits) { "THEY FIT" } else { "NO" };
    let mut lines = vec![
        format!("{} models at once on {}", verdicts.len(), machine.name),
        format!("{word}: together {total}, and {available} can be used"),
        String::new(),
    ];
    lines.extend(bar(memory, width));
    lines.push(String::new());
    lines.extend(seats(verdicts, found, width));
    lines.push("  (speeds are of each with the others waiting)".to_owned());
    if !found.changes.is_empty() {
        lines.push(String::new());
        lines.push("Any one of these makes room for all:".to_owned());
        lines.extend(found.changes.iter().map(change));
    } else if memory.total_bytes > memory.available_bytes {
        lines.push(String::new());
        lines.push("No single change makes room for all: take smaller models".to_owned());
    }
    lines
}

fn seats(verdicts: &[&Verdict], found: &Together, width: usize) -> Vec<String> {
    let heading = ["  model", "context", "weights", "keys, values", "in all", "writes", ""];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for (verdict, seat) in verdicts.iter().zip(&found.seats) {
        let people =
            if verdict.users > 1 { format!(" x {}", verdict.users) } else { String::new() };
        let fits = match seat.fits {
            true => "fits".to_owned(),
            false => format!("{} too much", gib(seat.missing_bytes)),
        };
        rows.push(vec![
            format!("  {} {}", seat.model, seat.quant),
            format!("{}{people}", positions(verdict.context)),
            gib(verdict.memory.weights_bytes),
            gib(verdict.memory.kv_bytes + verdict.memory.state_bytes),
            gib(seat.bytes),
            format!("{}/s", rate(verdict.speed.decode_tps)),
            fits,
        ]);
    }
    let right = Side::Right;
    let sides = [Side::Left, right, right, right, right, right, Side::Left];
    text::table_within(width, &sides, &rows, &[(3, "keys, values"), (2, "weights"), (1, "context")])
}

fn change(change: &Change) -> String {
    let (what, total_bytes) = match change {
        Change::Kv { kv, total_bytes } => (format!("--kv {kv}"), total_bytes),
        Change::Context { model, context, total_bytes } => {
            (format!("{model} with {} of context", positions(*context)), total_bytes)
        }
        Change::Quant { model, quant, total_bytes } => (format!("{model} as {quant}"), total_bytes),
        Change::LeaveOut { model, total_bytes } => (format!("without {model}"), total_bytes),
    };
    format!("  {what}: {}", gib(*total_bytes))
}

#[cfg(test)]
mod tests {
    use app::planner::{
        Coefficients, Engine, Guest, Knowledge, KvType, Quantisation, Subject, Verdict, Wish,
        find_machine, find_model, plan, together,
    };

    use super::lines;

    fn screen(machine: &str, models: &[(&str, &str, u64)]) -> String {
        let machine = find_machine(machine).unwrap();
        let knowledge = Knowledge::of(Coefficients::embedded(), machine);
        let subjects: Vec<Subject> =
            models.iter().map(|(name, ..)| Subject::of_row(find_model(name).unwrap())).collect();
        let guests: Vec<Guest<'_>> = subjects
            .iter()
            .zip(models)
            .map(|(subject, (_, quant, context))| {
                let quantisation = Quantisation::from_name(quant).unwrap();
                let (kv, engine) = (KvType::F16, Engine::Plain);
                let wish = Wish { context: *context, users: 1, kv, quantisation, engine };
                let verdict = plan(subject, machine, &wish, &knowledge);
                Guest { subject, wish, verdict }
            })
            .collect();
        let verdicts: Vec<&Verdict> = guests.iter().map(|guest| &guest.verdict).collect();
        let together = together(&guests, machine);
        let narrow = lines(machine, &verdicts, &together, 80);
        assert!(narrow.iter().all(|line| line.chars().count() <= 80), "{narrow:#?}");
        let lines = lines(machine, &verdicts, &together, 120);
        for line in &lines {
            assert!(line.chars().count() <= 120 && line.trim_end() == line, "{line:?}");
        }
        lines.join("\n")
    }

    #[test]
    fn three_that_fit() {
        let models = [
            ("gpt-oss-120b", "MXFP4", 32_768),
            ("Qwen3-8B", "Q8_0", 8192),
            ("Gemma-3-4B", "Q4_K_M", 8192),
        ];
        let screen = screen("dgx-spark", &models);
        assert!(screen.starts_with("3 models at once on NVIDIA DGX Spark (GB10)\nTHEY FIT: "));
        assert_eq!(screen.matches("  fits").count(), 3, "{screen}");
        assert!(!screen.contains("makes room"), "{screen}");
    }

    #[test]
    fn one_too_many() {
        let models = [("gpt-oss-120b", "MXFP4", 131_072), ("Llama-3.3-70B", "Q4_K_M", 32_768)];
        let screen = screen("dgx-spark", &models);
        assert!(screen.contains("\nNO: together "), "{screen}");
        assert_eq!(screen.matches(" too much").count(), 1, "{screen}");
        assert!(screen.contains("Any one of these makes room for all:"), "{screen}");
        assert!(screen.contains("  Llama-3.3-70B as "), "{screen}");
    }

    #[test]
    fn nothing_helps() {
        let models = [("Llama-3.1-405B", "Q2_K", 4096), ("Qwen3-32B", "F16", 4096)];
        let screen = screen("rtx-4060", &models);
        assert!(screen.ends_with("No single change makes room for all: take smaller models"));
    }
}
