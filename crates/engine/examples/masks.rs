//! What masks cost: `cargo run --release -p engine --example masks -- FILE.gguf..`
//!
//! For each vocabulary and grammar an answer is written that fits, token by token as a model would
//! write it, and each mask is timed.
#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::Markers;
use gguf::GgufFile;
use grammar::{Grammar, Kind, Matcher, Vocabulary};
use tokenizer::{Specials, Tokenizer};

const SCHEMA: &str = r#"{"type": "object", "properties": {"name": {"type": "string"},
    "born": {"type": "string", "format": "date"}, "height": {"type": "number"},
    "tags": {"type": "array", "items": {"type": "string", "maxLength": 20}},
    "kind": {"enum": ["person", "place", "thing"]}, "note": {"type": "string"}},
    "required": ["name", "born", "height", "tags", "kind", "note"], "additionalProperties": false}"#;

const ANSWER: &str = r#"{"name": "Ada Lovelace", "born": "1815-12-10", "height": 1.65, "tags":
    ["mathematics", "poetical science", "Byron"], "kind": "person", "note": "She wrote the first
 program for a machine that was never built, and saw that it could do more than count."}"#;

const JSON: &str = r#"
root ::= object
value ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
array ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" [^"\\\x7F\x00-\x1F]* "\"" ws
number ::= "-"? [0-9]+ ("." [0-9]+)? ws
ws ::= [ \n]{0,5}
"#;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    println!(
        "{:40} {:8} {:>6} {:>8} {:>8} {:>8}",
        "file", "grammar", "masks", "p50 µs", "p99 µs", "ms once"
    );
    let answer: String = ANSWER.split('\n').map(str::trim_start).collect::<Vec<_>>().join(" ");
    for path in std::env::args().skip(1) {
        let file = GgufFile::open(Path::new(&path))?;
        let tokenizer = Tokenizer::from_metadata(file.metadata())?;
        let started = Instant::now();
        let vocabulary = engine::vocabulary(&tokenizer, &Markers::default())?;
        let built = started.elapsed();
        let name = Path::new(&path).file_name().unwrap_or_default().to_string_lossy().into_owned();
        println!(
            "{name:40} {} tokens, vocabulary built in {} ms",
            tokenizer.vocab_len(),
            built.as_millis()
        );
        let tokens = tokenizer.encode(&answer, Specials::Plain);
        for (kind, source) in
            [(Kind::JsonSchema, SCHEMA), (Kind::JsonObject, ""), (Kind::Gbnf, JSON)]
        {
            measure(&name, &vocabulary, (kind, source), &tokens)?;
        }
    }
    Ok(())
}

fn measure(
    name: &str,
    vocabulary: &Arc<Vocabulary>,
    (kind, source): (Kind, &str),
    tokens: &[u32],
) -> Result<(), Failure> {
    let started = Instant::now();
    let grammar = Grammar::compile(vocabulary, kind, source)?;
    let compiled = started.elapsed();
    let mut times: Vec<Duration> = Vec::new();
    // As several requests would: each has a matcher of its own.
    for _ in 0..5 {
        let mut matcher: Matcher = grammar.matcher(None);
        for token in tokens {
            let started = Instant::now();
            matcher.mask()?;
            times.push(started.elapsed());
            matcher.accept(*token)?;
        }
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    let once = compiled.as_secs_f64() * 1e3;
    println!(
        "{name:40} {:8} {:6} {:8.1} {:8.1} {once:8.1}",
        kind.name(),
        times.len(),
        at(0.5),
        at(0.99)
    );
    Ok(())
}
