//! `GET /hob/status`: the house as JSON, for `hob top` and other eyes. Fields may grow in number,
//! never change in meaning. No text of a prompt or an answer is among them.

use std::sync::Arc;
use std::time::Duration;

use app::meter::{Basis, State as SourceState};
use app::{FinishReason, Histogram, ModelStatus, Status};
use axum::Json;
use axum::extract::State;
use axum::http::Method;
use axum::routing::get;
use serde::{Deserialize, Serialize};

use crate::routes::{House, Route};

pub(crate) const ROUTE: Route = Route {
    method: Method::GET,
    path: "/hob/status",
    summary: "Load, speed, memory and energy, for `hob top`.",
    handler: || get(status),
};

async fn status(State(house): State<Arc<House>>) -> Json<HouseStatus> {
    Json(HouseStatus::of(&house.app.status()))
}

/// The house. What is not known is null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "names with units say it; docs/metrics.md describes the figures")]
pub struct HouseStatus {
    pub version: String,
    pub uptime_s: f64,
    pub models: Vec<ModelView>,
    /// Mean of the last five seconds.
    pub read_per_s: f64,
    pub made_per_s: f64,
    /// The last two minutes, a second each, oldest first.
    pub history: Vec<MomentView>,
    pub memory: MemoryView,
    pub processor: ProcessorView,
    pub devices: Vec<DeviceView>,
    pub energy: EnergyView,
}

/// A model in memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "names with units say it; docs/metrics.md describes the figures")]
pub struct ModelView {
    pub name: String,
    pub backend: String,
    pub context_len: u32,
    pub sequences_max: u32,
    pub load_s: f64,
    pub weights_bytes: u64,
    pub kv_bytes: u64,
    pub workspace_bytes: u64,
    /// What drafts for it, and the memory that this holds beside.
    pub draft_model: Option<String>,
    pub draft_bytes: u64,
    pub running: u32,
    pub waiting: u32,
    /// How long the first in the queue has waited.
    pub oldest_wait_s: f64,
    pub pages_used: u32,
    /// Held by nobody, kept for whoever asks for the same again.
    pub pages_cached: u32,
    pub pages_free: u32,
    pub ended: u64,
    pub failed: u64,
    pub cancelled: u64,
    pub refused: u64,
    pub preemptions: u64,
    pub prompt_tokens: u64,
    pub cached_tokens: u64,
    pub made_tokens: u64,
    pub draft_tokens: u64,
    pub accepted_tokens: u64,
    pub busy_s: f64,
    /// Means since the start; none before the first.
    pub queued_mean_s: Option<f64>,
    pub first_token_mean_s: Option<f64>,
    pub inter_token_mean_s: Option<f64>,
    /// The last that ended, oldest first.
    pub recent: Vec<RequestView>,
}

/// A request that ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "names with units say it; docs/metrics.md describes the figures")]
pub struct RequestView {
    pub number: u64,
    pub ended_by: String,
    pub prompt_tokens: u32,
    pub cached_tokens: u32,
    pub made_tokens: u32,
    pub queued_s: f64,
    pub prefill_s: f64,
    pub decode_s: f64,
    pub busy_s: f64,
    pub energy_wh: f64,
    pub energy_basis: String,
}

/// A second or so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "names with units say it; docs/metrics.md describes the figures")]
pub struct MomentView {
    pub read_per_s: f64,
    pub made_per_s: f64,
    pub busy_share: f64,
    pub watts: Option<f64>,
}

/// Main memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "names with units say it; docs/metrics.md describes the figures")]
pub struct MemoryView {
    pub total_bytes: Option<u64>,
    pub available_bytes: Option<u64>,
    pub process_bytes: Option<u64>,
}

/// The processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "names with units say it; docs/metrics.md describes the figures")]
pub struct ProcessorView {
    pub utilisation: Option<f64>,
    pub frequency_mhz: Option<f64>,
    pub temperature_c: Option<f64>,
    pub is_throttled: Option<bool>,
}

