//! `--explain`: how each number came about, with the numbers themselves.

use app::planner::{Tier, Tuning, TuningMemory, Verdict, step_rows};

use super::fit::way_words;
use super::units::{gib, positions, rate, wrapped};
use crate::text;

/// Of a weight that learns.
const LEARNT_BYTES: u64 = 16;

/// A paragraph for each number of a verdict.
pub(crate) fn verdict(verdict: &Verdict) -> Vec<String> {
    let mut lines = vec!["How these figures came about (formulas: docs/planner.md)".to_owned()];
    for (name, how) in [
        ("weights", weights(verdict)),
        ("keys and values", context(verdict)),
        ("working memory", working(verdict)),
        ("beside the model", beside(verdict)),
        ("bound", bound(verdict)),
        ("writes", writes(verdict)),
        ("reads", reads(verdict)),
        ("power", power(verdict)),
    ] {
        if name == "beside the model"
            && verdict.memory.adapter_bytes + verdict.memory.projector_bytes == 0
        {
            continue;
        }
        lines.extend(wrapped(&format!("  {name}: {how}"), "    "));
    }
    lines
}

/// A paragraph for each way to learn, and one for what all take.
pub(crate) fn tuning(ways: &[(Tuning, TuningMemory)], sequence: u64) -> Vec<String> {
    let mut lines = vec!["How these figures came about (formulas: docs/planner.md)".to_owned()];
    let mut paragraph =
        |name: &str, how: String| lines.extend(wrapped(&format!("  {name}: {how}"), "    "));
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
        paragraph(way_words(*way), how);
    }
    if let Some((_, memory)) = ways.first() {
        let how = format!(
            "one example of {} tokens at a time takes {}: what each layer keeps for the way back, \
             one layer's values computed anew, and logits with their gradients",
            text::grouped(sequence),
            gib(memory.activation_bytes)
        );
        paragraph("activations", how);
    }
    lines
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
        "{} bytes a token as {} in layers that see everything, {} tokens, {} conversations, with \
         full windows: {} bytes; states of recurrent layers {} bytes",
        text::grouped(token),
        verdict.kv,
        text::grouped(verdict.context),
        verdict.users,
        text::grouped(memory.kv_bytes),
        text::grouped(memory.state_bytes)
    )
}

fn working(verdict: &Verdict) -> String {
    let memory = &verdict.memory;
    format!(
        "activations of {} rows and logits {}, driver and program {}, left free {}",
        step_rows(verdict.context, verdict.users),
        gib(memory.activation_bytes),
        gib(memory.runtime_bytes),
        gib(memory.reserve_bytes)
    )
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
    format!(
        "a token passes {} weights and reads {:.2} GB of them and {:.2} GB of context; at {:.0} \
         GB/s that is {} tokens/s at most",
        text::parameters(token.active),
        token.weights_bytes as f64 / 1e9,
        token.context_bytes as f64 / 1e9,
        token.bandwidth_gbs,
        rate(token.bandwidth_gbs * 1e9 / bytes.max(1) as f64)
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
