//! Graphics by NVIDIA: driver, power, heat, memory.

use crate::doctor::facts::{Facts, Kind, Nvml, NvmlGpu};
use crate::doctor::report::{
    Checked, Finding, Loss, Report, Severity, Skip, Work, gib, only_if, read, report_if,
};

const NVML: &str = "NVIDIA's management library (libnvidia-ml.so.1)";

pub(super) static DRIVER_OLD: Finding =
    Finding { id: "nvidia-driver-old", title: "age of NVIDIA's driver", check: driver_old };

/// The first for CUDA 13.0, which kernels for NVIDIA are built for.
const DRIVER_MIN: u32 = 580;

fn driver_old(facts: &Facts) -> Checked {
    // Without a module there is no driver, which is a row of its own.
    let module = facts.nvidia.module.as_deref().ok_or(Skip::NotHere)?;
    let major = module.split('.').next().and_then(|major| major.parse::<u32>().ok());
    let major = read(major, "the version of NVIDIA's driver")?;
    report_if(major < DRIVER_MIN, || Report {
        severity: Severity::Warning,
        what: format!("NVIDIA's driver is {module}; CUDA 13.0 needs {DRIVER_MIN} or newer"),
        why: "kernels built for CUDA 13 are refused, and programs fall back to the processor"
            .to_owned(),
        loss: Loss::new(Work::Decode, 0.5, 0.95, "by bandwidths of main and graphics' memory"),
        fix:
            "Ubuntu: sudo apt install nvidia-driver-580-open; else the distribution's newest; then \
              restart"
                .to_owned(),
    })
}

pub(super) static ECC: Finding =
    Finding { id: "nvidia-ecc", title: "errors of NVIDIA's memory", check: ecc };

fn ecc(facts: &Facts) -> Checked {
    let counts: Vec<_> =
        gpus(facts)?.iter().filter_map(|gpu| Some((gpu, gpu.ecc_uncorrected?))).collect();
    only_if(!counts.is_empty())?;
    let wrong = counts.into_iter().filter(|(_, count)| *count > 0);
    Ok(wrong
        .map(|(gpu, count)| {
            Report {
        severity: Severity::Fault,
        what: format!("{} had {count} errors of memory that stayed", gpu.name),
        why: "weights or caches may be wrong; programs are ended when they touch them".to_owned(),
        loss: None,
        fix: "nvidia-smi -q -d ECC,ROW_REMAPPER; restart, and have the card replaced if it counts \
              again"
            .to_owned(),
    }
        })
        .collect())
}

pub(super) static FAILED: Finding =
    Finding { id: "nvidia-failed", title: "NVIDIA's driver answers", check: failed };

fn failed(facts: &Facts) -> Checked {
    let nvml = nvml(facts)?;
    // A mismatch of versions is a row of its own.
    let error = nvml.error.as_deref().filter(|error| !error.contains("mismatch"));
    report_if(error.is_some(), || Report {
        severity: Severity::Fault,
        what: format!("NVIDIA's driver answers: {}", error.unwrap_or_default()),
        why: "the card was lost (after standby, by a power dip, off the bus) or its driver hangs"
            .to_owned(),
        loss: Loss::new(Work::Decode, 0.5, 0.95, "by bandwidths of main and graphics' memory"),
        fix: "sudo dmesg | grep -i xid names the cause; sudo rmmod nvidia_uvm && sudo modprobe \
              nvidia_uvm after standby, else switch the machine off and on"
            .to_owned(),
    })
}

pub(super) static LOW_POWER: Finding =
    Finding { id: "nvidia-gb10-low-power", title: "power state of GB10", check: low_power };

/// A GB10 in its fault stays at 500 to 850 MHz and 15 to 35 W under load; a sound one passes both.
const STUCK_MHZ: u32 = 1000;
const STUCK_W: f64 = 40.0;
const LOAD_PERCENT: u32 = 50;

fn low_power(facts: &Facts) -> Checked {
    only_if(facts.kind() == Kind::Gb10)?;
    let gpus = gpus(facts)?;
    let is_stuck = |gpu: &&NvmlGpu| {
        let is_slow = gpu.clock_mhz.is_some_and(|mhz| mhz < STUCK_MHZ);
        let is_weak = gpu.power_draw_w.is_some_and(|watts| watts < STUCK_W);
        gpu.utilization_percent.is_some_and(|load| load >= LOAD_PERCENT) && is_slow && is_weak
    };
    let is_idle = |gpu: &NvmlGpu| gpu.utilization_percent.is_none_or(|load| load < LOAD_PERCENT);
    if gpus.iter().all(is_idle) {
        return Err(Skip::Unread("GB10's power under load: run `hob doctor` while it answers"));
    }
    Ok(gpus
        .iter()
        .filter(is_stuck)
        .map(|gpu| {
            Report {
        severity: Severity::Fault,
        what: format!(
            "{} draws {:.0} W at {} MHz under load: stuck in its low-power state",
            gpu.name,
            gpu.power_draw_w.unwrap_or(0.0),
            gpu.clock_mhz.unwrap_or(0)
        ),
        why: "it and its power supply agreed on too little (USB-C power delivery), and it reports \
              no fault; sound ones run at 2400 MHz"
            .to_owned(),
        loss: Loss::new(Work::Prefill, 0.6, 0.8, "spark-gpu-throttle-check, at 500 to 850 MHz"),
        fix: "shut down, unplug the supply from the wall and the box, wait 60 s, connect the \
              original 240 W supply first to the box; if it stays, update the firmware (fwupdmgr \
              update), then have it replaced"
            .to_owned(),
    }
        })
        .collect())
}

