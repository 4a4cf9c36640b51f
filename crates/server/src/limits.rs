//! Every bound of the HTTP face, in one place.

use std::time::Duration;

/// Bytes of a request body.
pub(crate) const BODY_BYTES_MAX: usize = 16 << 20;
/// Messages of a conversation.
pub(crate) const MESSAGES_MAX: usize = 4096;
/// Stop texts, as OpenAI's clients send at most 4; llama.cpp's send more.
pub(crate) const STOPS_MAX: usize = 64;
/// Alternatives a token may be reported with.
pub(crate) const TOP_LOGPROBS_MAX: u32 = 20;
/// Silence of a stream after which a comment says that it is alive: proxies cut what is silent for
/// a minute or less, and a long prompt takes that.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Adapters that a request may list.
pub(crate) const ADAPTERS_MAX: usize = 64;
/// Entries of a logit bias.
pub(crate) const LOGIT_BIAS_MAX: usize = 1024;
