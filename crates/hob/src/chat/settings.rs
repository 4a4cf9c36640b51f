//! `/set`: the flags of `hob run`, changed while talking. The flags' own parser reads them, so
//! that both always know the same names and bounds.

use app::{Mirostat, SamplingParams};
use clap::{CommandFactory, Parser};

use crate::args::AnswerArgs;

#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct Flags {
    #[command(flatten)]
    answer: AnswerArgs,
}

/// Changes one setting; the answer says what was done.
///
/// # Errors
/// When there is no such setting, or the value is not one.
pub(crate) fn set(answer: &mut AnswerArgs, name: &str, value: &str) -> anyhow::Result<String> {
    let name = name.trim_start_matches('-').to_lowercase().replace('_', "-");
    let command = Flags::command();
    let known = |argument: &clap::Arg| {
        let aliases = argument.get_visible_aliases().unwrap_or_default();
        argument.get_long() == Some(&name) || aliases.contains(&name.as_str())
    };
    if !command.get_arguments().any(known) {
        let names: Vec<&str> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
        anyhow::bail!("there is no setting `{name}`; there are {}", names.join(", "));
    }
    let mut flags = Flags { answer: answer.clone() };
    flags.try_update_from([format!("--{name}={value}")]).map_err(|error| {
        // The rest of clap's words is about a command line.
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        anyhow::anyhow!("{}", first.trim_start_matches("error: "))
    })?;
    *answer = flags.answer;
    Ok(format!("{name} is {value}"))
}

/// All settings with their values, a line each.
pub(crate) fn list(answer: &AnswerArgs) -> String {
    let params = answer.sampling.params();
    let none = || "none".to_owned();
    let own = || "the model's own".to_owned();
    let on_off = |wish: Option<bool>| {
        wish.map_or_else(own, |is_on| if is_on { "on" } else { "off" }.to_owned())
    };
    let mut rows = vec![
        ("max-tokens", answer.max_tokens.map_or_else(none, |count| count.to_string())),
        ("thinking", on_off(answer.thinking)),
        ("reasoning-effort", answer.reasoning_effort.clone().unwrap_or_else(own)),
        ("show-reasoning", on_off(Some(answer.shows_reasoning()))),
        ("stop", format!("{:?}", answer.stop)),
        ("seed", params.seed.map_or_else(none, |seed| seed.to_string())),
    ];
    rows.extend(sampling_rows(&params));
    let lines = rows.iter().map(|(name, value)| format!("{name:<20} {value}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Name and value of every sampling flag that has a default.
pub(crate) fn sampling_rows(params: &SamplingParams) -> Vec<(&'static str, String)> {
    let mirostat = match params.mirostat {
        Mirostat::Off => 0,
        Mirostat::V1 => 1,
        Mirostat::V2 => 2,
    };
    vec![
        ("temperature", params.temperature.to_string()),
        ("top-k", params.top_k.to_string()),
        ("top-p", params.top_p.to_string()),
        ("min-p", params.min_p.to_string()),
        ("typical-p", params.typical_p.to_string()),
        ("repeat-penalty", params.repeat_penalty.to_string()),
        ("repeat-last-n", params.repeat_last_n.to_string()),
        ("presence-penalty", params.presence_penalty.to_string()),
        ("frequency-penalty", params.frequency_penalty.to_string()),
        ("mirostat", mirostat.to_string()),
        ("mirostat-tau", params.mirostat_tau.to_string()),
        ("mirostat-eta", params.mirostat_eta.to_string()),
        ("dry-multiplier", params.dry.multiplier.to_string()),
        ("dry-base", params.dry.base.to_string()),
        ("dry-allowed-length", params.dry.allowed_length.to_string()),
        ("dry-penalty-last-n", params.dry.penalty_last_n.to_string()),
        ("xtc-probability", params.xtc_probability.to_string()),
        ("xtc-threshold", params.xtc_threshold.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::{Flags, list, sampling_rows, set};
    use crate::args::AnswerArgs;
    use app::SamplingParams;
    use clap::CommandFactory;

    #[test]
    fn setting_one_leaves_the_others() {
        let mut answer = AnswerArgs::default();
        set(&mut answer, "top_p", "0.5").unwrap();
        set(&mut answer, "--temp", "0").unwrap();
        assert_eq!(set(&mut answer, "presence-penalty", "-1").unwrap(), "presence-penalty is -1");
        set(&mut answer, "max-tokens", "9").unwrap();
        let params = answer.sampling.params();
        assert_eq!((params.top_p, params.temperature), (0.5, 0.0));
        assert_eq!((params.presence_penalty, answer.max_tokens), (-1.0, Some(9)));
        assert!(list(&answer).starts_with("max-tokens           9\n"), "{}", list(&answer));
    }

    #[test]
    fn mistakes_change_nothing() {
        let mut answer = AnswerArgs::default();
        let error = set(&mut answer, "tempo", "1").unwrap_err().to_string();
        assert!(error.starts_with("there is no setting `tempo`; there are system,"), "{error}");
        let error = set(&mut answer, "top-p", "3").unwrap_err().to_string();
        assert!(error.contains("'3'") && error.contains("from 0 to 1"), "{error}");
        assert!(set(&mut answer, "max-tokens", "0").is_err());
        assert_eq!(answer.sampling.params(), SamplingParams::default());
    }

    #[test]
    fn help_states_the_true_defaults() {
        let command = Flags::command();
        for (name, value) in sampling_rows(&SamplingParams::default()) {
            let argument = command.get_arguments().find(|a| a.get_long() == Some(name));
            let help = argument.unwrap().get_help().unwrap().to_string();
            assert!(help.ends_with(&format!("[default: {value}]")), "{name}: {help}, not {value}");
        }
    }
}
