//! The metrics, a row each, sorted by name. Names and units are those of vLLM where it has the same
//! figure, with hob's prefix; `docs/metrics.md` lists them all, and a test holds it to this list.

use app::meter::Device;
use app::{Counts, ModelStatus, Status};

use super::text::{Kind, Metric, Sheet};

pub(crate) static METRICS: &[Metric] = &[
    Metric {
        name: "hob:build_info",
        kind: Kind::Gauge,
        labels: &["version"],
        help: "Always 1; the label is hob's version.",
        read: |_, sheet| sheet.add(&[("version", env!("CARGO_PKG_VERSION"))], 1.0),
    },
    Metric {
        name: "hob:device_memory_total_bytes",
        kind: Kind::Gauge,
        labels: &["device"],
        help: "Memory of a graphics device's own.",
        read: |status, sheet| devices(status, sheet, |d| d.memory_total_bytes.map(bytes)),
    },
    Metric {
        name: "hob:device_memory_used_bytes",
        kind: Kind::Gauge,
        labels: &["device"],
        help: "Memory of a graphics device's own that is taken, by whomever.",
        read: |status, sheet| devices(status, sheet, |d| d.memory_used_bytes.map(bytes)),
    },
    Metric {
        name: "hob:device_power_watts",
        kind: Kind::Gauge,
        labels: &["device"],
        help: "Mean watts of a graphics device over the last second.",
        read: |status, sheet| devices(status, sheet, |device| device.watts),
    },
    Metric {
        name: "hob:device_temperature_celsius",
        kind: Kind::Gauge,
        labels: &["device"],
        help: "Temperature of the processor (cpu) and of each graphics device.",
        read: |status, sheet| {
            let cpu = status.reading.as_ref().and_then(|reading| reading.cpu.temperature_c);
            sheet.add_known(&[("device", CPU)], cpu);
            devices(status, sheet, |device| device.temperature_c);
        },
    },
    Metric {
        name: "hob:device_throttled",
        kind: Kind::Gauge,
        labels: &["device", "reason"],
        help: "1 for each reason for which a device's clocks are lowered, 0 when they are not.",
        read: throttled,
    },
    Metric {
        name: "hob:device_utilization_ratio",
        kind: Kind::Gauge,
        labels: &["device"],
        help: "Share of the last second in which the processor (cpu) or a device computed, 0 to 1.",
        read: |status, sheet| {
            let cpu = status.reading.as_ref().and_then(|reading| reading.cpu.utilisation);
            sheet.add_known(&[("device", CPU)], cpu);
            devices(status, sheet, |device| device.utilisation);
        },
    },
    Metric {
        name: "hob:draft_model_accepted_tokens_total",
        kind: Kind::Counter,
        labels: &["model_name"],
        help: "Draft tokens that a draft model made and that were accepted.",
        read: |status, sheet| {
            counted(status, sheet, |counts| counts.drafting.accepted_tokens as f64);
        },
    },
    Metric {
        name: "hob:draft_model_busy_seconds_total",
        kind: Kind::Counter,
        labels: &["model_name"],
        help: "Time in which a draft model computed; a part of hob:engine_busy_seconds_total.",
        read: |status, sheet| {
            counted(status, sheet, |counts| counts.drafting.busy.as_secs_f64());
        },
    },
    Metric {
        name: "hob:draft_model_draft_tokens_total",
        kind: Kind::Counter,
        labels: &["model_name"],
        help: "Draft tokens that a draft model made and that were computed.",
        read: |status, sheet| {
            counted(status, sheet, |counts| counts.drafting.draft_tokens as f64);
        },
    },
    Metric {
        name: "hob:e2e_request_latency_seconds",
        kind: Kind::Histogram,
        labels: &["model_name"],
        help: "From submission to the end, of requests that ended for whatever reason.",
        read: |status, sheet| {
            models(status, sheet, |m, sheet, by| sheet.histogram(by, &m.stats.counts.end_to_end));
        },
    },
    Metric {
        name: "hob:energy_joules_total",
        kind: Kind::Counter,
        labels: &["basis", "state"],
        help: "Joules drawn while requests were computed (requests) and beside (idle), by how they \
               are known.",
        read: |status, sheet| {
            for drawn in &status.drawn {
                let basis = ("basis", drawn.basis.name());
                sheet.add(&[basis, ("state", "idle")], drawn.idle_joules);
                sheet.add(&[basis, ("state", "requests")], drawn.requests_joules);
            }
        },
    },
    Metric {
        name: "hob:engine_busy_seconds_total",
        kind: Kind::Counter,
        labels: &["model_name"],
        help: "Time in which the model computed, and one that drafts for it.",
        read: |status, sheet| counted(status, sheet, |counts| counts.busy.as_secs_f64()),
    },
    Metric {
        name: "hob:engine_steps_total",
        kind: Kind::Counter,
        labels: &["model_name"],
        help: "Forward passes.",
        read: |status, sheet| counted(status, sheet, |counts| counts.steps as f64),
    },
    Metric {
        name: "hob:generation_tokens_total",
        kind: Kind::Counter,
        labels: &["model_name"],
        help: "Tokens made.",
        read: |status, sheet| counted(status, sheet, |counts| counts.made_tokens as f64),
    },
    Metric {
        name: "hob:inter_token_latency_seconds",
        kind: Kind::Histogram,
        labels: &["model_name"],
        help: "From a token of an answer to the next.",
        read: |status, sheet| {
            models(status, sheet, |m, sheet, by| sheet.histogram(by, &m.stats.counts.inter_token));
        },
    },
    Metric {
        name: "hob:kv_cache_pages",
        kind: Kind::Gauge,
        labels: &["model_name", "state"],
        help: "Pages of the KV cache: held by requests (used), kept for reuse (cached), free.",
        read: |status, sheet| {
            models(status, sheet, |model, sheet, by| {
                let stats = &model.stats;
                let pages = [
                    ("cached", stats.pages_cached),
                    ("free", stats.pages_free),
                    ("used", stats.pages_used),
                ];
                for (state, count) in pages {
                    sheet.add(&[by, &[("state", state)]].concat(), f64::from(count));
                }
            });
        },
    },
    Metric {
        name: "hob:kv_cache_usage_perc",
        kind: Kind::Gauge,
        labels: &["model_name"],
        help: "Share of the KV cache's pages that requests hold, 0 to 1.",
        read: |status, sheet| {
            models(status, sheet, |model, sheet, by| {
                let stats = &model.stats;
                let all = stats.pages_used + stats.pages_cached + stats.pages_free;
                sheet.add(by, f64::from(stats.pages_used) / f64::from(all.max(1)));
            });
        },
    },
    Metric {
        name: "hob:memory_available_bytes",
        kind: Kind::Gauge,
        labels: &[],
        help: "Main memory that can be taken without swapping.",
        read: |status, sheet| {
            let memory = status.reading.as_ref().map(|reading| reading.memory);
            sheet.add_known(&[], memory.and_then(|memory| memory.available_bytes).map(bytes));
        },
    },
    Metric {
        name: "hob:memory_total_bytes",
        kind: Kind::Gauge,
        labels: &[],
        help: "Main memory of the machine.",
        read: |status, sheet| {
            let memory = status.reading.as_ref().map(|reading| reading.memory);
            sheet.add_known(&[], memory.and_then(|memory| memory.total_bytes).map(bytes));
        },
    },
    Metric {
        name: "hob:model_memory_bytes",
        kind: Kind::Gauge,
        labels: &["kind", "model_name"],
        help: "Memory that a model holds: kv (keys and values), weights, workspace (a step), and \
               all of a draft model (draft).",
        read: |status, sheet| {
            models(status, sheet, |model, sheet, by| {
                let memory = &model.memory;
                let draft = model.draft.as_ref().map_or(0, |draft| draft.memory.total_bytes());
                let kinds = [
                    ("draft", draft),
                    ("kv", memory.kv_bytes),
                    ("weights", memory.weights_bytes),
                    ("workspace", memory.workspace_bytes),
                ];
                for (kind, size) in kinds {
                    sheet.add(&[&[("kind", kind)], by].concat(), bytes(size));
                }
            });
        },
    },
    Metric {
        name: "hob:num_preemptions_total",
        kind: Kind::Counter,
        labels: &["model_name"],
        help: "Times that a running request gave its pages up to others.",
        read: |status, sheet| counted(status, sheet, |counts| counts.preemptions as f64),
    },
    Metric {
        name: "hob:num_requests_running",
        kind: Kind::Gauge,
        labels: &["model_name"],
        help: "Requests that run.",
        read: |status, sheet| {
            models(status, sheet, |m, sheet, by| sheet.add(by, f64::from(m.stats.running)));
        },
    },
    Metric {
        name: "hob:num_requests_waiting",
        kind: Kind::Gauge,
        labels: &["model_name"],
        help: "Requests that wait.",
        read: |status, sheet| {
            models(status, sheet, |m, sheet, by| sheet.add(by, f64::from(m.stats.waiting)));
        },
    },
    Metric {
        name: "hob:power_unknown_seconds_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Time of which no watts are known; it is not in hob:energy_joules_total.",
        read: |status, sheet| {
            let power = status.reading.as_ref().map(|reading| &reading.power);
            sheet.add_known(&[], power.map(|power| power.missed.as_secs_f64()));
        },
    },
    Metric {
        name: "hob:power_watts",
        kind: Kind::Gauge,
        labels: &["basis", "scope"],
        help: "Mean watts over the last second, of the whole machine or of the parts that tell.",
        read: |status, sheet| {
            let power = status.reading.as_ref().map(|reading| &reading.power);
            if let Some(power) = power {
                let labels = [("basis", power.basis.name()), ("scope", power.scope.name())];
                sheet.add_known(&labels, power.watts);
            }
        },
    },
    Metric {
        name: "hob:prefix_cache_hits_total",
        kind: Kind::Counter,
        labels: &["model_name"],
        help: "Tokens of prompts that were taken from the prefix cache.",
        read: |status, sheet| counted(status, sheet, |counts| counts.cached_tokens as f64),
    },
    Metric {
        name: "hob:process_resident_memory_bytes",
        kind: Kind::Gauge,
        labels: &[],
        help: "Memory that the server's process holds.",
        read: |status, sheet| {
            let memory = status.reading.as_ref().map(|reading| reading.memory);
            sheet.add_known(&[], memory.and_then(|memory| memory.process_bytes).map(bytes));
        },
    },
    Metric {
        name: "hob:prompt_tokens_total",
        kind: Kind::Counter,
        labels: &["model_name"],
        help: "Tokens of the prompts of requests that started, those from the cache among them.",
        read: |status, sheet| counted(status, sheet, |counts| counts.prompt_tokens as f64),
    },
    Metric {
        name: "hob:request_queue_time_seconds",
        kind: Kind::Histogram,
        labels: &["model_name"],
        help: "From submission to the first step, of requests that started.",
        read: |status, sheet| {
            models(status, sheet, |m, sheet, by| sheet.histogram(by, &m.stats.counts.queued));
        },
    },
    Metric {
        name: "hob:requests_ended_total",
        kind: Kind::Counter,
        labels: &["finished_reason", "model_name"],
        help: "Requests that ended, by reason.",
        read: |status, sheet| {
            models(status, sheet, |model, sheet, by| {
                let ended = &model.stats.counts.ended;
                let reasons = [
                    ("cancelled", ended.cancelled),
                    ("context", ended.context),
                    ("end_of_text", ended.end_of_text),
                    ("failed", ended.failed),
                    ("length", ended.length),
                    ("stop", ended.stop),
                ];
                for (reason, count) in reasons {
                    sheet.add(&[&[("finished_reason", reason)], by].concat(), count as f64);
                }
            });
        },
    },
    Metric {
        name: "hob:requests_refused_total",
        kind: Kind::Counter,
        labels: &["model_name"],
        help: "Requests that were refused because the queue was full.",
        read: |status, sheet| counted(status, sheet, |counts| counts.refused_busy as f64),
    },
    Metric {
        name: "hob:rows_computed_total",
        kind: Kind::Counter,
        labels: &["model_name", "phase"],
        help: "Tokens that steps computed, reading prompts (prefill) and continuing answers (decode).",
        read: |status, sheet| {
            models(status, sheet, |model, sheet, by| {
                let counts = &model.stats.counts;
                let phases = [("decode", counts.decode_rows), ("prefill", counts.prefill_rows)];
                for (phase, rows) in phases {
                    sheet.add(&[by, &[("phase", phase)]].concat(), rows as f64);
                }
            });
        },
    },
    Metric {
        name: "hob:spec_decode_num_accepted_tokens_total",
        kind: Kind::Counter,
        labels: &["model_name"],
        help: "Draft tokens that were accepted.",
        read: |status, sheet| counted(status, sheet, |counts| counts.accepted_tokens as f64),
    },
    Metric {
        name: "hob:spec_decode_num_draft_tokens_total",
        kind: Kind::Counter,
        labels: &["model_name"],
        help: "Draft tokens that were computed.",
        read: |status, sheet| counted(status, sheet, |counts| counts.draft_tokens as f64),
    },
    Metric {
        name: "hob:time_to_first_token_seconds",
        kind: Kind::Histogram,
        labels: &["model_name"],
        help: "From submission to the first token.",
        read: |status, sheet| {
            models(status, sheet, |m, sheet, by| sheet.histogram(by, &m.stats.counts.first_token));
        },
    },
    Metric {
        name: "hob:uptime_seconds",
        kind: Kind::Gauge,
        labels: &[],
        help: "Since the first model was loaded.",
        read: |status, sheet| sheet.add(&[], status.uptime.as_secs_f64()),
    },
];

