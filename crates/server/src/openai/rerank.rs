//! `POST /v1/rerank`: documents by how well they answer a query, as Jina and Cohere have it.

use std::sync::Arc;

use app::RerankRequest;
use axum::Json;
use axum::extract::State;
use axum::http::Method;
use axum::routing::post;
use serde_json::{Value, json};

use super::embeddings::{retrieved, usage};
use super::fields::Fields;
use super::{Rejection, models};
use crate::routes::{House, Route};

pub(crate) const ROUTE: Route = Route {
    method: Method::POST,
    path: "/v1/rerank",
    summary: "Sorts documents by how well they answer a query.",
    handler: || post(rerank),
};

async fn rerank(State(house): State<Arc<House>>, fields: Fields) -> Result<Json<Value>, Rejection> {
    models::check(&fields, &house)?;
    let missing = || Rejection::invalid("query", "there is no `query`".to_owned());
    let query = fields.text("query")?.ok_or_else(missing)?.to_owned();
    let documents = documents(&fields)?;
    for other in ["max_chunks_per_doc", "max_tokens_per_doc", "rank_fields"] {
        fields.refuse(other, |_| false)?;
    }
    let top_n = match fields.unsigned("top_n")? {
        Some(0) => {
            return Err(Rejection::invalid("top_n", "`top_n` is 0: ask for 1 or more".to_owned()));
        }
        top_n => top_n.map_or(documents.len(), |top_n| top_n as usize),
    };
    let returns = fields.flag("return_documents")?.unwrap_or(false);
    let truncate = fields.flag("truncate")?.unwrap_or(false);
    let (model, texts) = (house.model.clone(), documents.clone());
    let start = move || model.rerank(RerankRequest { query, documents: texts, truncate });
    let retrieved = retrieved(start).await?;
    let mut scores: Vec<(usize, f32)> =
        retrieved.values.iter().map(|values| values[0]).enumerate().collect();
    // Equal ones stay in their order.
    scores.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let result = |(index, score): &(usize, f32)| {
        let mut result = json!({ "index": index, "relevance_score": score });
        if returns {
            result["document"] = json!({ "text": documents[*index] });
        }
        result
    };
    Ok(Json(json!({
        "object": "list",
        "model": house.model.name(),
        "results": scores.iter().take(top_n).map(result).collect::<Vec<_>>(),
        "usage": usage(&retrieved),
    })))
}

/// Texts, or objects with a `text`.
fn documents(fields: &Fields) -> Result<Vec<String>, Rejection> {
    let wrong = |what: &str| Rejection::invalid("documents", what.to_owned());
    let text = |item: &Value| item.as_str().or(item["text"].as_str()).map(str::to_owned);
    let items = fields.get("documents").and_then(Value::as_array);
    let items = items.ok_or_else(|| wrong("`documents` must be a list of texts"))?;
    if items.is_empty() {
        return Err(wrong("there are no `documents`"));
    }
    let texts = items.iter().map(text).collect::<Option<_>>();
    texts.ok_or_else(|| wrong("a document must be a text, or an object with a `text`"))
}
