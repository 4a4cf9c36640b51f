//! The processor: clocks, heat, cores, and the kernels that use it.

use crate::doctor::facts::{Facts, Policy};
use crate::doctor::report::{
    Checked, Finding, Loss, Report, Severity, Skip, Work, only_if, read, report_if,
};

/// Clocks below this share of the possible are held down, and not rounded.
const CLOCK_SHARE: f64 = 0.95;
const BY_CLOCKS: &str = "by the clocks read here; writing loses less, as it waits for memory";

pub(super) static AFFINITY: Finding =
    Finding { id: "cpu-affinity", title: "processors that hob may use", check: affinity };

fn affinity(facts: &Facts) -> Checked {
    let allowed = read(facts.processor.allowed, "/proc/self/status")?;
    let online = read(facts.processor.online, "/sys/devices/system/cpu/online")?;
    report_if(allowed < online, || Report {
        severity: Severity::Warning,
        what: format!("hob may run on {allowed} of {online} processors"),
        why: "a mask that this process inherited (taskset, a service's CPUAffinity, a container's \
              cpuset) keeps it off the others"
            .to_owned(),
        loss: Loss::new(
            Work::Prefill,
            0.0,
            1.0 - f64::from(allowed) / f64::from(online),
            "by the count of processors",
        ),
        fix: format!(
            "taskset -c 0-{} hob ..., or raise the service's or container's cpuset",
            online - 1
        ),
    })
}

pub(super) static BUSY: Finding =
    Finding { id: "cpu-busy", title: "other work on the processor", check: busy };

/// Share of a minute in which something waited for a processor, percent.
const BUSY_PERCENT: f64 = 30.0;

fn busy(facts: &Facts) -> Checked {
    let waited = read(facts.processor.pressure_percent, "/proc/pressure/cpu")?;
    report_if(waited >= BUSY_PERCENT, || Report {
        severity: Severity::Hint,
        what: format!("in {waited:.0} % of the last minute something waited for a processor"),
        why: "hob's threads wait for each other many times per token, so one that is kept waiting \
              by other work delays them all"
            .to_owned(),
        loss: Loss::new(
            Work::Decode,
            0.0,
            waited / 100.0,
            "by the time waited; thought, not measured",
        ),
        fix: "`top` shows what runs; stop it, or give hob fewer threads: --threads".to_owned(),
    })
}

pub(super) static CLOCK_CAP: Finding =
    Finding { id: "cpu-clock-cap", title: "highest clock allowed", check: clock_cap };

fn clock_cap(facts: &Facts) -> Checked {
    let policies = policies(facts)?;
    let share = |policy: &Policy| Some(policy.allowed_khz? as f64 / policy.max_khz? as f64);
    let lowest = policies.iter().filter_map(|policy| Some((share(policy)?, policy)));
    let lowest = lowest.min_by(|a, b| a.0.total_cmp(&b.0));
    let (share, policy) = read(lowest, "clock limits in /sys/devices/system/cpu/cpufreq")?;
    let (allowed, max) = (policy.allowed_khz.unwrap_or(0), policy.max_khz.unwrap_or(0));
    report_if(share < CLOCK_SHARE, || Report {
        severity: Severity::Warning,
        what: format!("clocks are held to {} of {} MHz", allowed / 1000, max / 1000),
        why: "someone or something (a power tool, a thermal daemon) lowered the limit".to_owned(),
        loss: Loss::new(Work::Prefill, (1.0 - share) / 2.0, 1.0 - share, BY_CLOCKS),
        fix: format!(
            "echo {max} | sudo tee /sys/devices/system/cpu/cpufreq/policy*/scaling_max_freq"
        ),
    })
}

pub(super) static CORES_OFFLINE: Finding =
    Finding { id: "cpu-cores-offline", title: "processors switched on", check: cores_offline };

