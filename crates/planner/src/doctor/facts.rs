//! Everything that was read of a machine, typed. What could not be read is `None` or empty; the
//! checks say so. [`Nvml`] and [`House`] are read from recorded answers too, hence `Deserialize`.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::gather::dmi::MemoryDevice;

/// A machine and the house on it.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The processor and what it may do.
    pub processor: Processor,
    /// Main memory.
    pub memory: Memory,
    /// Kernel, firmware, power.
    pub system: System,
    /// Graphics on PCI.
    pub graphics: Vec<Graphics>,
    /// What NVIDIA's driver says.
    pub nvidia: Nvidia,
    /// Device files that graphics are used through.
    pub nodes: Vec<Node>,
    /// Where hob keeps its models.
    pub disk: Disk,
    /// Who asks.
    pub user: User,
    /// Who listens on hob's port.
    pub listeners: Vec<Listener>,
    /// hob's folder and the folders above it, that one first.
    pub home_nodes: Vec<Node>,
    /// The file that holds what was asked.
    pub history: Option<Node>,
    /// What hob knows of itself.
    pub house: House,
}

/// The processor and what it may do.
#[derive(Clone, Debug, Default)]
pub struct Processor {
    /// Its name.
    pub model: Option<String>,
    /// Instruction sets, as Linux names them.
    pub flags: Option<BTreeSet<String>>,
    /// Logical processors that run.
    pub online: Option<u32>,
    /// Logical processors that are built in.
    pub present: Option<u32>,
    /// Second threads of cores are switched off on purpose.
    pub smt_off: bool,
    /// Logical processors that this process may use.
    pub allowed: Option<u32>,
    /// Time that the control group gives, in processors.
    pub quota: Option<f64>,
    /// Groups of processors that share a clock.
    pub policies: Vec<Policy>,
    /// Whether clocks above the base clock are allowed.
    pub boost: Option<bool>,
    /// Seconds since start with lowered clocks, because it was hot.
    pub throttled_s: Option<f64>,
    /// Temperatures with the point at which clocks are lowered.
    pub zones: Vec<Zone>,
    /// Share of the last minute in which something waited for a processor, percent.
    pub pressure_percent: Option<f64>,
    /// Share of time since start that the host gave to others, percent.
    pub steal_percent: Option<f64>,
    /// Memory of each node that has processors, bytes.
    pub node_memory_bytes: Vec<u64>,
}

/// Processors that share a clock.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// `policy0`.
    pub name: String,
    /// `acpi-cpufreq`, `intel_pstate`, `amd-pstate-epp`, `cppc_cpufreq`.
    pub driver: Option<String>,
    /// Who chooses the clock.
    pub governor: Option<String>,
    /// What drivers that choose for themselves are asked to prefer.
    pub preference: Option<String>,
    /// Lowest clock of the hardware, kHz.
    pub min_khz: Option<u64>,
    /// Highest clock of the hardware, kHz.
    pub max_khz: Option<u64>,
    /// Highest clock that is allowed, kHz.
    pub allowed_khz: Option<u64>,
    /// Clock without boost, kHz.
    pub base_khz: Option<u64>,
}

/// A temperature.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    /// What it is of.
    pub name: String,
    /// Now, in degrees Celsius.
    pub celsius: f64,
    /// At which the system acts.
    pub limit_celsius: f64,
}

/// Main memory.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// All that the kernel has.
    pub total_bytes: Option<u64>,
    /// What can be taken without swapping.
    pub available_bytes: Option<u64>,
    /// Swap, in all.
    pub swap_bytes: Option<u64>,
    /// Swap that is not used.
    pub swap_free_bytes: Option<u64>,
    /// Where swapped pages go.
    pub swap_devices: Vec<String>,
    /// `vm.swappiness`.
    pub swappiness: Option<u32>,
    /// Huge pages set aside, and of these not used, bytes.
    pub huge_bytes: Option<(u64, u64)>,
    /// Transparent huge pages: `always`, `madvise` or `never`.
    pub transparent: Option<String>,
    /// Share of the last ten seconds in which all waited for memory, percent.
    pub pressure_percent: Option<f64>,
    /// Limit of the control group.
    pub limit_bytes: Option<u64>,
    /// Modules, as the firmware tells them.
    pub devices: Option<Vec<MemoryDevice>>,
    /// Errors since start: corrected, not corrected.
    pub errors: Option<(u64, u64)>,
}

