//! What this machine draws when idle and under load, for times in which nothing can be read: the
//! planner's row for it, or a guess by its threads.

use std::path::Path;

use meter::{Meter, Model, Nvml};
use planner::Machine;

/// Of a guess: watts of a machine without work, and of each thread of its processor.
const GUESS_IDLE_W: f64 = 10.0;
const GUESS_IDLE_THREAD_W: f64 = 0.5;
/// Of a guess: what work adds for each thread. Between a 64 W mini PC with 16 threads (3.6) and an
/// AmpereOne with 192 (2.0), both of the planner's rows.
const GUESS_LOAD_THREAD_W: f64 = 2.5;
/// Letters of a name that can be looked for: shorter ones stand in too many others.
const NAME_LEN_MIN: usize = 4;

/// The watts, and whose they are.
#[derive(Clone, Debug, PartialEq)]
pub struct DrawModel {
    /// Watts when idle.
    pub idle_watts: f64,
    /// Watts under load.
    pub load_watts: f64,
    /// `NVIDIA DGX Spark (GB10)`, or that it is a guess.
    pub source: String,
}

impl DrawModel {
    pub(crate) fn meter(&self) -> Model {
        Model { idle_w: self.idle_watts, load_w: self.load_watts }
    }
}

/// Everything that tells what this machine draws: counters, sensors, the battery, cards.
pub(crate) fn meter() -> Meter {
    Meter::find(Path::new("/"), Nvml::open())
}

/// For this machine.
pub(crate) fn here() -> DrawModel {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let names = || text.lines().filter_map(|line| line.split_once(':'));
    let of = |wanted: &str| names().find(|(name, _)| name.trim() == wanted);
    // Arm boards say `Model` of the board in place of the processor's name.
    let found = of("model name").or_else(|| of("Model"));
    model(found.map_or("", |(_, processor)| processor.trim()), threads)
}

/// For a machine with this processor.
fn model(processor: &str, threads: usize) -> DrawModel {
    let name = plain(processor);
    let row = planner::machines().iter().find_map(|machine| of_row(machine, &name));
    row.unwrap_or_else(|| {
        let idle = GUESS_IDLE_W + GUESS_IDLE_THREAD_W * threads as f64;
        DrawModel {
            idle_watts: idle,
            load_watts: idle + GUESS_LOAD_THREAD_W * threads as f64,
            source: format!("a guess for {threads} threads"),
        }
    })
}

/// A row whose processor this is, if it says both figures.
fn of_row(machine: &Machine, processor: &str) -> Option<DrawModel> {
    let middle = |[low, high]: [f64; 2]| f64::midpoint(low, high);
    let idle_watts = middle(machine.idle_watts?);
    let load_watts = machine.load_watts.map(middle).or(machine.rated_watts)?;
    let is_it = machine.count == 1
        && !machine.class.is_card()
        && machine.also.iter().any(|name| stands_in(&plain(name), processor));
    is_it.then(|| DrawModel { idle_watts, load_watts, source: machine.name.clone() })
}

/// Whether a name stands in another, as whole words.
fn stands_in(name: &str, other: &str) -> bool {
    let has_digit = name.contains(|letter: char| letter.is_ascii_digit());
    let words = format!("-{other}-");
    name.len() >= NAME_LEN_MIN && has_digit && words.contains(&format!("-{name}-"))
}

/// `AMD RYZEN AI MAX+ 395 w/ Radeon 8060S` as `amd-ryzen-ai-max-395-w-radeon-8060s`.
fn plain(name: &str) -> String {
    let name = name.to_lowercase().replace("(r)", "").replace("(tm)", "");
    let words = name.split(|letter: char| !letter.is_alphanumeric());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::model;

    #[track_caller]
    fn check(processor: &str, threads: usize, watts: [f64; 2], source: &str) {
        let model = model(processor, threads);
        assert_eq!([model.idle_watts, model.load_watts], watts, "{model:?}");
        assert!(model.source.contains(source), "{model:?}");
    }

    #[test]
    fn a_known_processor_has_its_row() {
        check("AMD RYZEN AI MAX+ 395 w/ Radeon 8060S", 32, [11.5, 136.5], "Ryzen AI Max+ 395");
        check("AMD Ryzen 7 7735HS with Radeon Graphics", 16, [8.0, 65.0], "7735HS");
    }

    #[test]
    fn any_other_is_guessed_by_its_threads() {
        // Its row has no watts under load.
        check("13th Gen Intel(R) Core(TM) i9-13900K", 32, [26.0, 106.0], "a guess for 32 threads");
        check("unknown CPU", 2, [11.0, 16.0], "a guess for 2 threads");
    }
}