pub(super) static MEMORY_TAKEN: Finding = Finding {
    id: "nvidia-memory-taken",
    title: "NVIDIA memory that others hold",
    check: memory_taken,
};

const TAKEN_SHARE: f64 = 0.15;

fn memory_taken(facts: &Facts) -> Checked {
    // With one memory for all the driver counts nothing.
    only_if(facts.has_nvidia() && facts.kind() != Kind::Gb10)?;
    let others = |gpu: &NvmlGpu| {
        let is_other = |name: &str| !name.ends_with("hob");
        let held = gpu.process.iter().filter(|process| is_other(&process.name));
        held.fold(0_u64, |sum, process| sum.saturating_add(process.memory_bytes))
    };
    let known: Vec<_> =
        gpus(facts)?.iter().filter_map(|gpu| Some((gpu, gpu.memory_bytes?))).collect();
    let share = |gpu: &NvmlGpu, total: u64| others(gpu) as f64 / total as f64;
    let taken = known.into_iter().filter(|(gpu, total)| share(gpu, *total) > TAKEN_SHARE);
    Ok(taken
        .map(|(gpu, total)| {
            let name = |process: &crate::doctor::facts::NvmlProcess| {
                format!("{} ({}) {}", process.name, process.pid, gib(process.memory_bytes))
            };
            let names: Vec<String> = gpu.process.iter().map(name).collect();
            let share = share(gpu, total);
            Report {
                severity: Severity::Warning,
                what: format!(
                    "other programs hold {} of {} on {}",
                    gib(others(gpu)),
                    gib(total),
                    gpu.name
                ),
                why: names.join(", "),
                loss: Loss::new(Work::Memory, share, share, "as the driver counts it"),
                fix: "end them (Ollama: `ollama stop MODEL`), or choose a model that fits the rest"
                    .to_owned(),
            }
        })
        .collect())
}

pub(super) static MISMATCH: Finding = Finding {
    id: "nvidia-mismatch",
    title: "NVIDIA's module and libraries match",
    check: mismatch,
};

fn mismatch(facts: &Facts) -> Checked {
    only_if(is_driven(facts) && !facts.system.is_wsl)?;
    let nvidia = &facts.nvidia;
    let error = nvidia.nvml.as_ref().and_then(|nvml| nvml.error.as_deref());
    let says_so = error.is_some_and(|error| error.contains("mismatch"));
    let module = nvidia.module.as_deref().ok_or(Skip::Unread("/proc/driver/nvidia/version"))?;
    if nvidia.libraries.is_empty() && !says_so {
        return Err(Skip::Unread("the version of libcuda, which is in no usual folder"));
    }
    let libraries: Vec<&str> = nvidia.libraries.iter().map(String::as_str).collect();
    report_if(says_so || !libraries.contains(&module), || Report {
        severity: Severity::Fault,
        what: format!(
            "the kernel runs NVIDIA's module {module}, and the libraries are {}",
            libraries.join(", ")
        ),
        why: "the driver was updated and the old module is still loaded; every program is refused"
            .to_owned(),
        loss: Loss::new(Work::Decode, 0.5, 0.95, "by bandwidths of main and graphics' memory"),
        fix: "restart the machine; without: end what uses the card, then sudo rmmod nvidia_uvm \
              nvidia_drm nvidia_modeset nvidia && sudo modprobe nvidia"
            .to_owned(),
    })
}

pub(super) static NODES_MISSING: Finding =
    Finding { id: "nvidia-nodes", title: "NVIDIA's device files", check: nodes_missing };

fn nodes_missing(facts: &Facts) -> Checked {
    only_if(facts.nvidia.module.is_some() && !facts.system.is_wsl)?;
    let wanted = ["/dev/nvidiactl", "/dev/nvidia0", "/dev/nvidia-uvm"];
    let is_there = |path: &&str| facts.nodes.iter().any(|node| node.path == *path);
    let missing: Vec<&str> = wanted.into_iter().filter(|path| !is_there(path)).collect();
    report_if(!missing.is_empty(), || Report {
        severity: Severity::Fault,
        what: format!("the driver is loaded, and {} is missing", missing.join(", ")),
        why: "nobody made the files through which the card is used; in a container nobody passed \
              them in"
            .to_owned(),
        loss: Loss::new(Work::Decode, 0.5, 0.95, "by bandwidths of main and graphics' memory"),
        fix: "sudo nvidia-modprobe -u -c=0; in a container --gpus all, or --device \
              nvidia.com/gpu=all"
            .to_owned(),
    })
}

