//! What NVIDIA's library tells of its cards, for the doctor.

use meter::{Gpu, GpuDetails, GpuProcess, Gpus};
use planner::doctor::{Facts, Nvml, NvmlGpu, NvmlProcess};

/// Fills in what only the library knows, and what the machine's files left open.
pub(super) fn fill(facts: &mut Facts, gpus: &dyn Gpus) {
    let driver = gpus.driver();
    let (now, details) = (gpus.now(), gpus.details());
    for card in &details {
        let is_it = |address: &String| Some(address) == card.address.as_ref();
        let on_pci = facts.graphics.iter_mut().find(|it| is_it(&it.address));
        if let Some(graphics) = on_pci {
            graphics.lanes = graphics.lanes.or(card.lanes.filter(|lanes| *lanes > 0));
            graphics.lanes_max = graphics.lanes_max.or(card.lanes_max);
        }
    }
    // Windows' Linux and some containers have no /proc/driver/nvidia.
    facts.nvidia.module = facts.nvidia.module.take().or(driver.version);
    facts.nvidia.nvml = Some(Nvml {
        error: driver.error,
        cuda: driver.cuda,
        gpu: now.into_iter().zip(details).map(|(now, details)| card(now, details)).collect(),
    });
}

fn card(now: Gpu, details: GpuDetails) -> NvmlGpu {
    NvmlGpu {
        name: now.name,
        power_limit_w: now.power_limit_w,
        power_default_w: details.power_default_w,
        power_draw_w: now.power_w,
        utilization_percent: now.utilization_percent,
        clock_mhz: now.clock_mhz,
        clock_max_mhz: details.clock_max_mhz,
        throttled_by: now.throttled_by.unwrap_or_default(),
        celsius: now.celsius,
        memory_bytes: now.memory_bytes,
        memory_used_bytes: now.memory_used_bytes,
        bar1_bytes: details.bar1_bytes,
        ecc_uncorrected: details.ecc_uncorrected,
        process: details.processes.into_iter().map(process).collect(),
    }
}

fn process(process: GpuProcess) -> NvmlProcess {
    NvmlProcess { pid: process.pid, name: process.name, memory_bytes: process.memory_bytes }
}

#[cfg(test)]
mod tests {
    use super::fill;
    use meter::{Driver, Gpu, GpuDetails, GpuProcess, Gpus};
    use planner::doctor::{Diagnosis, Facts, Graphics, NvmlGpu, NvmlProcess, Vendor, diagnose};

    #[derive(Clone, Default)]
    struct Cards {
        driver: Driver,
        now: Vec<Gpu>,
        details: Vec<GpuDetails>,
    }

    impl Gpus for Cards {
        fn driver(&self) -> Driver {
            self.driver.clone()
        }

        fn now(&self) -> Vec<Gpu> {
            self.now.clone()
        }

        fn details(&self) -> Vec<GpuDetails> {
            self.details.clone()
        }
    }

    /// An RTX 3090 that somebody held to 200 W and that is too hot, in a machine whose files say
    /// little.
    fn rtx_3090() -> Cards {
        Cards {
            driver: Driver {
                error: None,
                version: Some("580.95.05".to_owned()),
                cuda: Some("13.0".to_owned()),
            },
            now: vec![Gpu {
                name: "NVIDIA GeForce RTX 3090".to_owned(),
                power_w: Some(198.5),
                energy_mj: Some(1),
                power_limit_w: Some(200.0),
                utilization_percent: Some(99),
                celsius: Some(92),
                clock_mhz: Some(1050),
                memory_bytes: Some(25_769_803_776),
                memory_used_bytes: Some(9_000_000_000),
                throttled_by: Some(vec!["hw_thermal_slowdown".to_owned()]),
            }],
            details: vec![GpuDetails {
                address: Some("0000:01:00.0".to_owned()),
                power_default_w: Some(350.0),
                clock_max_mhz: Some(2100),
                lanes: Some(4),
                lanes_max: Some(16),
                bar1_bytes: Some(256 << 20),
                ecc_uncorrected: Some(0),
                processes: vec![GpuProcess {
                    pid: 4711,
                    name: "/usr/local/bin/ollama".to_owned(),
                    memory_bytes: 8_000_000_000,
                }],
            }],
        }
    }