fn cores_offline(facts: &Facts) -> Checked {
    let online = read(facts.processor.online, "/sys/devices/system/cpu/online")?;
    let present = read(facts.processor.present, "/sys/devices/system/cpu/present")?;
    only_if(!facts.processor.smt_off)?;
    report_if(online < present, || Report {
        severity: Severity::Warning,
        what: format!("{online} of {present} processors are switched on"),
        why: "the others were taken off line, by a person, a power tool or `maxcpus=`".to_owned(),
        loss: Loss::new(
            Work::Prefill,
            0.0,
            1.0 - f64::from(online) / f64::from(present),
            "by the count of processors",
        ),
        fix:
            "echo 1 | sudo tee /sys/devices/system/cpu/cpu*/online; look for maxcpus= or nr_cpus= \
              in /proc/cmdline"
                .to_owned(),
    })
}

pub(super) static GOVERNOR: Finding =
    Finding { id: "cpu-governor", title: "governor of clocks", check: governor };

fn governor(facts: &Facts) -> Checked {
    // Drivers that choose for themselves call their usual mode "powersave" too.
    let chooses_itself = |policy: &Policy| {
        let driver = policy.driver.as_deref().unwrap_or_default();
        driver == "intel_pstate" || driver == "amd-pstate-epp"
    };
    let is_low = |policy: &&Policy| {
        let governor = policy.governor.as_deref().unwrap_or_default();
        matches!(governor, "powersave" | "userspace") && !chooses_itself(policy)
    };
    let policies = policies(facts)?;
    let low = policies.iter().find(is_low);
    Ok(low
        .into_iter()
        .map(|policy| {
            let name = policy.governor.as_deref().unwrap_or_default();
            let clocks = policy.min_khz.zip(policy.max_khz);
            let share = clocks.map_or(f64::NAN, |(min, max)| 1.0 - min as f64 / max as f64);
            Report {
                severity: Severity::Warning,
                what: format!("the governor of {} is `{name}`", policy.name),
                why: "with this driver it holds the lowest clock (or one that was set by hand), \
                  however much there is to do"
                    .to_owned(),
                loss: Loss::new(Work::Prefill, share / 2.0, share, BY_CLOCKS),
                fix: "echo performance | sudo tee /sys/devices/system/cpu/cpufreq/policy*/\
                  scaling_governor (`schedutil` where idle power matters)"
                    .to_owned(),
            }
        })
        .collect())
}

pub(super) static HOT: Finding = Finding { id: "cpu-hot", title: "temperature", check: hot };

/// Degrees below the point at which the system acts.
const NEAR_CELSIUS: f64 = 3.0;

fn hot(facts: &Facts) -> Checked {
    let zones = &facts.processor.zones;
    if zones.is_empty() {
        return Err(Skip::Unread("temperatures in /sys/class/thermal"));
    }
    let is_hot = |zone: &&_| {
        let zone: &crate::doctor::facts::Zone = zone;
        zone.celsius >= zone.limit_celsius - NEAR_CELSIUS
    };
    let reports = zones.iter().filter(is_hot).map(|zone| Report {
        severity: Severity::Warning,
        what: format!(
            "{} is at {:.0} °C, and the system acts at {:.0} °C",
            zone.name, zone.celsius, zone.limit_celsius
        ),
        why: "clocks are lowered until it is cooler".to_owned(),
        loss: Loss::new(Work::Prefill, 0.1, 0.5, "thought, not measured"),
        fix: "free the air's way, clean fans and filters, choose a stronger fan profile in the \
              firmware; then run `hob doctor` again under load"
            .to_owned(),
    });
    Ok(reports.collect())
}

pub(super) static KERNELS: Finding =
    Finding { id: "kernels", title: "kernels in use", check: kernels };