/// Kernel, firmware, power.
#[derive(Clone, Debug, Default)]
pub struct System {
    /// `6.18.4-generic`.
    pub kernel: Option<String>,
    /// Words of the kernel's command line.
    pub command_line: Option<Vec<String>>,
    /// The machine's name by its maker.
    pub product: Option<String>,
    /// It is a virtual machine.
    pub is_virtual: bool,
    /// It is Windows' Linux.
    pub is_wsl: bool,
    /// Seconds since start.
    pub uptime_s: Option<f64>,
    /// The firmware's balance of power and quiet.
    pub profile: Option<String>,
    /// The balances that there are.
    pub profiles: Vec<String>,
    /// A power supply is connected.
    pub on_mains: Option<bool>,
    /// A battery is being emptied.
    pub is_discharging: bool,
    /// Counters of the processor's energy.
    pub energy: Vec<Node>,
    /// Devices' accesses to memory are translated.
    pub has_iommu: bool,
}

/// Whose graphics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// AMD.
    Amd,
    /// Intel.
    Intel,
    /// NVIDIA.
    Nvidia,
}

/// Graphics on PCI.
#[derive(Clone, Debug)]
pub struct Graphics {
    /// `0000:01:00.0`.
    pub address: String,
    /// Whose.
    pub vendor: Vendor,
    /// PCI's number of the kind.
    pub device: u32,
    /// Kernel driver.
    pub driver: Option<String>,
    /// Lanes in use.
    pub lanes: Option<u32>,
    /// Lanes that it has.
    pub lanes_max: Option<u32>,
    /// Largest window into its memory.
    pub window_bytes: Option<u64>,
    /// amdgpu: memory of its own, or set aside by the firmware.
    pub vram_bytes: Option<u64>,
    /// amdgpu: main memory that it may use.
    pub gtt_bytes: Option<u64>,
    /// amdgpu: `auto`, `low`, `high`, `manual`.
    pub performance_level: Option<String>,
    /// amdgpu: watts that it may draw, and those it is built for.
    pub power_cap_w: Option<(f64, f64)>,
}

/// What NVIDIA's driver says.
#[derive(Clone, Debug, Default)]
pub struct Nvidia {
    /// Version of the kernel module.
    pub module: Option<String>,
    /// Versions of the libraries on disk.
    pub libraries: BTreeSet<String>,
    /// Names of the cards that the module drives.
    pub names: Vec<String>,
    /// Answers of its management library.
    pub nvml: Option<Nvml>,
}

/// Answers of NVIDIA's management library.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Nvml {
    /// What it answered in place of anything else.
    pub error: Option<String>,
    /// Newest CUDA that the driver can run, `13.0`.
    pub cuda: Option<String>,
    /// A card each.
    pub gpu: Vec<NvmlGpu>,
}

/// A card, as NVIDIA's management library sees it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NvmlGpu {
    /// Its name.
    pub name: String,
    /// Watts it is held to now.
    pub power_limit_w: Option<f64>,
    /// Watts it is built for.
    pub power_default_w: Option<f64>,
    /// Watts it draws now.
    pub power_draw_w: Option<f64>,
    /// Share of time in which it computes, percent.
    pub utilization_percent: Option<u32>,
    /// Clock of its cores, MHz.
    pub clock_mhz: Option<u32>,
    /// Highest clock of its cores, MHz.
    pub clock_max_mhz: Option<u32>,
    /// Why clocks are lowered, as `nvidia-smi -q` names it, e.g. `hw_thermal_slowdown`.
    pub throttled_by: Vec<String>,
    /// In degrees Celsius.
    pub celsius: Option<u32>,
    /// Memory.
    pub memory_bytes: Option<u64>,
    /// Memory that is taken.
    pub memory_used_bytes: Option<u64>,
    /// Largest window into its memory.
    pub bar1_bytes: Option<u64>,
    /// Errors of memory since start that could not be corrected.
    pub ecc_uncorrected: Option<u64>,
    /// Programs that have memory.
    pub process: Vec<NvmlProcess>,
}

/// A program on a card.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NvmlProcess {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// Memory that it has.
    pub memory_bytes: u64,
}

/// A file or folder with its permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Which.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Who asks.
#[derive(Clone, Debug, Default)]
pub struct User {
    /// Number; none where it could not be read.
    pub uid: Option<u32>,
    /// Groups.
    pub groups: Vec<u32>,
}

/// Where hob keeps its models.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// `ext4`, `9p`.
    pub filesystem: Option<String>,
    /// What is mounted: `/dev/nvme0n1p2`.
    pub source: Option<String>,
    /// Folder of its settings below /sys.
    pub queue: Option<String>,
    /// It has a disk that turns.
    pub rotational: Option<bool>,
    /// What the kernel reads ahead, KiB.
    pub read_ahead_kib: Option<u32>,
}

/// Who listens on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Program; none when it belongs to another user.
    pub program: Option<String>,
    /// Other machines can reach it.
    pub is_open: bool,
}

/// How a model comes into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loading {
    /// By the page cache, page by page.
    Map,
    /// Past the page cache.
    Direct,
}

