//! `hob machines`: the table of machines, and which of them do what is needed.

use std::io::{self, Write};

use app::planner::{Coefficients, Need, machines, machines_for};
use clap::{ArgMatches, Args as _, FromArgMatches};

use super::{Context, Reach, Row, check_context};
use crate::screens::machines as screen;
use crate::screens::units::parse_positions;
use crate::text;

pub(super) const ROW: Row = Row { name: "machines", place: 4, arguments: Args::augment_args, run };

/// Context where none is asked for.
const CONTEXT_USUAL: u64 = 8 << 10;

/// Models of an office: what it is for, the model, conversations at once, context.
const TIERS: [(&str, &str, u64, u64); 3] = [
    ("one person", "Qwen3-8B", 1, 8 << 10),
    ("a small office", "gpt-oss-20b", 5, 16 << 10),
    ("an office", "gpt-oss-120b", 12, 16 << 10),
];

/// List machines, or say which of them do what you need
///
/// Prices are in US dollars as published at the time that `--prices` shows, without tax.
#[derive(Debug, clap::Args)]
struct Args {
    /// Model that it must run
    #[arg(long = "for", value_name = "MODEL")]
    model: Option<String>,
    /// Conversations at once
    #[arg(long, value_name = "N", requires = "model")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=10_000))]
    users: Option<u64>,
    /// Tokens of each conversation, e.g. 4096, 32k
    #[arg(long, short, value_name = "N", requires = "model", value_parser = parse_positions)]
    context: Option<u64>,
    /// Tokens per second that each conversation must get
    #[arg(long, value_name = "N", default_value_t = 10.0, value_parser = parse_amount)]
    rate: f64,
    /// US dollars at most
    #[arg(long, value_name = "N", value_parser = parse_amount)]
    budget: Option<f64>,
    /// Watts at most while it writes
    #[arg(long, value_name = "N", value_parser = parse_amount)]
    watts: Option<f64>,
    /// Every machine of the table
    #[arg(long, conflicts_with = "model")]
    list: bool,
    /// When and by whom each price was said
    #[arg(long)]
    prices: bool,
}

fn run(matches: &ArgMatches, context: &Context) -> anyhow::Result<()> {
    let args = Args::from_arg_matches(matches)?;
    let width = context.terminal.columns();
    let mut lines = Vec::new();
    if args.list {
        lines = screen::list(machines(), args.prices, width);
    } else if let Some(name) = &args.model {
        lines = offers(context, &args, (name, args.users.unwrap_or(1), args.context))?;
    } else {
        for (who, model, users, positions) in TIERS {
            lines.push(format!("{who}: {model}, {users} at once"));
            lines.extend(offers(context, &args, (model, users, Some(positions)))?);
            lines.push(String::new());
        }
        lines.push(
            "`hob machines --list` names every machine, `--for MODEL` asks for another".to_owned(),
        );
    }
    let mut out = io::stdout().lock();
    for line in text::within(lines, width) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn offers(
    context: &Context,
    args: &Args,
    (name, users, asked): (&str, u64, Option<u64>),
) -> anyhow::Result<Vec<String>> {
    let subject = context.app.plan_model(name)?.subject;
    let most = subject.facts.context_max;
    let positions = asked.unwrap_or(CONTEXT_USUAL.min(most.max(1)));
    check_context(&subject.facts, positions, Reach::Trained)?;
    let need = Need {
        context: positions,
        users,
        rate_tps: args.rate,
        budget_usd: args.budget,
        watts: args.watts,
    };
    let found = machines_for(&subject, &need, Coefficients::embedded());
    let asked = screen::Asked {
        model: &subject.facts.name,
        context: positions,
        users,
        rate_tps: args.rate,
        prices: args.prices,
    };
    Ok(screen::offers(&asked, &found, context.terminal.columns()))
}

fn parse_amount(text: &str) -> Result<f64, String> {
    let amount: Option<f64> = text.parse().ok();
    let fits = |amount: &f64| amount.is_finite() && *amount >= 0.0;
    amount.filter(fits).ok_or_else(|| "a number such as 20 or 2500".to_owned())
}
