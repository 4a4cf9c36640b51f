//! The languages in which people say what must fit.

/// What a source is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A JSON array of texts, one of which is the answer.
    Choice,
    /// The grammars of llama.cpp.
    Gbnf,
    /// Any JSON object; the source is not read.
    JsonObject,
    /// A JSON Schema, draft 2020-12 or older.
    JsonSchema,
    /// A context-free grammar in the dialect of Lark that llguidance reads.
    Lark,
    /// A regular expression that the whole answer matches, in the syntax of Rust's `regex`.
    Regex,
}

impl Kind {
    /// As messages call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Choice => "choice",
            Kind::Gbnf => "grammar",
            Kind::JsonObject => "JSON object",
            Kind::JsonSchema => "JSON schema",
            Kind::Lark => "Lark grammar",
            Kind::Regex => "regular expression",
        }
    }
}