/// What hob knows of itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct House {
    /// hob's folder.
    pub home: String,
    /// Port of `hob serve`.
    pub port: u16,
    /// Kernels in use: `avx2`.
    pub kernels: Option<String>,
    /// Kernels that this processor can run, best first.
    pub kernels_offered: Vec<String>,
    /// What hob computes with: `cpu`.
    pub backend: Option<String>,
    /// What hob could compute with: `cpu`, `cuda`.
    pub backends: Vec<String>,
    /// How models are loaded.
    pub loading: Option<Loading>,
    /// Room on the disk of its folder.
    pub free_bytes: Option<u64>,
    /// Reads of files as `hob calibrate` measured them, GB/s.
    pub disk_gbs: Option<f64>,
    /// Reads of memory as `hob calibrate` measured them, GB/s.
    pub bandwidth_gbs: Option<f64>,
    /// Models; none when their folder could not be read.
    pub model: Option<Vec<ModelFile>>,
}

/// A model of the store.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelFile {
    /// Its name.
    pub name: String,
    /// Bytes of its files.
    pub size_bytes: u64,
    /// Why its headers cannot be read.
    pub error: Option<String>,
    /// Bytes that the headers want and bytes that are there, where these are fewer.
    pub cut_short: Option<(u64, u64)>,
    /// Its bytes are not those that were fetched.
    pub is_changed: Option<bool>,
    /// It was trained to hold conversations, by its name or its tokens.
    pub is_chat: bool,
    /// It has a chat template.
    pub has_template: bool,
    /// Tokens that the template's turns are made of.
    pub template_tokens: Vec<String>,
    /// Those of them that the vocabulary lacks.
    pub template_tokens_missing: Vec<String>,
}

/// Boxes with rules of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// NVIDIA GB10: DGX Spark and its siblings.
    Gb10,
    /// AMD Ryzen AI Max: Strix Halo.
    StrixHalo,
    /// Any other.
    Other,
}

/// PCI's number of Strix Halo's graphics (Radeon 8060S and 8050S).
const STRIX_HALO: u32 = 0x1586;

impl Facts {
    /// Which box it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        let has_gb10 = |name: &String| name.contains("GB10");
        let model = self.processor.model.as_deref().unwrap_or_default();
        if self.nvidia.names.iter().any(has_gb10) || self.gpus().any(|gpu| has_gb10(&gpu.name)) {
            Kind::Gb10
        } else if self.amd().any(|gpu| gpu.device == STRIX_HALO) || model.contains("AI MAX") {
            Kind::StrixHalo
        } else {
            Kind::Other
        }
    }

    /// Cards that NVIDIA's management library knows.
    pub fn gpus(&self) -> impl Iterator<Item = &NvmlGpu> {
        self.nvidia.nvml.iter().flat_map(|nvml| &nvml.gpu)
    }

    /// Graphics by AMD.
    pub fn amd(&self) -> impl Iterator<Item = &Graphics> {
        self.graphics.iter().filter(|gpu| gpu.vendor == Vendor::Amd)
    }

    /// Whether NVIDIA's graphics are there, with or without a driver.
    #[must_use]
    pub fn has_nvidia(&self) -> bool {
        self.graphics.iter().any(|gpu| gpu.vendor == Vendor::Nvidia)
            || self.nvidia.module.is_some()
            || self.nvidia.nvml.is_some()
    }
}

impl Vendor {
    /// As people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Vendor::Amd => "AMD",
            Vendor::Intel => "Intel",
            Vendor::Nvidia => "NVIDIA",
        }
    }
}

impl Graphics {
    /// For people.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} graphics at {}", self.vendor.name(), self.address)
    }

    /// Whether it is part of the processor and has main memory only. Of AMD's: little memory of
    /// its own beside much of the machine's (a rule that Ollama has too), or known by its number,
    /// as firmware may set aside much. Of Intel's: those on the first bus.
    #[must_use]
    pub fn is_integrated(&self) -> bool {
        match self.vendor {
            Vendor::Amd => {
                let (vram, gtt) = (self.vram_bytes.unwrap_or(0), self.gtt_bytes.unwrap_or(0));
                self.device == STRIX_HALO || (vram <= 4 << 30 && vram > 0 && gtt / 4 >= vram)
            }
            Vendor::Intel => self.address.starts_with("0000:00:"),
            // GB10 and its siblings; the Tegra line has no graphics on PCI.
            Vendor::Nvidia => (0x2e00..=0x2e7f).contains(&self.device),
        }
    }
}

impl User {
    /// Whether the bits (4 read, 2 write, 1 enter) are given to this user; true where the user is
    /// not known.
    #[must_use]
    pub fn may(&self, node: &Node, bits: u32) -> bool {
        let Some(uid) = self.uid else { return true };
        let given = if uid == 0 {
            return true;
        } else if uid == node.uid {
            node.mode >> 6
        } else if self.groups.contains(&node.gid) {
            node.mode >> 3
        } else {
            node.mode
        };
        given & bits == bits
    }
}
