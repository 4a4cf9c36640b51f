//! This machine: what the system says of it, and what was measured of it before.

use std::path::Path;

use planner::{Class, Kernels, Machine};
use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result, clock, memory};

/// Bandwidth of a PC with two channels, taken until it is measured, GB/s.
const BANDWIDTH_GUESS_GBS: f64 = 40.0;

/// The file's form. One without a version is the first; 2 had times of kernels that were told apart
/// in another way, which are passed over.
pub(super) const VERSION: u32 = 3;

/// What `hob calibrate` wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrationFile {
    /// Of this form.
    #[serde(default = "first_version")]
    pub version: u32,
    /// When, seconds since 1970.
    pub measured_unix_s: u64,
    /// Processor it was measured on.
    pub processor: String,
    /// Threads.
    pub threads: usize,
    /// Reads beyond any cache, GB/s.
    pub bandwidth_gbs: f64,
    /// Operations on bytes, 10^12 per second.
    pub int8_tops: f64,
    /// Operations on 32-bit floats, 10^12 per second.
    pub fp32_tflops: f64,
    /// Reads of files that were not in memory, GB/s, where that could be measured.
    pub disk_gbs: Option<f64>,
    /// Watts while all threads multiply, where this machine tells them.
    #[serde(default)]
    pub load_watts: Option<f64>,
    /// How those are known and of what, e.g. `counter: package-0`.
    #[serde(default)]
    pub watts_by: Option<String>,
    /// Times of kernels; none of earlier forms.
    #[serde(default)]
    pub kernels: Option<Kernels>,
    /// Models that ran.
    #[serde(default)]
    pub rows: Vec<CalibrationRow>,
}

fn first_version() -> u32 {
    1
}

/// What a model did on this machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrationRow {
    /// Its file.
    pub model: String,
    /// Positions before.
    pub context: u64,
    /// Tokens of the prompt that was read; earlier forms do not say.
    #[serde(default)]
    pub prompt: u64,
    /// Tokens read per second.
    pub prefill_tps: Option<f64>,
    /// Tokens written per second.
    pub decode_tps: Option<f64>,
}

/// The file in hob's folder.
const FILE: &str = "calibration.toml";

/// What was measured before; none when nothing was, or on another processor.
pub(super) fn read(home: &Path) -> Result<Option<CalibrationFile>> {
    let path = home.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault(&path, &error.to_string())),
    };
    let file = parse(&text).map_err(|what| fault(&path, &what))?;
    Ok((file.processor == processor()).then_some(file))
}

fn parse(text: &str) -> std::result::Result<CalibrationFile, String> {
    let told = |error: toml::de::Error| error.message().to_owned();
    let mut table: toml::Table = toml::from_str(text).map_err(told)?;
    let version = table.get("version").and_then(toml::Value::as_integer).unwrap_or(1);
    if version > i64::from(VERSION) {
        return Err(format!("form {version} is of a newer hob; this one knows {VERSION}"));
    }
    if version < i64::from(VERSION) {
        table.remove("kernels");
    }
    let file: CalibrationFile = table.try_into().map_err(told)?;
    let rates = [file.bandwidth_gbs, file.int8_tops, file.fp32_tflops];
    let is_rate = |rate: &f64| rate.is_finite() && *rate > 0.0;
    let kernels_are_sound = file.kernels.as_ref().is_none_or(Kernels::is_sound);
    if !rates.iter().chain(&file.disk_gbs).chain(&file.load_watts).all(is_rate)
        || !kernels_are_sound
    {
        return Err("a rate or time in it is none".to_owned());
    }
    Ok(file)
}

/// Makes hob's folder where there is none yet: calibrating may be the first that is done.
pub(super) fn make_home(home: &Path) -> Result<()> {
    std::fs::create_dir_all(home).map_err(|error| {
        let message =
            format!("{} cannot be made: {error}; set HOB_HOME to another", home.display());
        Error::new(ErrorKind::Machine, message)
    })
}

pub(super) fn write(home: &Path, file: &CalibrationFile) -> Result<()> {
    let path = home.join(FILE);
    let text = toml::to_string(file).expect("numbers and words");
    std::fs::write(&path, text).map_err(|error| fault(&path, &error.to_string()))
}

