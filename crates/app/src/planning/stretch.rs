//! A plan for more positions than a model was trained for.

use std::path::Path;

use super::PlannedModel;
use crate::{Error, LoadOptions, Result, RopeScaling, open};

impl PlannedModel {
    /// Takes it as one that is loaded with this rule. A file or folder that is here holds what the
    /// loader says; of others it is the factor times what is known of them.
    ///
    /// # Errors
    /// `BadRequest` where the loader would refuse it.
    pub fn stretch(&mut self, asked: RopeScaling, context: Option<u64>) -> Result<()> {
        let context_len = context.map(|context| u32::try_from(context).unwrap_or(u32::MAX));
        let options =
            LoadOptions { rope_scaling: Some(asked), context_len, ..LoadOptions::default() };
        let name = self.subject.facts.name.clone();
        let path = match &self.here {
            Some(here) => Some(&*here.path),
            None => Some(Path::new(&name)).filter(|path| checkpoint::is_checkpoint(path)),
        };
        let context_max = match path {
            Some(path) => {
                let file = open::stretched(open::open(path)?, &options)?;
                u64::from(model::spec(&file)?.context_len)
            }
            None => longest(asked, context, self.subject.facts.context_max)?,
        };
        for subject in std::iter::once(&mut self.subject).chain(&mut self.quantised) {
            subject.facts.context_max = context_max;
        }
        self.rope_scaling = Some(asked);
        Ok(())
    }
}

fn longest(asked: RopeScaling, context: Option<u64>, original: u64) -> Result<u64> {
    match (asked.factor, context) {
        (Some(factor), _) => Ok((factor * original as f64) as u64),
        (None, Some(context)) if context >= original => Ok(context),
        (None, _) => {
            let rule = asked.rule.name();
            let message = format!(
                "--rope-scaling {rule} is for more than the {original} tokens of this model: give \
                 a longer --context, or {rule}:FACTOR"
            );
            Err(Error::parameter("rope-scaling", message))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use model::RopeRule;
    use testkit::TinyModel;

    use crate::{App, Config, LoadOptions, RopeScaling, loaded, open};

    fn options(context: u32, asked: Option<(RopeRule, Option<f64>)>) -> LoadOptions {
        let rope_scaling = asked.map(|(rule, factor)| RopeScaling { rule, factor });
        LoadOptions { context_len: Some(context), rope_scaling, ..LoadOptions::default() }
    }

    /// What the loader and the planner say of these options: the bytes of the one, the longest
    /// context of the other.
    fn said(path: &Path, options: &LoadOptions) -> (Result<u64, String>, Result<u64, String>) {
        let reserved = || {
            let file = open::to_load(path, options)?;
            Ok(loaded::memory_need("tiny", &file, options)?.kv_bytes)
        };
        let planned = || {
            let app = App::new(Config::alone(path.parent().expect("a folder").to_owned()))?;
            let mut model = app.plan_model(path.to_str().expect("a name"))?;
            if let Some(asked) = options.rope_scaling {
                model.stretch(asked, options.context_len.map(u64::from))?;
            }
            Ok(model.subject.facts.context_max)
        };
        let told = |error: crate::Error| error.to_string();
        (reserved().map_err(told), planned().map_err(told))
    }

    #[test]
    fn loader_and_planner_hold_the_same() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("tiny.gguf");
        TinyModel::default().write(&path);
        let yarn = |factor| Some((RopeRule::Yarn, factor));
        let plain = said(&path, &options(256, None));
        assert_eq!(plain.1, Ok(256));
        let (reserved, longest) = said(&path, &options(1024, yarn(None)));
        assert_eq!((reserved, longest), (plain.0.map(|bytes| 4 * bytes), Ok(1024)));
        assert_eq!(said(&path, &options(256, yarn(Some(2.5)))).1, Ok(640));
        for (options, expected) in [
            (options(128, yarn(None)), "--rope-scaling yarn is not possible here: a factor of 0.5"),
            (
                options(128, Some((RopeRule::Ntk, Some(1e9)))),
                "--rope-scaling ntk is not possible here: a factor of 1000000000",
            ),
        ] {
            let (load, plan) = said(&path, &options);
            assert_eq!(load.as_ref().err(), plan.as_ref().err());
            assert!(load.as_ref().is_err_and(|it| it.starts_with(expected)), "{load:?}");
        }
        let too_long = |options| said(&path, &options).0.expect_err("too long");
        assert_eq!(
            too_long(options(257, None)),
            "a context of 257 is not possible: tiny was trained for 256; --rope-scaling yarn goes \
             beyond, at a loss"
        );
        assert_eq!(
            too_long(options(600, yarn(Some(2.0)))),
            "a context of 600 is not possible: tiny holds 512 with this --rope-scaling yarn"
        );
    }

    #[test]
    fn models_elsewhere_hold_the_factor_times_what_is_known() {
        let home = tempfile::tempdir().expect("a folder");
        let app = App::new(Config::alone(home.path().to_owned())).expect("a house");
        let longest = |factor, context| {
            let mut model = app.plan_model("Llama-3.1-8B").expect("a row of the table");
            let asked = RopeScaling { rule: RopeRule::Yarn, factor };
            model.stretch(asked, context).map(|()| model.subject.facts.context_max)
        };
        assert_eq!(longest(Some(2.0), None).ok(), Some(262_144));
        assert_eq!(longest(None, Some(200_000)).ok(), Some(200_000));
        let error = longest(None, Some(8192)).expect_err("no more than it has").to_string();
        assert!(error.starts_with("--rope-scaling yarn is for more than the 131072"), "{error}");
    }

    /// Long factors are for those who ask: <https://arxiv.org/abs/2402.13753>.
    #[test]
    fn long_factors_wait_for_a_long_context() {
        let reference = testkit::reference_models().into_iter().find(|it| it.name == "phi3_long");
        let home = tempfile::tempdir().expect("a folder");
        let (path, mut bytes) = (home.path().join("phi.gguf"), Vec::new());
        let writer = reference.expect("a fixture").writer(quant::FormatId::F32);
        writer.write_to(&mut bytes).expect("memory takes all");
        std::fs::write(&path, bytes).expect("a folder");
        let reserved = |options: &LoadOptions| said(&path, options).0;
        assert_eq!(reserved(&LoadOptions::default()), reserved(&options(16, None)));
        assert!(reserved(&options(1024, None)) > reserved(&options(16, None)));
        let error = reserved(&options(1025, None)).expect_err("too long");
        assert_eq!(error, "a context of 1025 is not possible: tiny was trained for 1024");
        let error = reserved(&options(2048, Some((RopeRule::Yarn, None)))).expect_err("its own");
        assert!(error.contains("factors of its own (LongRoPE)"), "{error}");
    }
}
