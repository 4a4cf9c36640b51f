//! What the planner knows of a machine, one of the table or this one.

use serde::Deserialize;

/// A machine as the planner sees it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// As it is called.
    pub name: String,
    /// Other names, short ones first: `dgx-spark`.
    #[serde(default)]
    pub also: Vec<String>,
    /// What kind it is: how memory is shared and how well bandwidth is used.
    pub class: Class,
    /// Boxes linked together, or cards in one machine; 1 for most.
    #[serde(default = "one")]
    pub count: u32,
    /// Whether it stands in a rack: a server, or a card without a fan of its own.
    #[serde(default)]
    pub rack: bool,
    /// Memory for models as sold, of all boxes: a card's own, or the whole of unified memory.
    pub memory_gib: f64,
    /// What can be used of it, where that was measured or is set by a rule of the device; a share
    /// by class where not (see `usable`).
    pub usable_gib: Option<f64>,
    /// Bandwidth of that memory by specification, of all boxes, GB/s.
    pub bandwidth_gbs: f64,
    /// Kind of that memory, where machines of a class reach another share with another kind.
    pub memory_kind: Option<MemoryKind>,
    /// Bandwidth that was measured on one box, GB/s.
    pub bandwidth_measured_gbs: Option<f64>,
    /// Arithmetic without sparsity, all boxes: 16-bit floats, TFLOP/s.
    pub fp16_tflops: Option<f64>,
    /// 8-bit floats.
    pub fp8_tflops: Option<f64>,
    /// 4-bit floats.
    pub fp4_tflops: Option<f64>,
    /// Watts from the wall while it makes tokens, least and most.
    pub load_watts: Option<[f64; 2]>,
    /// Watts from the wall while it waits, least and most.
    pub idle_watts: Option<[f64; 2]>,
    /// Most that it may draw: a card's or power supply's rating.
    pub rated_watts: Option<f64>,
    /// Price in US dollars, least and most.
    pub price_usd: Option<[f64; 2]>,
    /// When and by whom the price was said.
    pub price_source: Option<String>,
    /// Where the other figures come from.
    pub source: String,
    /// When they were read.
    pub date: String,
    /// What else should be known.
    pub note: Option<String>,
}

/// Kinds of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemoryKind {
    /// M1.
    Lpddr4x,
    /// M1 Pro to M3 Ultra.
    Lpddr5,
    /// M4 and later.
    Lpddr5x,
}

/// How a machine's memory is built, and so what share of its bandwidth reaches the kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// NVIDIA GB10: DGX Spark and its siblings.
    Gb10,
    /// AMD Ryzen AI Max: Strix Halo.
    StrixHalo,
    /// Apple's unified memory.
    Apple,
    /// Cards and modules of NVIDIA with GDDR memory of their own.
    Nvidia,
    /// Cards of NVIDIA with HBM: A100, H100 and later.
    NvidiaHbm,
    /// Cards of NVIDIA before tensor cores.
    NvidiaLegacy,
    /// Cards of AMD.
    Amd,
    /// Cards of Intel.
    Intel,
    /// Graphics in the processor, in the machine's memory.
    IntegratedGpu,
    /// The processor alone.
    Cpu,
}

fn one() -> u32 {
    1
}