fn fault(path: &Path, what: &str) -> Error {
    let message = format!("{}: {what}; `hob calibrate` writes it anew", path.display());
    Error::new(ErrorKind::Machine, message)
}

/// This machine's processor and memory; bandwidth and arithmetic as measured, or a guess.
pub(super) fn machine(measured: Option<&CalibrationFile>) -> Machine {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let total = memory::total_bytes();
    let available = memory::available_bytes().or(total);
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    Machine {
        name: format!("this machine ({}, {threads} threads)", processor()),
        also: Vec::new(),
        class: Class::Cpu,
        count: 1,
        rack: false,
        memory_gib: total.map_or(0.0, gib),
        usable_gib: available.map(gib),
        bandwidth_gbs: measured.map_or(BANDWIDTH_GUESS_GBS, |file| file.bandwidth_gbs),
        memory_kind: None,
        bandwidth_measured_gbs: measured.map(|file| file.bandwidth_gbs),
        fp16_tflops: measured.map(|file| file.int8_tops),
        fp8_tflops: None,
        fp4_tflops: None,
        load_watts: measured.and_then(|file| file.load_watts).map(|watts| [watts, watts]),
        idle_watts: None,
        rated_watts: None,
        price_usd: None,
        price_source: None,
        source: "the system".to_owned(),
        date: clock::date(clock::unix_time_s()),
        note: None,
    }
}

/// The processor's name, as the system says it.
pub(super) fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    field("model name").or_else(|| field("Model")).unwrap_or_else(|| "unknown CPU".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{CalibrationFile, VERSION, machine, make_home, parse, write};

    /// As the first `hob calibrate` wrote it.
    const FIRST: &str = r#"
measured_unix_s = 1763700000
processor = "Some CPU"
threads = 2
bandwidth_gbs = 20.5
int8_tops = 1.5
fp32_tflops = 0.3

[[rows]]
model = "smollm2"
context = 0
decode_tps = 90.0
"#;

    #[test]
    fn files_of_the_first_form_are_read() {
        let file = parse(FIRST).unwrap();
        assert_eq!((file.version, file.threads, file.rows.len()), (1, 2, 1));
        assert_eq!((file.kernels, file.disk_gbs, file.load_watts), (None, None, None));
    }

    #[test]
    fn kernels_of_the_second_form_are_passed_over() {
        let second = format!("version = 2\n{FIRST}\n[kernels]\nlayer_s = 8.0e-6\n");
        let file = parse(&second).unwrap();
        assert_eq!((file.version, file.kernels, file.rows.len()), (2, None, 1));
        let third = second.replace("version = 2", "version = 3");
        assert!(parse(&third).unwrap_err().contains("layer_s"), "{third}");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let first = parse(FIRST).unwrap();
        let file = CalibrationFile {
            version: VERSION,
            disk_gbs: Some(1.25),
            load_watts: Some(35.5),
            watts_by: Some("counter: package-0".to_owned()),
            ..first
        };
        assert_eq!(machine(Some(&file)).load_watts, Some([35.5, 35.5]));
        assert_eq!(parse(&toml::to_string(&file).unwrap()), Ok(file));
    }

    #[test]
    fn a_home_that_is_not_there_yet_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("share/hob");
        let file = parse(FIRST).unwrap();
        assert!(write(&home, &file).is_err());
        make_home(&home).unwrap();
        make_home(&home).unwrap();
        write(&home, &file).unwrap();
        let text = std::fs::read_to_string(home.join(super::FILE)).unwrap();
        assert_eq!(parse(&text), Ok(file));
        let error = make_home(&home.join(super::FILE)).unwrap_err().to_string();
        assert!(error.contains("cannot be made"), "{error}");
    }

    #[test]
    fn newer_and_damaged_files_are_refused() {
        let newer = format!("version = {}\n{FIRST}", VERSION + 1);
        assert_eq!(parse(&newer).unwrap_err(), "form 4 is of a newer hob; this one knows 3");
        let zero = FIRST.replace("20.5", "0.0");
        assert_eq!(parse(&zero).unwrap_err(), "a rate or time in it is none");
        assert!(parse(&FIRST.replace("threads = 2\n", "")).unwrap_err().contains("threads"));
    }
}