/// Graphics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "names with units say it; docs/metrics.md describes the figures")]
pub struct DeviceView {
    pub name: String,
    pub watts: Option<f64>,
    pub power_limit_w: Option<f64>,
    pub utilisation: Option<f64>,
    pub temperature_c: Option<f64>,
    pub memory_used_bytes: Option<u64>,
    pub memory_total_bytes: Option<u64>,
    /// Reasons for lowered clocks; empty when they are not, null when that is not known.
    pub throttled_by: Option<Vec<String>>,
}

/// What is drawn, and by what it is known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "names with units say it; docs/metrics.md describes the figures")]
pub struct EnergyView {
    pub watts: Option<f64>,
    /// `counter`, `sensor`, `modelled` or `unknown`.
    pub basis: String,
    /// `machine` or `parts`.
    pub scope: String,
    /// What is in `watts`, where it is of parts.
    pub parts: Vec<String>,
    /// Means of the last ten minutes.
    pub idle_watts: Option<f64>,
    pub load_watts: Option<f64>,
    pub requests_wh: f64,
    pub idle_wh: f64,
    /// Mean of those that ended.
    pub wh_per_1000_requests: Option<f64>,
    /// Watts that are taken where nothing tells them, and whose they are.
    pub model_idle_watts: f64,
    pub model_load_watts: f64,
    pub model_source: String,
    /// Sources that are there and cannot be read, with the reason and the remedy.
    pub closed: Vec<String>,
}

/// Joules of a watt-hour.
const JOULES_PER_WH: f64 = 3600.0;

impl HouseStatus {
    fn of(status: &Status) -> HouseStatus {
        let rates = status.rates();
        let reading = status.reading.as_ref();
        let memory = reading.map(|reading| reading.memory).unwrap_or_default();
        let cpu = reading.map(|reading| reading.cpu).unwrap_or_default();
        let devices = reading.map_or(&[][..], |reading| &reading.devices);
        HouseStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: status.uptime.as_secs_f64(),
            models: status.models.iter().map(model).collect(),
            read_per_s: rates.read_per_s,
            made_per_s: rates.made_per_s,
            history: status.moments.iter().map(moment).collect(),
            memory: MemoryView {
                total_bytes: memory.total_bytes,
                available_bytes: memory.available_bytes,
                process_bytes: memory.process_bytes,
            },
            processor: ProcessorView {
                utilisation: cpu.utilisation,
                frequency_mhz: cpu.frequency_mhz,
                temperature_c: cpu.temperature_c,
                is_throttled: cpu.throttled,
            },
            devices: devices.iter().map(device).collect(),
            energy: energy(status),
        }
    }
}

fn model(model: &ModelStatus) -> ModelView {
    let (stats, counts) = (&model.stats, &model.stats.counts);
    let recent = stats.recent.iter().zip(&model.recent_energy);
    let recent = recent.map(|(ended, energy)| RequestView {
        number: ended.number,
        ended_by: reason(ended.reason).to_owned(),
        prompt_tokens: ended.usage.prompt_tokens,
        cached_tokens: ended.usage.cached_tokens,
        made_tokens: ended.usage.completion_tokens,
        queued_s: ended.usage.queued.as_secs_f64(),
        prefill_s: ended.usage.prefill.as_secs_f64(),
        decode_s: ended.usage.decode.as_secs_f64(),
        busy_s: ended.usage.busy.as_secs_f64(),
        energy_wh: energy.joules / JOULES_PER_WH,
        energy_basis: energy.basis.name().to_owned(),
    });
    ModelView {
        name: model.name.clone(),
        backend: model.backend.clone(),
        context_len: model.context_len,
        sequences_max: model.sequences_max,
        load_s: model.load_time.as_secs_f64(),
        weights_bytes: model.memory.weights_bytes,
        kv_bytes: model.memory.kv_bytes,
        workspace_bytes: model.memory.workspace_bytes,
        draft_model: model.draft.as_ref().map(|draft| draft.name.clone()),
        draft_bytes: model.draft.as_ref().map_or(0, |draft| draft.memory.total_bytes()),
        running: stats.running,
        waiting: stats.waiting,
        oldest_wait_s: stats.oldest_wait.as_secs_f64(),
        pages_used: stats.pages_used,
        pages_cached: stats.pages_cached,
        pages_free: stats.pages_free,
        ended: counts.ended.total(),
        failed: counts.ended.failed,
        cancelled: counts.ended.cancelled,
        refused: counts.refused_busy,
        preemptions: counts.preemptions,
        prompt_tokens: counts.prompt_tokens,
        cached_tokens: counts.cached_tokens,
        made_tokens: counts.made_tokens,
        draft_tokens: counts.draft_tokens,
        accepted_tokens: counts.accepted_tokens,
        busy_s: counts.busy.as_secs_f64(),
        queued_mean_s: mean(&counts.queued),
        first_token_mean_s: mean(&counts.first_token),
        inter_token_mean_s: mean(&counts.inter_token),
        recent: recent.collect(),
    }
}

