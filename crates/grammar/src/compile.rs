//! A grammar, compiled on a thread of its own: with a large stack, and given up when it takes long.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use llguidance::Matcher as Engine;

use crate::error::one_line;
use crate::explain::explain;
use crate::limits::STACK_BYTES;
use crate::reasoning::{Reasoning, Spans};
use crate::{Error, Kind, Matcher, Result, Syntax, Vocabulary, syntax};

/// A grammar as it is before the first token. Every sequence gets a copy, so that none costs
/// another.
pub(crate) type Fresh = Arc<Mutex<Engine>>;

/// A compiled grammar; cheap to clone.
#[derive(Clone)]
pub struct Grammar {
    vocabulary: Arc<Vocabulary>,
    fresh: Fresh,
}

impl std::fmt::Debug for Grammar {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Grammar over {:?}", self.vocabulary)
    }
}

/// Counts a compiler while it works.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Grammar {
    /// Compiles what fits `source`; see [`Grammar::of`].
    ///
    /// # Errors
    /// Every way in which the source can be wrong, in one line.
    pub fn compile(vocabulary: &Arc<Vocabulary>, kind: Kind, source: &str) -> Result<Grammar> {
        Grammar::of(vocabulary, &Syntax::of(kind, source))
    }

    /// Compiles a syntax, or finds it among those compiled lately. Blocks for up to the time that
    /// the vocabulary's [`crate::Limits`] allow: not for a step thread.
    ///
    /// # Errors
    /// Every way in which a source in it can be wrong, in one line.
    pub fn of(vocabulary: &Arc<Vocabulary>, syntax: &Syntax) -> Result<Grammar> {
        let with = |fresh| Grammar { vocabulary: Arc::clone(vocabulary), fresh };
        if let Some(fresh) = lock(&vocabulary.cache).get(syntax) {
            return Ok(with(fresh));
        }
        let fresh = Arc::new(Mutex::new(Grammar::compile_apart(vocabulary, syntax)?));
        lock(&vocabulary.cache).put(syntax, Arc::clone(&fresh));
        Ok(with(fresh))
    }

    fn compile_apart(vocabulary: &Arc<Vocabulary>, syntax: &Syntax) -> Result<Engine> {
        let limits = vocabulary.limits;
        let name = syntax.name();
        let place = Place(Arc::clone(&vocabulary.compiling));
        if place.0.fetch_add(1, Ordering::AcqRel) >= limits.compiling {
            return Err(Error::Busy { limit: limits.compiling });
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        let (on_thread, wanted) = (Arc::clone(vocabulary), syntax.clone());
        let work = move || {
            let done = compile(&on_thread, &wanted);
            drop((on_thread, place));
            // Nobody listens any more where it took too long.
            let _ = sender.send(done);
        };
        let thread = std::thread::Builder::new().name("hob-grammar".to_owned());
        if let Err(error) = thread.stack_size(STACK_BYTES).spawn(work) {
            let why = format!("no thread could be started: {error}");
            return Err(Error::Source { kind: name, why });
        }
        match receiver.recv_timeout(limits.time) {
            Ok(done) => done,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                Err(Error::TooSlow { kind: name, seconds: limits.time.as_secs() })
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let why = "it broke the compiler: make it simpler".to_owned();
                Err(Error::Source { kind: name, why })
            }
        }
    }

    /// For one sequence. With `reasoning`, the grammar holds for what comes after it.
    #[must_use]
    pub fn matcher(&self, reasoning: Option<&Reasoning>) -> Matcher {
        let fresh = lock(&self.fresh).deep_clone();
        let spans = reasoning.map(|reasoning| Spans::new(reasoning, &self.vocabulary));
        Matcher::new(Arc::clone(&self.vocabulary), fresh, spans)
    }
}

/// A panic while a lock is held leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn compile(vocabulary: &Vocabulary, syntax: &Syntax) -> Result<Engine> {
    let grammar = syntax::read(vocabulary, syntax)?;
    let engine = Engine::new(vocabulary.factory.create_parser(grammar));
    let Some(message) = engine.get_error() else { return Ok(engine) };
    let message = one_line(&message);
    if let Syntax::Source { kind, source, owner } = syntax {
        let why = explain(*kind, source, &message);
        return Err(Error::Source { kind: kind.name(), why }.of(owner.as_deref()));
    }
    // The compiler does not say which of the sources it means.
    let wrong = syntax.sources().into_iter().find_map(|part| compile(vocabulary, part).err());
    Err(wrong.unwrap_or_else(|| Error::Source { kind: syntax.name(), why: message }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limits::CACHED_MAX;
    use crate::{Limits, Word};

    fn vocabulary(limits: Limits) -> Arc<Vocabulary> {
        let all: Vec<u8> = (0..=255).collect();
        let words = all.chunks(1).map(Word::Text).chain([Word::Control(b"<|end|>")]);
        Vocabulary::new(words, &[256], limits).expect("sound")
    }

    fn schema(properties: usize) -> String {
        let names: Vec<String> = (0..properties).map(|at| format!(r#""p{at}": {{}}"#)).collect();
        format!(r#"{{"properties": {{{}}}}}"#, names.join(","))
    }

    #[test]
    fn a_source_is_compiled_once_while_it_is_kept() {
        let vocabulary = vocabulary(Limits::default());
        let compile = |count| {
            let source = schema(count);
            Grammar::compile(&vocabulary, Kind::JsonSchema, &source).expect("sound").fresh
        };
        let first = compile(0);
        assert!(Arc::ptr_eq(&first, &compile(0)), "the same source");
        for other in 1..CACHED_MAX {
            assert!(!Arc::ptr_eq(&first, &compile(other)), "another source");
        }
        assert!(Arc::ptr_eq(&first, &compile(0)), "and now the one used last");
        compile(CACHED_MAX);
        assert!(Arc::ptr_eq(&first, &compile(0)));
        for other in 1..=CACHED_MAX {
            compile(other);
        }
        assert!(!Arc::ptr_eq(&first, &compile(0)), "others were used since");
    }

    #[test]
    fn a_source_that_takes_long_is_given_up() {
        assert_eq!(Limits::default().time, Duration::from_secs(5), "as the documents say");
        let vocabulary = vocabulary(Limits { time: Duration::ZERO, ..Limits::default() });
        // One that is done before anybody looks is no error: of several not all are.
        let slow = (0..3).filter(|at| {
            let compiled = Grammar::compile(&vocabulary, Kind::JsonSchema, &schema(900 + at));
            let too_slow = Error::TooSlow { kind: Kind::JsonSchema.name(), seconds: 0 };
            assert!(compiled.as_ref().err().is_none_or(|error| *error == too_slow));
            compiled.is_err()
        });
        assert!(slow.count() > 0, "no time at all was enough");
    }

    #[test]
    fn no_more_are_compiled_at_a_time_than_the_limit_says() {
        let vocabulary = vocabulary(Limits { compiling: 1, ..Limits::default() });
        let place = Place(Arc::clone(&vocabulary.compiling));
        place.0.fetch_add(1, Ordering::AcqRel);
        let compile = || Grammar::compile(&vocabulary, Kind::JsonObject, "");
        assert_eq!(compile().expect_err("full"), Error::Busy { limit: 1 });
        assert_eq!(vocabulary.compiling.load(Ordering::Acquire), 1, "what was refused counts not");
        drop(place);
        compile().expect("room again");
        assert_eq!(vocabulary.compiling.load(Ordering::Acquire), 0);
    }
}
