//! Log-probabilities in the two shapes that OpenAI has for them.

use app::TokenText;
use serde_json::{Map, Value, json};

/// Chat's shape: `{"content": [{token, logprob, bytes, top_logprobs}]}`.
pub(crate) fn chat(tokens: &[TokenText]) -> Value {
    let entry = |bytes: &[u8], logprob: f32| json!({ "token": String::from_utf8_lossy(bytes), "logprob": logprob, "bytes": bytes });
    let content: Vec<Value> = tokens
        .iter()
        .map(|token| {
            let mut value = entry(&token.bytes, token.logprob.unwrap_or(0.0));
            value["top_logprobs"] =
                token.top.iter().map(|(_, bytes, logprob)| entry(bytes, *logprob)).collect();
            value
        })
        .collect();
    json!({ "content": content, "refusal": null })
}

/// Completions' shape: parallel lists. `offset` is the characters before the first token.
pub(crate) fn completions(tokens: &[TokenText], mut offset: usize) -> Value {
    let (mut texts, mut values, mut tops, mut offsets) = (vec![], vec![], vec![], vec![]);
    for token in tokens {
        let text = String::from_utf8_lossy(&token.bytes).into_owned();
        let top: Map<String, Value> = token
            .top
            .iter()
            .map(|(_, bytes, value)| (String::from_utf8_lossy(bytes).into_owned(), json!(value)))
            .collect();
        offsets.push(offset);
        offset += text.chars().count();
        texts.push(text);
        values.push(token.logprob);
        tops.push(top);
    }
    json!({ "tokens": texts, "token_logprobs": values, "top_logprobs": tops, "text_offset": offsets })
}
