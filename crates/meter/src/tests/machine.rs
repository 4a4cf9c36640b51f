//! A recorded machine: files in a folder, and cards that answer what they are told to.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

use crate::files::Files;
use crate::{Driver, Gpu, GpuDetails, Gpus, Meter, Power, Source, State};

pub(crate) struct Machine {
    pub(crate) folder: TempDir,
    pub(crate) cards: Cards,
}

/// Answers that a test changes while the meter has them.
#[derive(Clone, Default)]
pub(crate) struct Cards(Arc<Mutex<(Driver, Vec<Gpu>)>>);

impl Machine {
    /// Lines `path = text`, with `\n` for line ends and `\t` for tabs.
    pub(crate) fn new(files: &str) -> Machine {
        let machine = Machine { folder: tempfile::tempdir().unwrap(), cards: Cards::default() };
        machine.put(files);
        machine
    }

    pub(crate) fn put(&self, files: &str) {
        for line in files.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (path, text) = line.split_once(" =").unwrap();
            self.bytes(
                path,
                text.trim_start().replace("\\n", "\n").replace("\\t", "\t").as_bytes(),
            );
        }
    }

    pub(crate) fn bytes(&self, path: &str, bytes: &[u8]) {
        let place = self.folder.path().join(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, bytes).unwrap();
    }

    pub(crate) fn meter(&self) -> Meter {
        Meter::find(self.folder.path(), None)
    }

    pub(crate) fn meter_with_cards(&self) -> Meter {
        Meter::find(self.folder.path(), Some(Box::new(self.cards.clone())))
    }

    /// Only root may read the counters of energy.
    pub(crate) fn closed_meter(&self) -> Meter {
        let refuse: fn(&Path) -> io::Result<File> = |path| {
            let name = path.file_name().unwrap().to_string_lossy();
            if name.starts_with("energy") && !name.ends_with("_label") {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            File::open(path)
        };
        Meter::look(Files::refusing(self.folder.path(), refuse), None)
    }
}

impl Cards {
    pub(crate) fn say(&self, cards: Vec<Gpu>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 = cards;
    }

    pub(crate) fn fail(&self, error: &str) {
        let driver = Driver { error: Some(error.to_owned()), ..Driver::default() };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (driver, Vec::new());
    }
}

impl Gpus for Cards {
    fn driver(&self) -> Driver {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    fn now(&self) -> Vec<Gpu> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    fn details(&self) -> Vec<GpuDetails> {
        Vec::new()
    }
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// `watts joules basis scope | what is counted`, rounded to a thousandth.
pub(crate) fn told(power: &Power) -> String {
    let counted = power.draws.iter().filter(|draw| draw.is_counted);
    let names: Vec<&str> = counted.map(|draw| draw.name.as_str()).collect();
    format!(
        "{} W, {} J, {} of {} | {}",
        number(power.watts),
        number(power.joules),
        power.basis.name(),
        power.scope.name(),
        names.join(", ")
    )
}

pub(crate) fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "?".to_owned(), |value| format!("{}", (value * 1e3).round() / 1e3))
}

/// `name: state` a line.
pub(crate) fn states(sources: &[Source]) -> Vec<String> {
    let state = |source: &Source| match &source.state {
        State::Read => format!("{}: read", source.name),
        State::Spare => format!("{}: spare", source.name),
        State::Closed { why, .. } => format!("{}: {why}", source.name),
    };
    sources.iter().map(state).collect()
}