pub(super) static NOT_READ: Finding =
    Finding { id: "nvidia-not-read", title: "NVIDIA's power, clocks and heat", check: not_read };

fn not_read(facts: &Facts) -> Checked {
    only_if(is_driven(facts))?;
    report_if(facts.nvidia.nvml.is_none(), || Report {
        severity: Severity::Hint,
        what: "power limit, clocks, heat and memory of NVIDIA's graphics cannot be read".to_owned(),
        why:
            "only NVIDIA's management library (libnvidia-ml.so.1) tells them, and it was not found"
                .to_owned(),
        loss: None,
        fix: "install the library of the driver's version (Ubuntu: libnvidia-compute-580); in a \
              container NVIDIA_DRIVER_CAPABILITIES=compute,utility"
            .to_owned(),
    })
}

pub(super) static POWER_CAP: Finding =
    Finding { id: "nvidia-power-cap", title: "power limit of NVIDIA's graphics", check: power_cap };

fn power_cap(facts: &Facts) -> Checked {
    let limits = |gpu: &NvmlGpu| gpu.power_limit_w.zip(gpu.power_default_w);
    let known: Vec<_> = gpus(facts)?.iter().filter_map(|gpu| Some((gpu, limits(gpu)?))).collect();
    // GB10's driver answers neither.
    only_if(!known.is_empty())?;
    let low = known.into_iter().filter(|(_, (limit, default))| *limit < default * 0.9);
    Ok(low
        .map(|(gpu, (limit, default))| {
            let share = 1.0 - limit / default;
            // Mild limits cost little, as the last clocks are the dearest.
            let least = if share >= 0.4 { share * 0.7 } else { 0.0 };
            Report {
                severity: Severity::Warning,
                what: format!("{} is held to {limit:.0} W of {default:.0}", gpu.name),
                why:
                    "somebody lowered the limit (a service, nvidia-smi -pl, a laptop's power mode)"
                        .to_owned(),
                loss: Loss::new(
                    Work::Decode,
                    least,
                    share * 0.95,
                    "RTX 3090 at 200 W against 450 W: 41 to 53 % less (calebcoffie)",
                ),
                fix: format!("sudo nvidia-smi -pl {default:.0}"),
            }
        })
        .collect())
}

pub(super) static THROTTLED: Finding =
    Finding { id: "nvidia-throttled", title: "clocks of NVIDIA's graphics", check: throttled };

fn throttled(facts: &Facts) -> Checked {
    let gpus = gpus(facts)?;
    let is_cause = |cause: &&String| {
        cause.contains("thermal") || cause.contains("brake") || *cause == "hw_slowdown"
    };
    let causes = |gpu: &NvmlGpu| -> Vec<String> {
        gpu.throttled_by.iter().filter(is_cause).cloned().collect()
    };
    let held = gpus.iter().map(|gpu| (gpu, causes(gpu))).filter(|(_, causes)| !causes.is_empty());
    Ok(held
        .map(|(gpu, causes)| {
            let clocks = gpu.clock_mhz.zip(gpu.clock_max_mhz);
            let share =
                clocks.map_or(0.3, |(now, max)| 1.0 - f64::from(now) / f64::from(max.max(1)));
            let is_power = causes.iter().any(|cause| cause.contains("brake"));
            Report {
                severity: Severity::Warning,
                what: format!(
                    "{} lowered its clocks to {} of {} MHz at {} °C: {}",
                    gpu.name,
                    gpu.clock_mhz.unwrap_or(0),
                    gpu.clock_max_mhz.unwrap_or(0),
                    gpu.celsius.unwrap_or(0),
                    causes.join(", ")
                ),
                why: if is_power {
                    "the power supply asks for less: it, or a plug or cable, is too weak".to_owned()
                } else {
                    "it is too hot: its own sensors lower the clocks".to_owned()
                },
                loss: Loss::new(Work::Prefill, share / 2.0, share, "by the clocks read here"),
                fix: if is_power {
                    "seat the power plugs anew, one cable a plug, and check the supply's watts"
                        .to_owned()
                } else {
                    "clean fans and filters, give the card room, raise its fans' curve".to_owned()
                },
            }
        })
        .collect())
}

/// Whether NVIDIA's own driver runs: others answer no questions.
fn is_driven(facts: &Facts) -> bool {
    facts.nvidia.module.is_some() || facts.nvidia.nvml.is_some()
}

fn nvml(facts: &Facts) -> Result<&Nvml, Skip> {
    only_if(is_driven(facts))?;
    facts.nvidia.nvml.as_ref().ok_or(Skip::Unread(NVML))
}

/// Cards that answered.
fn gpus(facts: &Facts) -> Result<&[NvmlGpu], Skip> {
    let gpus = &nvml(facts)?.gpu;
    only_if(!gpus.is_empty())?;
    Ok(gpus)
}
