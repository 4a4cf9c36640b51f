//! Power, virtual machines, Windows' Linux.

use crate::doctor::facts::Facts;
use crate::doctor::report::{
    Checked, Finding, Loss, Report, Severity, Skip, Work, gib, only_if, read, report_if,
};

pub(super) static BATTERY: Finding =
    Finding { id: "power-battery", title: "power supply", check: battery };

fn battery(facts: &Facts) -> Checked {
    let system = &facts.system;
    only_if(system.on_mains.is_some() || system.is_discharging)?;
    let is_off = system.on_mains == Some(false) || system.is_discharging;
    report_if(is_off, || Report {
        severity: Severity::Warning,
        what: if system.on_mains == Some(true) {
            "the battery is being emptied although the power supply is connected".to_owned()
        } else {
            "the machine runs on its battery".to_owned()
        },
        why: "firmware then lowers what processor and graphics may draw".to_owned(),
        loss: Loss::new(
            Work::Prefill,
            0.2,
            0.7,
            "power modes of laptops differ by 1.4 to 3.8 times (public benchmarks of Macs)",
        ),
        fix: "connect the power supply that came with the machine; a weaker one is not enough"
            .to_owned(),
    })
}

pub(super) static ENERGY: Finding =
    Finding { id: "energy-closed", title: "counters of energy", check: energy };

fn energy(facts: &Facts) -> Checked {
    let counters = &facts.system.energy;
    only_if(!counters.is_empty())?;
    if facts.user.uid.is_none() {
        return Err(Skip::Unread("/proc/self/status"));
    }
    let is_closed = counters.iter().any(|node| !facts.user.may(node, 4));
    report_if(is_closed, || Report {
        severity: Severity::Hint,
        what: "the processor counts its energy, and this user may not read it".to_owned(),
        why: "Linux lets only root read it, as it can give away what others compute; hob's watts \
              are then modelled, or of the cards alone"
            .to_owned(),
        loss: None,
        fix:
            "on a machine of your own: sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj; \
              to keep it, a line in /etc/udev/rules.d/60-energy.rules: SUBSYSTEM==\"powercap\", \
              ACTION==\"add\", RUN+=\"/bin/chmod a+r /sys%p/energy_uj\""
                .to_owned(),
    })
}

pub(super) static PROFILE: Finding =
    Finding { id: "power-profile", title: "power profile of the firmware", check: profile };

fn profile(facts: &Facts) -> Checked {
    let Some(profile) = facts.system.profile.as_deref() else { return Err(Skip::NotHere) };
    let is_low = matches!(profile, "low-power" | "quiet" | "cool");
    report_if(is_low, || Report {
        severity: Severity::Warning,
        what: format!("the firmware's power profile is `{profile}`"),
        why: "it lowers what the whole machine may draw, e.g. to 55 W where 120 W are possible"
            .to_owned(),
        loss: Loss::new(Work::Prefill, 0.1, 0.5, "by the ratio of watts; thought, not measured"),
        fix: format!(
            "powerprofilesctl set performance, or: echo {} | sudo tee \
             /sys/firmware/acpi/platform_profile",
            fastest(&facts.system.profiles)
        ),
    })
}

fn fastest(profiles: &[String]) -> &str {
    let has = |wanted: &&str| profiles.iter().any(|profile| profile == wanted);
    ["performance", "balanced-performance"].into_iter().find(has).unwrap_or("balanced")
}

pub(super) static VM_MODEL: Finding = Finding {
    id: "vm-cpu-model",
    title: "processor as the virtual machine shows it",
    check: vm_model,
};

fn vm_model(facts: &Facts) -> Checked {
    only_if(facts.system.is_virtual)?;
    let flags = read(facts.processor.flags.as_ref(), "flags in /proc/cpuinfo")?;
    report_if(!flags.contains("avx2"), || Report {
        severity: Severity::Warning,
        what: format!(
            "the virtual processor ({}) has no AVX2",
            facts.processor.model.as_deref().unwrap_or("unknown")
        ),
        why: "the host shows an old model; the real one has had AVX2 since 2013 (Intel) or 2015 \
              (AMD)"
            .to_owned(),
        loss: Loss::new(Work::Prefill, 0.7, 0.95, "portable against AVX2 kernels; thought"),
        fix: "on the host: -cpu host (QEMU), <cpu mode='host-passthrough'/> (libvirt), CPU type \
              `host` (Proxmox); then stop and start the machine"
            .to_owned(),
    })
}

pub(super) static VM_STEAL: Finding =
    Finding { id: "vm-steal", title: "time that the host takes", check: vm_steal };

const STEAL_PERCENT: f64 = 5.0;

fn vm_steal(facts: &Facts) -> Checked {
    only_if(facts.system.is_virtual)?;
    let steal = read(facts.processor.steal_percent, "/proc/stat")?;
    report_if(steal >= STEAL_PERCENT, || Report {
        severity: Severity::Warning,
        what: format!("the host gave {steal:.0} % of this machine's time to others"),
        why: "there are more virtual processors on the host than real ones".to_owned(),
        loss: Loss::new(
            Work::Decode,
            steal / 100.0,
            steal / 50.0,
            "by the share of time; threads that wait for each other double it; thought",
        ),
        fix: "give the machine processors of its own (pinning, a dedicated kind of instance), or \
              fewer: --threads"
            .to_owned(),
    })
}

pub(super) static WSL: Finding =
    Finding { id: "wsl-memory", title: "memory of Windows' Linux", check: wsl };

fn wsl(facts: &Facts) -> Checked {
    if !facts.system.is_wsl {
        return Err(Skip::NotHere);
    }
    let total = read(facts.memory.total_bytes, "/proc/meminfo")?;
    Ok(vec![Report {
        severity: Severity::Hint,
        what: format!("Windows gives its Linux {}", gib(total)),
        why: "without a setting that is half of the machine's memory".to_owned(),
        loss: Loss::new(Work::Memory, 0.0, 0.5, "Microsoft's default for WSL 2"),
        fix:
            "in Windows, in %UserProfile%\\.wslconfig: [wsl2] and a line memory=NGB with what can \
              be spared; then `wsl --shutdown`"
                .to_owned(),
    }])
}
