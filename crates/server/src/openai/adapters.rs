//! Adapters: `GET /lora-adapters` as llama-server prints them, and which of them a request has: by
//! `lora`, as llama-server reads it, or by an adapter's name as `model`, as vLLM does.

use std::sync::Arc;

use app::{AdapterKey, AdapterWish};
use axum::Json;
use axum::extract::State;
use axum::http::Method;
use axum::routing::get;
use serde_json::{Value, json};

use super::Rejection;
use super::fields::Fields;
use crate::limits::ADAPTERS_MAX;
use crate::routes::{House, Route};

pub(crate) const ROUTE: Route = Route {
    method: Method::GET,
    path: "/lora-adapters",
    summary: "The adapters that requests may have.",
    handler: || get(adapters),
};

async fn adapters(State(house): State<Arc<House>>) -> Json<Value> {
    let describe = |(id, adapter): (usize, &app::AdapterSource)| {
        // What a request has that says nothing.
        let scale = if adapter.is_applied { adapter.scale } else { 0.0 };
        json!({ "id": id, "name": adapter.name, "path": adapter.path, "scale": scale })
    };
    Json(house.model.adapters().iter().enumerate().map(describe).collect())
}

/// Which model a request names, and what it has of the adapters.
pub(crate) struct Chosen {
    /// As it was asked for: answers say it again.
    pub(crate) model: String,
    pub(crate) adapters: Option<Vec<AdapterWish>>,
}

/// A request for another model than the served one or an adapter of it is refused, never answered
/// by a stand-in.
pub(crate) fn choose(fields: &Fields, house: &House) -> Result<Chosen, Rejection> {
    let served = house.model.name();
    let wishes = wishes(fields)?;
    let asked = fields.text("model")?.unwrap_or(served);
    if asked == served {
        return Ok(Chosen { model: served.to_owned(), adapters: wishes });
    }
    if !is_adapter(asked, house) {
        return Err(super::models::not_found(asked, house));
    }
    if wishes.is_some() {
        let message =
            format!("`model` names the adapter `{asked}`: leave `lora` out, or `{served}`");
        return Err(Rejection::invalid("lora", format!("{message} as `model`")));
    }
    let wish = AdapterWish { adapter: AdapterKey::Name(asked.to_owned()), scale: None };
    Ok(Chosen { model: asked.to_owned(), adapters: Some(vec![wish]) })
}

pub(crate) fn is_adapter(name: &str, house: &House) -> bool {
    house.model.adapters().iter().any(|adapter| adapter.name == name)
}

/// `lora`: a list of `{"id", "scale"}`, where the id may be a name; those that are not listed are
/// not had.
fn wishes(fields: &Fields) -> Result<Option<Vec<AdapterWish>>, Rejection> {
    let wrong = |what: &str| Rejection::invalid("lora", format!("`lora` {what}"));
    let Some(value) = fields.get("lora") else { return Ok(None) };
    let list = value.as_array().ok_or_else(|| wrong("must be a list"))?;
    if list.len() > ADAPTERS_MAX {
        return Err(wrong(&format!("lists {} adapters: at most {ADAPTERS_MAX}", list.len())));
    }
    let wish = |item: &Value| {
        let adapter = match &item["id"] {
            Value::String(name) => AdapterKey::Name(name.clone()),
            id => AdapterKey::Index(usize::try_from(id.as_u64()?).ok()?),
        };
        let scale = match &item["scale"] {
            Value::Null => None,
            scale => Some(scale.as_f64()? as f32),
        };
        Some(AdapterWish { adapter, scale })
    };
    let wishes = list.iter().map(wish).collect::<Option<Vec<_>>>();
    let what = "must list objects such as {\"id\": 0, \"scale\": 0.5}, where id may be a name";
    wishes.map(Some).ok_or_else(|| wrong(what))
}

#[cfg(test)]
mod tests {
    use app::{AdapterKey, AdapterWish};
    use axum::body::Bytes;

    use super::{Fields, wishes};

    fn read(text: &str) -> Result<Option<Vec<AdapterWish>>, String> {
        let body = Bytes::copy_from_slice(format!("{{\"lora\": {text}}}").as_bytes());
        let wishes = wishes(&Fields::parse(&body).expect("an object"));
        wishes.map_err(|rejection| rejection.body()["error"]["message"].to_string())
    }

    #[test]
    fn lists_of_ids_and_names() {
        let wish = |adapter, scale| AdapterWish { adapter, scale };
        assert_eq!(read("null"), Ok(None));
        assert_eq!(read("[]"), Ok(Some(Vec::new())));
        let both = vec![
            wish(AdapterKey::Index(1), Some(0.5)),
            wish(AdapterKey::Name("law".to_owned()), None),
        ];
        assert_eq!(read(r#"[{"id": 1, "scale": 0.5}, {"id": "law"}]"#), Ok(Some(both)));
        for wrong in ["{}", "[1]", r#"[{"scale": 1}]"#, r#"[{"id": -1}]"#, r#"[{"id": 1.5}]"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read(r#"[{"id": 0, "scale": "x"}]"#).is_err());
        let many = format!("[{}]", vec![r#"{"id": 0}"#; 65].join(","));
        assert!(read(&many).expect_err("65").contains("lists 65 adapters: at most 64"));
    }
}