/// How the processor is called among the devices.
const CPU: &str = "cpu";

type Labels<'a> = &'a [(&'a str, &'a str)];

fn models(status: &Status, sheet: &mut Sheet, read: impl Fn(&ModelStatus, &mut Sheet, Labels<'_>)) {
    for model in &status.models {
        read(model, sheet, &[("model_name", &model.name)]);
    }
}

fn counted(status: &Status, sheet: &mut Sheet, count: impl Fn(&Counts) -> f64) {
    models(status, sheet, |model, sheet, by| sheet.add(by, count(&model.stats.counts)));
}

fn devices(status: &Status, sheet: &mut Sheet, value: impl Fn(&Device) -> Option<f64>) {
    for (name, device) in named_devices(status) {
        sheet.add_known(&[("device", &name)], value(device));
    }
}

/// Devices with names of their own: where several are alike all but the first are numbered.
fn named_devices(status: &Status) -> impl Iterator<Item = (String, &Device)> {
    let devices = status.reading.as_ref().map_or(&[][..], |reading| &reading.devices);
    devices.iter().enumerate().map(|(place, device)| {
        let before = devices[..place].iter().filter(|other| other.name == device.name).count();
        let name = match before {
            0 => device.name.clone(),
            _ => format!("{} #{}", device.name, before + 1),
        };
        (name, device)
    })
}

fn throttled(status: &Status, sheet: &mut Sheet) {
    let cpu = status.reading.as_ref().and_then(|reading| reading.cpu.throttled);
    let heat = if cpu == Some(true) { "thermal" } else { "none" };
    let is_slowed = cpu.map(|slowed| f64::from(u8::from(slowed)));
    sheet.add_known(&[("device", CPU), ("reason", heat)], is_slowed);
    for (name, device) in named_devices(status) {
        let Some(reasons) = &device.throttled_by else { continue };
        for reason in reasons {
            sheet.add(&[("device", &name), ("reason", reason)], 1.0);
        }
        if reasons.is_empty() {
            sheet.add(&[("device", &name), ("reason", "none")], 0.0);
        }
    }
}

fn bytes(bytes: u64) -> f64 {
    bytes as f64
}
