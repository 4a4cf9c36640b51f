//! An hour or so of requests, from one event to the next: somebody asks, a prompt is read, an
//! answer ends. Between events steps are alike, so they are counted and not made.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::trace::{Request, requests};
use super::{Costs, Percentiles, REQUEST_GAP_S, Waits, room};

/// Requests of a simulation: enough that the slowest twentieth is ten of them and more, and that a
/// queue which grows is seen to.
const REQUESTS: usize = 240;
/// Requests at the start that do not count: nobody was there before them.
const WARM_UP: usize = 20;

/// Waits of so many people.
///
/// # Panics
/// With nobody, or more people than there are costs for.
#[must_use]
pub fn simulate(costs: &Costs, users: u32) -> Waits {
    assert!(users > 0 && users as usize <= costs.steps_s.len(), "{users} people");
    let mut machine = Machine::new(costs, users);
    let mut asked_s = 0.0;
    for request in requests(REQUESTS, costs.context) {
        asked_s += request.gap * REQUEST_GAP_S / f64::from(users);
        machine.run_until(asked_s);
        machine.queue.push_back(Asked { asked_s, request });
    }
    machine.run_until(f64::INFINITY);
    machine.waits()
}

/// A request that waits.
struct Asked {
    asked_s: f64,
    request: Request,
}

/// A prompt that is being read.
struct Reading {
    asked: Asked,
    left: u64,
}

/// An answer that is being written, in the order of ends.
#[derive(Clone, Copy, PartialEq)]
struct Writing {
    /// The count of steps after which it is whole.
    end: u64,
    tokens: u64,
    first_token_s: f64,
}

impl Eq for Writing {}

impl PartialOrd for Writing {
    fn partial_cmp(&self, other: &Writing) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Writing {
    fn cmp(&self, other: &Writing) -> std::cmp::Ordering {
        self.end.cmp(&other.end).then(self.first_token_s.total_cmp(&other.first_token_s))
    }
}

struct Machine<'a> {
    costs: &'a Costs,
    /// Conversations that there is memory for.
    slots: usize,
    now_s: f64,
    /// Steps with a token of each conversation that writes.
    steps: u64,
    queue: VecDeque<Asked>,
    reading: Option<Reading>,
    writing: BinaryHeap<Reverse<Writing>>,
    /// Seconds, and how many times.
    first_tokens: Vec<(f64, u64)>,
    between: Vec<(f64, u64)>,
    answers: Vec<(f64, u64)>,
    asked_count: usize,
}

impl<'a> Machine<'a> {
    fn new(costs: &'a Costs, users: u32) -> Machine<'a> {
        Machine {
            costs,
            slots: users as usize,
            now_s: 0.0,
            steps: 0,
            queue: VecDeque::new(),
            reading: None,
            writing: BinaryHeap::new(),
            first_tokens: Vec::new(),
            between: Vec::new(),
            answers: Vec::new(),
            asked_count: 0,
        }
    }

    /// Works until then, or until the step after, as a step is never broken off; idle where there
    /// is nothing to do.
    fn run_until(&mut self, until_s: f64) {
        while self.now_s < until_s {
            self.start_reading();
            if self.reading.is_some() {
                self.read_step();
            } else if self.writing.is_empty() {
                if until_s.is_finite() {
                    self.now_s = until_s;
                }
                return;
            } else {
                self.write_steps(until_s);
            }
        }
    }

    /// Prompts are read one after another. Scheduled together they would share the same steps.
    fn start_reading(&mut self) {
        if self.reading.is_none()
            && self.writing.len() < self.slots
            && let Some(asked) = self.queue.pop_front()
        {
            self.reading = Some(Reading { left: asked.request.prompt, asked });
        }
    }

    /// A step with a part of a prompt, and a token of each that writes.
    fn read_step(&mut self) {
        let Some(mut reading) = self.reading.take() else { return };
        let writing = self.writing.len();
        let part = reading.left.min(room(writing));
        let step_s = self.costs.step_s(writing, part);
        reading.left -= part;
        self.step(1, step_s);
        if reading.left == 0 {
            self.first_token(&reading.asked);
        } else {
            self.reading = Some(reading);
        }
    }

    /// Steps that only write: to the next end, or until somebody may come.
    fn write_steps(&mut self, until_s: f64) {
        let Some(Reverse(next)) = self.writing.peek() else { return };
        let step_s = self.costs.step_s(self.writing.len(), 0);
        let to_end = next.end - self.steps;
        // At least one, so that time goes on.
        let to_then = ((until_s - self.now_s) / step_s).ceil().max(1.0);
        let count = if to_then < to_end as f64 { to_then as u64 } else { to_end };
        self.step(count, step_s);
    }

    fn step(&mut self, count: u64, step_s: f64) {
        let writing = self.writing.len() as u64;
        self.now_s += count as f64 * step_s;
        if writing > 0 {
            self.steps += count;
            self.between.push((step_s, count * writing));
        }
        while let Some(Reverse(next)) = self.writing.peek()
            && next.end <= self.steps
        {
            let token_s = (self.now_s - next.first_token_s) / (next.tokens - 1) as f64;
            self.answers.push((token_s, 1));
            self.writing.pop();
        }
    }

    /// The step that reads the end of a prompt also writes the first token.
    fn first_token(&mut self, asked: &Asked) {
        self.asked_count += 1;
        if self.asked_count > WARM_UP {
            self.first_tokens.push((self.now_s - asked.asked_s, 1));
        }
        let tokens = asked.request.answer;
        if tokens > 1 {
            let end = self.steps + tokens - 1;
            self.writing.push(Reverse(Writing { end, tokens, first_token_s: self.now_s }));
        }
    }

    fn waits(mut self) -> Waits {
        Waits {
            first_token_s: percentiles(&mut self.first_tokens),
            between_s: percentiles(&mut self.between),
            answer_s: percentiles(&mut self.answers),
            requests_per_s: REQUESTS as f64 / self.now_s,
        }
    }
}

fn percentiles(times: &mut [(f64, u64)]) -> Percentiles {
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    let whole: u64 = times.iter().map(|(_, count)| count).sum();
    let at = |share: f64| {
        let mut below = 0;
        let found = times.iter().find(|(_, count)| {
            below += count;
            below as f64 >= share * whole as f64
        });
        found.map_or(0.0, |(time, _)| *time)
    };
    Percentiles { p50: at(0.5), p95: at(0.95) }
}

#[cfg(test)]
mod tests {
    use super::percentiles;
    use crate::users::Percentiles;

    #[test]
    fn percentiles_count_how_often() {
        let times = &mut [(3.0, 4), (1.0, 50), (2.0, 46)];
        assert_eq!(percentiles(times), Percentiles { p50: 1.0, p95: 2.0 });
        assert_eq!(percentiles(&mut []), Percentiles::default());
    }
}
