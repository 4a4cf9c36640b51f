//! `--explain`: how each number came about, with the numbers themselves.

use app::planner::users::{FIRST_TOKEN_S, REQUEST_GAP_S};
use app::planner::{
    INTERACTIVE_TPS, LoadFrom, Machine, Pipeline, Tier, Tuning, TuningMemory, Verdict, step_rows,
};

use super::fit::{HERE, way_words};
use super::units::{gib, positions, rate, seconds};
use crate::text;

/// Of a weight that learns.
const LEARNT_BYTES: u64 = 16;

/// What stands above the paragraphs.
const HEADING: &str = "How these figures came about (formulas: docs/planner.md)";

/// What is explained, and how it came about.
pub(crate) type Parts = Vec<(&'static str, String)>;

/// For each number of a verdict.
pub(crate) fn verdict(verdict: &Verdict, machine: &Machine) -> Parts {
    let is_beside = verdict.memory.adapter_bytes + verdict.memory.projector_bytes > 0;
    let mut parts = vec![
        ("weights", weights(verdict)),
        ("keys and values", context(verdict)),
        ("working memory", working(verdict)),
    ];
    parts.extend(is_beside.then(|| ("beside the model", beside(verdict))));
    parts.extend([
        ("available", available(verdict, machine)),
        ("bound", bound(verdict)),
        ("writes", writes(verdict)),
        ("at depth", depth(verdict)),
        ("reads", reads(verdict)),
        ("first token", first_token(verdict)),
        ("at once", at_once(verdict)),
    ]);
    parts.extend(verdict.people.is_some().then(|| ("people", people())));
    parts.extend([
        ("loads in", loads(verdict)),
        ("power", power(verdict)),
        ("measured", measured(verdict)),
    ]);
    parts
}

/// A paragraph for each.
pub(crate) fn paragraphs(parts: &[(&str, String)], width: usize) -> Vec<String> {
    let mut lines = vec![HEADING.to_owned()];
    for (name, how) in parts {
        lines.extend(text::wrapped(&format!("  {name}: {how}"), "    ", width));
    }
    lines
}

/// What is behind the lists of `hob fit` without a model.
pub(crate) fn picks(width: usize) -> Vec<String> {
    let chosen = "every model of the table as Q8_0, Q6_K and Q4_K_M, or as its makers publish it; \
                  the most bits that do the task in the machine's own memory; the most weights \
                  first, and of sisters with the same shape one";
    let rates = "what is expected with the whole context of the task, as `hob fit MODEL --explain` \
                 explains it for each";
    let sizes = "the largest model of the table that is whole in the memory of a machine of that \
                 size, in the four bits that its makers publish, else Q4_K_M";
    let parts = [("models", chosen), ("rates", rates), ("sizes", sizes)];
    paragraphs(&parts.map(|(name, how)| (name, how.to_owned())), width)
}

/// A paragraph for each precision of a pipeline.
pub(crate) fn images(rows: &[&Pipeline], width: usize) -> Vec<String> {
    let part = |row: &&Pipeline| {
        let how = if row.text_gb > 0.0 {
            format!(
                "text encoders {} GB, denoiser {} GB, decoder {} GB as published, and {} GB that \
                 the denoiser was measured to work in; in turn the largest of encoders, denoiser \
                 at work and decoder",
                row.text_gb, row.denoiser_gb, row.decoder_gb, row.working_gb
            )
        } else {
            format!("{} GB, of which only the whole peak is published", row.denoiser_gb)
        };
        (format!("{} {}, {}", row.name, row.precision, row.makes), how)
    };
    let parts: Vec<(String, String)> = rows.iter().map(part).collect();
    let parts: Vec<(&str, String)> =
        parts.iter().map(|(name, how)| (name.as_str(), how.clone())).collect();
    paragraphs(&parts, width)
}

/// For each way to learn, and for what all take.
pub(crate) fn tuning(ways: &[(Tuning, TuningMemory)], sequence: u64) -> Parts {
    let mut parts = Vec::new();
    let learnt = "16 bytes each: itself and its gradient in 16 bits, a copy and two moments of \
                  AdamW in 32";
    for (way, memory) in ways {
        let learning = text::parameters(memory.learnt_bytes / LEARNT_BYTES);
        let how = match way {
            Tuning::Full => format!("{learning} weights learn, {learnt}"),
            Tuning::Lora { rank } => format!(
                "the model in 16 bits takes {}; {learning} weights of adapters of rank {rank} \
                 learn, {learnt}",
                gib(memory.model_bytes)
            ),
            Tuning::Qlora { rank } => format!(
                "matrices in NF4 at 0.516 bytes a weight, embedding and head in 16 bits, take {}; \
                 {learning} weights of adapters of rank {rank} learn, {learnt}",
                gib(memory.model_bytes)
            ),
        };
        parts.push((way_words(*way), how));
    }
    if let Some((_, memory)) = ways.first() {
        let how = format!(
            "one example of {} tokens at a time takes {}: what each layer keeps for the way back, \
             one layer's values computed anew, and logits with their gradients",
            text::grouped(sequence),
            gib(memory.activation_bytes)
        );
        parts.push(("activations", how));
    }
    parts
}

fn weights(verdict: &Verdict) -> String {
    let bits = verdict.memory.weights_bytes as f64 * 8.0 / verdict.token.parameters as f64;
    let how = if verdict.weights_exact {
        "every tensor in the type that this mix gives it"
    } else {
        "mean bits of published files of this kind"
    };
    format!(
        "{} weights, {bits:.2} bits each: {} bytes ({how})",
        text::parameters(verdict.token.parameters),
        text::grouped(verdict.memory.weights_bytes)
    )
}

fn context(verdict: &Verdict) -> String {
    let (memory, token) = (&verdict.memory, verdict.kv_bytes_per_token);
    format!(
        "{} bytes a token as {} in layers that see everything, {} tokens, {}, with full windows: \
         {} bytes; states of recurrent layers {} bytes",
        text::grouped(token),
        verdict.kv,
        text::grouped(verdict.context),
        conversations(verdict.users),
        text::grouped(memory.kv_bytes),
        text::grouped(memory.state_bytes)
    )
}

fn working(verdict: &Verdict) -> String {
    let memory = &verdict.memory;
    format!(
        "activations of {} rows and logits {} bytes, driver and program {}, left free {}: in all {}",
        step_rows(verdict.context, verdict.users),
        text::grouped(memory.activation_bytes),
        text::grouped(memory.runtime_bytes),
        text::grouped(memory.reserve_bytes),
        text::grouped(memory.total_bytes)
    )
}

fn conversations(users: u64) -> String {
    let plural = if users == 1 { "" } else { "s" };
    format!("{users} conversation{plural}")
}

fn beside(verdict: &Verdict) -> String {
    let memory = &verdict.memory;
    format!(
        "adapters {} bytes, which every token reads too; projector and the largest image it takes \
         {} bytes, an estimate",
        text::grouped(memory.adapter_bytes),
        text::grouped(memory.projector_bytes)
    )
}

fn bound(verdict: &Verdict) -> String {
    let token = &verdict.token;
    let bytes = token.weights_bytes + token.context_bytes;
    let together = match verdict.users {
        1 => String::new(),
        users => format!(
            "; {users} at once read {:.2} GB for a token of each: {}",
            token.bandwidth_gbs / verdict.speed.bound_tps,
            rate(verdict.speed.bound_tps)
        ),
    };
    format!(
        "a token passes {} weights and reads {:.2} GB of them and {:.2} GB of context; at {:.0} \
         GB/s that is {} tokens/s at most{together}",
        text::parameters(token.active),
        token.weights_bytes as f64 / 1e9,
        token.context_bytes as f64 / 1e9,
        token.bandwidth_gbs,
        rate(token.bandwidth_gbs * 1e9 / bytes.max(1) as f64)
    )
}

fn available(verdict: &Verdict, machine: &Machine) -> String {
    let rule = match (machine.source == HERE, machine.usable_gib) {
        (true, _) => "what the system says is free now",
        (false, Some(_)) => "what was measured on such a machine, or is set by a rule of its kind",
        (false, None) => "what the rule of its class leaves for models",
    };
    format!("{} of {:.0} GiB: {rule}", gib(verdict.memory.available_bytes), machine.memory_gib)
}

/// What does not depend on the depth, and what does.
fn depth(verdict: &Verdict) -> String {
    let token = &verdict.token;
    let deepest = verdict.depths.last().map_or(0, |depth| depth.context);
    let deep = verdict.kv_bytes_per_token.saturating_mul(deepest) as f64 / 1e9;
    format!(
        "a token reads {:.2} GB of weights wherever it stands, and {} bytes of context for each \
         position before it in layers that see everything: {deep:.2} GB at {}; of one conversation",
        token.weights_bytes as f64 / 1e9,
        text::grouped(verdict.kv_bytes_per_token),
        positions(deepest)
    )
}

fn first_token(verdict: &Verdict) -> String {
    let wait = |wait: &app::planner::FirstToken| {
        let (low, high) = (seconds(wait.low_s), seconds(wait.high_s));
        format!("{} {low} to {high}", positions(wait.prompt))
    };
    let waits: Vec<String> = verdict.first_token.iter().map(wait).collect();
    if waits.is_empty() {
        return "not known, as reading is not".to_owned();
    }
    format!(
        "the prompt's tokens over the rate of reading at half its depth, and one token written \
         after it, with nobody before; nine of ten between: {}",
        waits.join(", ")
    )
}

fn at_once(verdict: &Verdict) -> String {
    format!(
        "the most conversations, each with {} of context, that the memory holds and that all write \
         at {INTERACTIVE_TPS} tokens/s and more: weights are read once for all, keys and values of \
         each",
        positions(verdict.context)
    )
}

fn people() -> String {
    format!(
        "simulated: each asks every {REQUEST_GAP_S:.0} s at random, with lengths of a public trace; \
         95 of 100 first tokens come within {FIRST_TOKEN_S:.0} s, and 95 of 100 answers at \
         {INTERACTIVE_TPS} tokens/s"
    )
}

fn loads(verdict: &Verdict) -> String {
    let memory = &verdict.memory;
    let bytes = memory.weights_bytes + memory.adapter_bytes + memory.projector_bytes;
    let [slow, fast] = verdict.load_gbs;
    let of = match verdict.load_from {
        LoadFrom::ThisDisk => {
            "1.2 to 2.5 times as long as the disk here, as it was measured, takes"
        }
        LoadFrom::SuchBoxes => "as direct reads of disks were measured",
        LoadFrom::NvmeDisks => "1.2 to 2.5 times as long as NVMe disks of 7 and 3.5 GB/s take",
    };
    format!("{:.1} GB of files at {fast:.1} to {slow:.1} GB/s, {of}", bytes as f64 / 1e9)
}

/// Which measurements there are, and which were not counted.
fn measured(verdict: &Verdict) -> String {
    let evidence = &verdict.evidence;
    format!(
        "{} published measurements of writing on this machine or its twin and {} on its class were \
         fitted, {} were made here; those held out, above the bound, with a part in the PC's \
         memory, with several tokens a step or on several boxes do not count",
        evidence.of_machine, evidence.of_class, evidence.yours
    )
}

fn writes(verdict: &Verdict) -> String {
    let evidence = &verdict.evidence;
    let rests = match evidence.tier {
        Tier::Calibrated => format!("{} measurements made here", evidence.yours),
        Tier::Machine => format!("{} published measurements of this machine", evidence.of_machine),
        Tier::Class => format!("{} published measurements of its class", evidence.of_class),
    };
    let offload = if verdict.token.offload > 1.0 {
        format!("; {:.1} times longer for the part in the PC's memory", verdict.token.offload)
    } else {
        String::new()
    };
    format!(
        "bytes over the share of bandwidth that such machines reach, and a time for each layer, at \
         {} of context; fitted to {rests}{offload}; the range held nine of ten measurements that \
         the fit had not seen",
        positions(verdict.context)
    )
}

fn reads(verdict: &Verdict) -> String {
    match verdict.speed.prefill_tps {
        Some(_) => "operations over the share of the arithmetic that such machines reach; always \
                    less sure than writing: measure it with `hob bench`"
            .to_owned(),
        None => "the arithmetic of this machine is not known".to_owned(),
    }
}

fn power(verdict: &Verdict) -> String {
    match verdict.power {
        Some(power) => format!(
            "{:.0} W over {} tokens/s; 1 J a token is 0.28 kWh a million",
            power.watts,
            rate(verdict.speed.total_tps)
        ),
        None => "nobody published what this machine draws".to_owned(),
    }
}
