//! What is fitted: logarithms of factors of time, each drawn to what was believed before.

use super::regression::{Prior, Term};
use super::sample::Sample;
use crate::machine::Class;
use crate::speed::{
    Engine, REFERENCE_TFLOPS, compute_class, decode_terms, prefill_terms, read_class,
};

/// A number to be found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Parameter<'a> {
    /// Time of reading over what bandwidth would take, of a class.
    Read(Class),
    /// Bits that each weight costs beside its own.
    OverheadBits,
    /// Seconds of a layer on Apple's machines.
    AppleLayer,
    /// Seconds of a layer on others.
    OtherLayer,
    /// Time of layers with experts.
    ExpertLayers,
    /// Time of keys and values without flash attention.
    NoFlashKv,
    /// Time on Apple's machines with memory before LPDDR5X.
    EarlyApple,
    /// Time by engine.
    Engine(Engine),
    /// Time of a machine when it writes.
    DecodeMachine(&'a str),
    /// Time of weights over what arithmetic would take, of a class.
    Compute(Class),
    /// Time of attention over what arithmetic would take, on AMD's.
    AmdAttention,
    /// The same on others.
    OtherAttention,
    /// The same without flash attention.
    NoFlashAttention,
    /// Time of prompts with experts.
    PromptExperts,
    /// Power of the peak on NVIDIA's cards; not a logarithm.
    SizePower,
    /// Time of a machine when it reads.
    PrefillMachine(&'a str),
}

impl Parameter<'_> {
    /// What is believed without measurements: mean and deviation.
    pub(super) fn prior(self) -> Prior {
        let (mean, deviation): (f64, f64) = match self {
            Parameter::Read(class) => (usual_read(class).ln(), 0.3),
            Parameter::OverheadBits => (0.5_f64.ln(), 1.0),
            Parameter::AppleLayer | Parameter::OtherLayer => (20e-6_f64.ln(), 1.0),
            Parameter::ExpertLayers => (1.5_f64.ln(), 0.5),
            Parameter::NoFlashKv => (0.0, 1.0),
            Parameter::Engine(_) | Parameter::EarlyApple => (0.0, 0.2),
            Parameter::DecodeMachine(_) => (0.0, 0.15),
            Parameter::Compute(_) => ((1.0_f64 / 0.33).ln(), 0.3),
            Parameter::AmdAttention | Parameter::OtherAttention | Parameter::NoFlashAttention => {
                (4.0_f64.ln(), 0.7)
            }
            Parameter::PromptExperts => (2.0_f64.ln(), 0.5),
            Parameter::SizePower => (0.15, 0.15),
            Parameter::PrefillMachine(_) => (0.0, 0.20),
        };
        Prior { mean, deviation }
    }
}

/// Time of reading over what the specified bandwidth would take, before any model was measured:
/// as copies take where somebody published that (`data/machines.toml`), else a little longer than
/// those do.
fn usual_read(class: Class) -> f64 {
    match class {
        Class::Gb10 => 273.0 / 232.5,
        Class::StrixHalo => 256.0 / 213.5,
        _ => 1.0 / 0.8,
    }
}

/// Which number of the solution is which parameter.
#[derive(Clone, Debug, Default)]
pub(super) struct Parameters<'a> {
    known: Vec<Parameter<'a>>,
}

impl<'a> Parameters<'a> {
    fn index(&mut self, parameter: Parameter<'a>) -> usize {
        self.position(parameter).unwrap_or_else(|| {
            self.known.push(parameter);
            self.known.len() - 1
        })
    }

    fn position(&self, parameter: Parameter) -> Option<usize> {
        self.known.iter().position(|known| *known == parameter)
    }

    pub(super) fn priors(&self) -> Vec<Prior> {
        self.known.iter().map(|parameter| parameter.prior()).collect()
    }

    /// What a solution says, or what was believed where nothing was measured.
    pub(super) fn value(&self, solution: &[f64], parameter: Parameter) -> f64 {
        self.position(parameter).map_or_else(|| parameter.prior().mean, |index| solution[index])
    }

    /// A solution of other parameters as one of these.
    pub(super) fn translated(&self, from: &Parameters, solution: &[f64]) -> Vec<f64> {
        self.known.iter().map(|parameter| from.value(solution, *parameter)).collect()
    }

    /// Seconds of one token of an answer.
    pub(super) fn decode_terms(&mut self, sample: &'a Sample) -> Vec<Term> {
        let site = sample.site();
        let terms = decode_terms(&sample.demand, site.bandwidth_gbs, sample.context);
        let mut always = vec![Parameter::DecodeMachine(&sample.machine.name)];
        if sample.engine_kind() != Engine::Plain {
            always.push(Parameter::Engine(sample.engine_kind()));
        }
        if site.is_early_apple {
            always.push(Parameter::EarlyApple);
        }
        let read = Parameter::Read(read_class(site.class));
        let layer =
            if site.class == Class::Apple { Parameter::AppleLayer } else { Parameter::OtherLayer };
        let has_experts = sample.demand.routed_share.is_some();
        let routing = has_experts.then_some(Parameter::ExpertLayers);
        let flash = (!sample.has_flash_attention()).then_some(Parameter::NoFlashKv);
        vec![
            self.term(terms.weights_s, &always, [Some(read), None]),
            self.term(terms.bit_s, &always, [Some(read), Some(Parameter::OverheadBits)]),
            self.term(terms.kv_s, &always, [Some(read), flash]),
            self.term(terms.layers, &always, [Some(layer), routing]),
        ]
    }

    /// Seconds of one token of a prompt.
    ///
    /// # Panics
    /// Where the machine's arithmetic is not known.
    pub(super) fn prefill_terms(&mut self, sample: &'a Sample) -> Vec<Term> {
        let site = sample.site();
        let tflops = site.fp16_tflops.expect("only such samples are fitted");
        let terms = prefill_terms(&sample.demand, tflops, sample.context);
        let always = [Parameter::PrefillMachine(&sample.machine.name)];
        let class = compute_class(site.class);
        let has_experts = sample.demand.routed_share.is_some();
        let routing = has_experts.then_some(Parameter::PromptExperts);
        let attention = if !sample.has_flash_attention() {
            Parameter::NoFlashAttention
        } else if class == Class::Amd {
            Parameter::AmdAttention
        } else {
            Parameter::OtherAttention
        };
        let mut equation = vec![
            self.term(terms.weights_s, &always, [Some(Parameter::Compute(class)), routing]),
            self.term(terms.attention_s, &always, [Some(attention), None]),
        ];
        if class == Class::Nvidia {
            let power = (self.index(Parameter::SizePower), (tflops / REFERENCE_TFLOPS).ln());
            equation.iter_mut().for_each(|term| term.factors.push(power));
        }
        equation
    }

    fn term(
        &mut self,
        amount: f64,
        always: &[Parameter<'a>],
        own: [Option<Parameter<'a>>; 2],
    ) -> Term {
        let parameters = always.iter().copied().chain(own.into_iter().flatten());
        let factors = parameters.map(|parameter| (self.index(parameter), 1.0)).collect();
        Term { amount, factors }
    }
}