    fn facts(graphics: Vec<Graphics>) -> Facts {
        Facts { graphics, ..Facts::default() }
    }

    fn ids(diagnosis: &Diagnosis) -> Vec<&str> {
        diagnosis.found.iter().map(|found| found.id).collect()
    }

    #[test]
    fn every_answer_has_its_place() {
        let mut facts = facts(vec![Graphics {
            address: "0000:01:00.0".to_owned(),
            vendor: Vendor::Nvidia,
            device: 0x2204,
            driver: Some("nvidia".to_owned()),
            lanes: None,
            lanes_max: None,
            window_bytes: None,
            vram_bytes: None,
            gtt_bytes: None,
            performance_level: None,
            power_cap_w: None,
        }]);
        fill(&mut facts, &rtx_3090());
        assert_eq!((facts.graphics[0].lanes, facts.graphics[0].lanes_max), (Some(4), Some(16)));
        assert_eq!(facts.nvidia.module.as_deref(), Some("580.95.05"));
        let nvml = facts.nvidia.nvml.clone().unwrap();
        assert_eq!((nvml.error, nvml.cuda.as_deref()), (None, Some("13.0")));
        let expected = NvmlGpu {
            name: "NVIDIA GeForce RTX 3090".to_owned(),
            power_limit_w: Some(200.0),
            power_default_w: Some(350.0),
            power_draw_w: Some(198.5),
            utilization_percent: Some(99),
            clock_mhz: Some(1050),
            clock_max_mhz: Some(2100),
            throttled_by: vec!["hw_thermal_slowdown".to_owned()],
            celsius: Some(92),
            memory_bytes: Some(25_769_803_776),
            memory_used_bytes: Some(9_000_000_000),
            bar1_bytes: Some(256 << 20),
            ecc_uncorrected: Some(0),
            process: vec![NvmlProcess {
                pid: 4711,
                name: "/usr/local/bin/ollama".to_owned(),
                memory_bytes: 8_000_000_000,
            }],
        };
        assert_eq!(format!("{:?}", nvml.gpu), format!("{:?}", [expected]));
    }

    #[test]
    fn what_is_wrong_is_found() {
        let mut facts = facts(Vec::new());
        fill(&mut facts, &rtx_3090());
        let diagnosis = diagnose(&facts);
        for id in ["gpu-window", "nvidia-memory-taken", "nvidia-power-cap", "nvidia-throttled"] {
            assert!(ids(&diagnosis).contains(&id), "{id}: {:?}", ids(&diagnosis));
        }
        assert!(!ids(&diagnosis).contains(&"nvidia-not-read"));
    }

    /// What files say stays; what the library cannot say of a GB10 is no finding.
    #[test]
    fn a_sound_gb10_has_no_findings_by_its_library() {
        let mut facts = facts(Vec::new());
        facts.nvidia.module = Some("580.142".to_owned());
        let now = Gpu {
            name: "NVIDIA GB10".to_owned(),
            power_w: Some(52.0),
            utilization_percent: Some(96),
            celsius: Some(70),
            clock_mhz: Some(2405),
            throttled_by: Some(Vec::new()),
            ..Gpu::default()
        };
        let driver = Driver { version: Some("580.1".to_owned()), ..Driver::default() };
        let details = vec![GpuDetails { clock_max_mhz: Some(3003), ..GpuDetails::default() }];
        fill(&mut facts, &Cards { driver, now: vec![now], details });
        assert_eq!(facts.nvidia.module.as_deref(), Some("580.142"));
        let found = ids(&diagnose(&facts)).join(" ");
        for wrong in ["gpu-window", "low-power", "not-read", "memory", "power-cap", "throttled"] {
            assert!(!found.contains(wrong), "{found}");
        }
    }

    #[test]
    fn a_driver_that_refuses_is_named() {
        let driver = Driver { error: Some("GPU is lost".to_owned()), ..Driver::default() };
        let mut facts = facts(Vec::new());
        fill(&mut facts, &Cards { driver, ..Cards::default() });
        assert!(ids(&diagnose(&facts)).contains(&"nvidia-failed"));
    }
}