fn mean(times: &Histogram) -> Option<f64> {
    (times.count() > 0).then(|| times.sum().as_secs_f64() / times.count() as f64)
}

fn reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::EndOfText => "end_of_text",
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::Context => "context",
        FinishReason::Cancelled => "cancelled",
        FinishReason::Failed => "failed",
    }
}

fn moment(moment: &app::Moment) -> MomentView {
    let per_s = |count: u64| {
        let seconds = Duration::try_from_secs_f64(moment.seconds).unwrap_or_default();
        if seconds.is_zero() { 0.0 } else { count as f64 / seconds.as_secs_f64() }
    };
    MomentView {
        read_per_s: per_s(moment.read_tokens),
        made_per_s: per_s(moment.made_tokens),
        busy_share: moment.busy_share,
        watts: moment.watts,
    }
}

fn device(device: &app::meter::Device) -> DeviceView {
    DeviceView {
        name: device.name.clone(),
        watts: device.watts,
        power_limit_w: device.power_limit_w,
        utilisation: device.utilisation,
        temperature_c: device.temperature_c,
        memory_used_bytes: device.memory_used_bytes,
        memory_total_bytes: device.memory_total_bytes,
        throttled_by: device.throttled_by.clone(),
    }
}

fn energy(status: &Status) -> EnergyView {
    let power = status.reading.as_ref().map(|reading| &reading.power);
    let parts = power.iter().flat_map(|power| power.draws.iter());
    let parts = parts.filter(|draw| draw.is_counted).map(|draw| draw.name.clone());
    let closed = status.sources.iter().filter_map(|source| match &source.state {
        SourceState::Closed { why, fix } => {
            let fix = fix.as_ref().map_or(String::new(), |fix| format!("; {fix}"));
            Some(format!("{}: {why}{fix}", source.name))
        }
        SourceState::Read | SourceState::Spare => None,
    });
    let sum = |of: fn(&app::Drawn) -> f64| {
        // The sum of nothing is -0.
        (status.drawn.iter().map(of).sum::<f64>() + 0.0) / JOULES_PER_WH
    };
    EnergyView {
        watts: power.and_then(|power| power.watts),
        basis: power.map_or(Basis::Unknown, |power| power.basis).name().to_owned(),
        scope: power.map_or("machine", |power| power.scope.name()).to_owned(),
        parts: parts.collect(),
        idle_watts: status.idle_watts,
        load_watts: status.load_watts,
        requests_wh: sum(|drawn| drawn.requests_joules),
        idle_wh: sum(|drawn| drawn.idle_joules),
        wh_per_1000_requests: status
            .joules_per_request()
            .map(|joules| joules * 1000.0 / JOULES_PER_WH),
        model_idle_watts: status.draw_model.idle_watts,
        model_load_watts: status.draw_model.load_watts,
        model_source: status.draw_model.source.clone(),
        closed: closed.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::HouseStatus;

    #[test]
    fn what_is_written_is_read_again_and_unknown_fields_do_no_harm() {
        let status = HouseStatus { uptime_s: 1.5, made_per_s: 7.25, ..HouseStatus::default() };
        let text = serde_json::to_string(&status).unwrap();
        assert_eq!(serde_json::from_str::<HouseStatus>(&text).unwrap(), status);
        let newer = r#"{ "uptime_s": 1.5, "made_per_s": 7.25, "moon": { "phase": 3 } }"#;
        assert_eq!(serde_json::from_str::<HouseStatus>(newer).unwrap(), status);
    }
}