const AVX512: [&str; 7] =
    ["avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "fma", "f16c"];

/// Kernels that hob has, best first, and Linux's flags that they need: those that
/// `kernels-cpu` asks the processor for.
const KERNELS_NEED: [(&str, &[&str]); 6] = [
    (
        "amx",
        &["amx_tile", "amx_int8", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"],
    ),
    ("avx512", &AVX512),
    ("avx-vnni", &["avx2", "fma", "f16c", "avx_vnni"]),
    ("avx2", &["avx2", "fma", "f16c"]),
    ("neon-i8mm", &["i8mm"]),
    ("neon-dotprod", &["asimddp"]),
];

fn kernels(facts: &Facts) -> Checked {
    let used = read(facts.house.kernels.as_deref(), "which kernels hob uses")?;
    let flags = read(facts.processor.flags.as_ref(), "flags in /proc/cpuinfo")?;
    let has = |needs: &&[&str]| needs.iter().all(|flag| flags.contains(*flag));
    let best = KERNELS_NEED.iter().find(|(_, needs)| has(needs)).map(|(name, _)| *name);
    let offered = facts.house.kernels_offered.first().map(String::as_str);
    let best = read(best.or(offered), "instruction sets that hob has kernels for")?;
    report_if(used != best, || {
        let (low, high) = match (used, best) {
            ("portable", _) => (0.7, 0.95),
            (_, "amx") => (0.5, 0.8),
            _ => (0.2, 0.6),
        };
        Report {
            severity: Severity::Warning,
            what: format!("hob computes with `{used}`, and the processor has what `{best}` needs"),
            why: "the best kernels were not chosen, or the system does not let programs use them \
                  (old kernel, emulation)"
                .to_owned(),
            loss: Loss::new(
                Work::Prefill,
                low,
                high,
                "AMX 3.0, AVX-512 0.62, AVX2 0.32 TOPS on one core of a Xeon; others thought",
            ),
            fix: format!(
                "leave out --backend, or try `hob bench --backend cpu:{best}`; AMX wants Linux \
                 5.16 or newer"
            ),
        }
    })
}

pub(super) static NODES: Finding =
    Finding { id: "numa-nodes", title: "memory of each socket", check: nodes };

fn nodes(facts: &Facts) -> Checked {
    let nodes = &facts.processor.node_memory_bytes;
    only_if(nodes.len() > 1)?;
    let empty = nodes.iter().filter(|bytes| **bytes == 0).count();
    let report = if empty > 0 {
        Report {
            severity: Severity::Warning,
            what: format!(
                "{empty} of {} groups of processors have no memory of their own",
                nodes.len()
            ),
            why: "their reads go through the other socket, whose channels all then share"
                .to_owned(),
            loss: Loss::new(Work::Decode, 0.3, 0.5, "by the count of channels; thought"),
            fix: "plug memory into every socket, channel by channel, as the board's manual says"
                .to_owned(),
        }
    } else {
        Report {
            severity: Severity::Hint,
            what: format!("memory is split into {} nodes", nodes.len()),
            why: "hob does not yet keep weights beside the threads that read them".to_owned(),
            loss: Loss::new(Work::Decode, 0.0, 0.5, "thought, not measured"),
            fix: "where the model fits one node: numactl --cpunodebind=0 --membind=0 hob ...; \
                  else: numactl --interleave=all hob ..."
                .to_owned(),
        }
    };
    Ok(vec![report])
}

pub(super) static PREFERENCE: Finding =
    Finding { id: "cpu-preference", title: "preference of power or speed", check: preference };

fn preference(facts: &Facts) -> Checked {
    let policies = policies(facts)?;
    let saves =
        |policy: &&Policy| matches!(policy.preference.as_deref(), Some("power" | "balance_power"));
    let found = policies.iter().find(saves);
    report_if(found.is_some(), || Report {
        severity: Severity::Warning,
        what: format!(
            "the processor is asked to prefer `{}`",
            found.and_then(|policy| policy.preference.as_deref()).unwrap_or_default()
        ),
        why: "it raises clocks late and not far, to save power".to_owned(),
        loss: Loss::new(Work::Prefill, 0.05, 0.3, "thought, not measured"),
        fix: "powerprofilesctl set performance, or: echo balance_performance | sudo tee \
              /sys/devices/system/cpu/cpufreq/policy*/energy_performance_preference"
            .to_owned(),
    })
}

pub(super) static QUOTA: Finding =
    Finding { id: "cpu-quota", title: "time limit of the control group", check: quota };

fn quota(facts: &Facts) -> Checked {
    let online = f64::from(read(facts.processor.online, "/sys/devices/system/cpu/online")?);
    let Some(quota) = facts.processor.quota else { return Err(Skip::NotHere) };
    report_if(quota < online * CLOCK_SHARE, || Report {
        severity: Severity::Warning,
        what: format!("a control group gives this process {quota:.1} of {online:.0} processors"),
        why: "threads are stopped for the rest of each tenth of a second once the share is used"
            .to_owned(),
        loss: Loss::new(Work::Prefill, 0.0, 1.0 - quota / online, "by the share given"),
        fix: "container: start it with a higher --cpus; service: systemctl set-property NAME \
              CPUQuota= ; or let hob use fewer threads: --threads"
            .to_owned(),
    })
}

pub(super) static THROTTLED: Finding =
    Finding { id: "cpu-throttled", title: "time with clocks lowered by heat", check: throttled };

/// Share of the time since start.
const THROTTLED_SHARE: f64 = 0.01;

fn throttled(facts: &Facts) -> Checked {
    let seconds = read(facts.processor.throttled_s, "the processor's count of throttling")?;
    let uptime = read(facts.system.uptime_s, "/proc/uptime")?.max(1.0);
    let share = seconds / uptime;
    report_if(share >= THROTTLED_SHARE, || Report {
        severity: Severity::Warning,
        what: format!(
            "heat lowered the clocks for {seconds:.0} s, {:.0} % of the time since start",
            share * 100.0
        ),
        why: "the cooling cannot carry off what the processor draws under load".to_owned(),
        loss: Loss::new(Work::Prefill, share / 2.0, 0.5, "by the share of time; thought"),
        fix: "clean fans and filters, renew the thermal paste, give the box room; then compare \
              `hob bench` with before"
            .to_owned(),
    })
}

pub(super) static TURBO: Finding =
    Finding { id: "cpu-turbo-off", title: "clocks above the base clock", check: turbo };

fn turbo(facts: &Facts) -> Checked {
    let boost = facts.processor.boost.ok_or_else(|| no_clocks(facts))?;
    report_if(!boost, || {
        let clocks = |policy: &Policy| Some(policy.base_khz? as f64 / policy.max_khz? as f64);
        let share = facts.processor.policies.iter().find_map(clocks).map(|share| 1.0 - share);
        let (low, high, source) = match share {
            Some(share) if share > 0.0 => (share / 2.0, share, BY_CLOCKS),
            _ => (0.1, 0.4, "usual base and boost clocks of PCs; thought"),
        };
        Report {
            severity: Severity::Warning,
            what: "boost (turbo) is switched off".to_owned(),
            why: "no core goes above the base clock".to_owned(),
            loss: Loss::new(Work::Prefill, low, high, source),
            fix: "echo 1 | sudo tee /sys/devices/system/cpu/cpufreq/boost, or with intel_pstate: \
                  echo 0 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo; it may be a \
                  setting of the firmware too"
                .to_owned(),
        }
    })
}

fn policies(facts: &Facts) -> Result<&[Policy], Skip> {
    let policies = &facts.processor.policies;
    if policies.is_empty() { Err(no_clocks(facts)) } else { Ok(policies) }
}

fn no_clocks(facts: &Facts) -> Skip {
    if facts.system.is_virtual {
        Skip::Unread("clocks, which are the host's in a virtual machine")
    } else {
        Skip::Unread("clocks in /sys/devices/system/cpu/cpufreq")
    }
}
