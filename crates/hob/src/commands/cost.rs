//! `hob cost`: whether a machine can make the tokens, what they cost there and in the cloud, and
//! when it has paid for itself.

mod object;
mod parse;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use app::planner::cost::prices::{self, PRICES_BYTES_MAX, Prices};
use app::planner::cost::{
    Batch, Cloud, Demand, Purchase, Question, Rates, TokenPrice, Watts, cost,
};
use app::planner::{
    Engine, Fit, KvType, Machine, Quantisation, Task, Verdict, Wish, models_for, recommended,
};
use app::planning::{Place, PlannedModel};
use clap::{ArgMatches, Args as _, FromArgMatches};

use super::{Context, Reach, Row, check_context};
use crate::failure::usage;
use crate::screens::check::Marks;
use crate::screens::cost::{self as screen, Choice, Other, Report, Said};
use crate::screens::units::{dollars, gib, parse_positions, positions};

pub(super) const ROW: Row = Row { name: "cost", place: 5, arguments: Args::augment_args, run };

/// The model where none is named and it fits.
const MODEL_USUAL: &str = "gpt-oss-120b";
/// The cloud's price where none is given.
const CLOUD_USUAL: &str = "llama-3.3-70b";
/// Requests at once where none are given: no more were measured.
const BATCH_MAX: u64 = 32;

/// Say what tokens cost on a machine and in the cloud, and when it pays
///
/// First of all whether the machine can make them. Money is US dollars, tax and labour are left
/// out. Prices are a dated snapshot, which `--prices` overrides by a file of the same form.
#[derive(Debug, clap::Args)]
struct Args {
    /// Tokens read and written in a day, e.g. 500k, 10M
    #[arg(long, value_name = "N", value_parser = parse::tokens)]
    tokens_per_day: f64,
    /// Percent of them that are read, and that are written
    #[arg(long, value_name = "IN/OUT", default_value = "80/20", value_parser = parse::mix)]
    mix: f64,
    /// Percent of those read that a cache has already, here and in the cloud
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = parse::percent)]
    cached: f64,
    /// Machine, e.g. dgx-spark (`hob machines --list` names them); this one when none is given
    #[arg(long, value_name = "MACHINE")]
    on: Option<String>,
    /// Machines of it
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    boxes: u32,
    /// Model; gpt-oss-120b when none is given, or the largest that talks fluently there
    #[arg(long, short)]
    model: Option<String>,
    /// How weights are stored, e.g. Q4_K_M; the best that runs well when none is given
    #[arg(long, value_name = "NAME")]
    quant: Option<String>,
    /// Tokens of a request and its answer together: the more, the slower
    #[arg(long, short, value_name = "N", default_value = "4k", value_parser = parse_positions)]
    context: u64,
    /// Requests at once; as many as get 10 tokens/s each, at most 32, when none are given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    batch: Option<u64>,
    /// Dollars of a million tokens read in the cloud
    #[arg(long, value_name = "USD", value_parser = parse::dollars)]
    #[arg(requires = "cloud_out", conflicts_with = "cloud")]
    cloud_in: Option<f64>,
    /// Dollars of a million tokens written there
    #[arg(long, value_name = "USD", requires = "cloud_in", value_parser = parse::dollars)]
    cloud_out: Option<f64>,
    /// Dollars of a million tokens read there that it has cached; as others when none are given
    #[arg(long, value_name = "USD", requires = "cloud_in", value_parser = parse::dollars)]
    cloud_cached: Option<f64>,
    /// Name of a cloud's price in the table or in --prices [default: llama-3.3-70b]
    #[arg(long, value_name = "NAME")]
    cloud: Option<String>,
    /// Dollars of a kWh, or a name of the table: us, eu, de
    #[arg(long, value_name = "USD|NAME", default_value = "us")]
    electricity: String,
    /// What one machine draws while it computes, and while it waits
    #[arg(long, value_name = "LOAD[,IDLE]", value_parser = parse::watts)]
    watts: Option<(f64, Option<f64>)>,
    /// Dollars of one machine; 0 for one that is yours already
    #[arg(long, value_name = "USD", value_parser = parse::dollars)]
    price: Option<f64>,
    /// Months over which all is added up
    #[arg(long, value_name = "N", default_value = "24", value_parser = parse::number)]
    months: f64,
    /// Hours of a day that it is on
    #[arg(long, value_name = "N", default_value = "24", value_parser = parse::number)]
    hours: f64,
    /// Prices of your own, in a TOML file of [[cloud]], [[electricity]] and [[currency]]
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

fn run(matches: &ArgMatches, context: &Context) -> anyhow::Result<()> {
    let args = Args::from_arg_matches(matches)?;
    let report = report(&args, context)?;
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &object::object(&report))?;
        return Ok(writeln!(out)?);
    }
    let width = context.terminal.columns();
    for line in screen::lines(&report, Marks::of(context.settings.looks), width) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn report(args: &Args, context: &Context) -> anyhow::Result<Report> {
    let prices = all_prices(args.prices.as_deref())?;
    let (cloud_price, cloud) = cloud(args, &prices)?;
    let (electricity_usd_per_kwh, electricity) = electricity(&args.electricity, &prices)?;
    let place = context.app.plan_place(args.on.as_deref())?;
    let bought = Bought::of(args, &place.machine)?;
    let work = Work::plan(args, context, &place)?;
    let question = Question {
        demand: Demand {
            tokens_per_day: args.tokens_per_day,
            input_share: args.mix,
            cached_share: args.cached,
        },
        rates: work.rates(&place)?,
        watts: bought.watts,
        hours_on_per_day: args.hours,
        purchase: Purchase {
            boxes: args.boxes,
            price_usd: bought.price_usd,
            residual_usd: 0.0,
            labour_usd_per_month: 0.0,
        },
        electricity_usd_per_kwh,
        cloud: Cloud { price: cloud_price, subscriptions_usd_per_month: 0.0, fall_per_month: 0.0 },
        months: args.months,
    };
    question.check().map_err(|error| usage(error.to_string()))?;
    Ok(Report {
        answer: cost(&question),
        others: others(&question, &prices, &cloud),
        question,
        machine: place.machine.name.clone(),
        model: format!("{} {}", work.alone.model, work.alone.quant),
        choice: work.choice,
        context: args.context,
        batch_range_tps: work.batch_range_tps(),
        is_partly: work.alone.verdict == Fit::Partly,
        is_card: place.machine.class.is_card() && (args.price.is_none() || args.watts.is_none()),
        price: bought.price_said,
        watts: bought.watts_said,
        electricity,
        is_usual_cloud: args.cloud.is_none() && args.cloud_in.is_none(),
        cloud,
    })
}

/// The snapshot, with the user's own prices over it.
fn all_prices(own: Option<&Path>) -> anyhow::Result<Prices> {
    let snapshot = Prices::snapshot();
    let Some(path) = own else { return Ok(snapshot) };
    let named = || format!("reading {}", path.display());
    let mut text = String::new();
    // One byte more than is allowed shows that there is more.
    let limit = PRICES_BYTES_MAX as u64 + 1;
    let file = File::open(path).with_context(named)?;
    file.take(limit).read_to_string(&mut text).with_context(named)?;
    let own =
        Prices::parse(&text).map_err(|error| anyhow!(one_line(&error))).with_context(named)?;
    Ok(snapshot.merge(own))
}

/// A parser's message without the picture of the place.
fn one_line(error: &prices::Error) -> String {
    let text = error.to_string();
    let is_picture = |line: &&str| {
        let rest = line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit());
        rest.trim_start().starts_with('|') || rest.trim().is_empty()
    };
    text.lines().filter(|line| !is_picture(line)).collect::<Vec<_>>().join(": ")
}

fn cloud(args: &Args, prices: &Prices) -> anyhow::Result<(TokenPrice, Said)> {
    if let (Some(input_usd_per_mtok), Some(output_usd_per_mtok)) = (args.cloud_in, args.cloud_out) {
        let cached_usd_per_mtok = args.cloud_cached;
        let price = TokenPrice { input_usd_per_mtok, cached_usd_per_mtok, output_usd_per_mtok };
        return Ok((price, Said::yours()));
    }
    let name = args.cloud.as_deref().unwrap_or(CLOUD_USUAL);
    let row = prices
        .cloud(name)
        .map_err(|error| usage(format!("{error}, or give --cloud-in and --cloud-out")))?;
    Ok((row.price(), Said::row([&row.name, &row.date, &row.source], row.note.as_deref())))
}

fn electricity(asked: &str, prices: &Prices) -> anyhow::Result<(f64, Said)> {
    if let Ok(usd) = parse::dollars(asked) {
        return Ok((usd, Said::yours()));
    }
    let row = prices
        .electricity(asked)
        .map_err(|error| usage(format!("{error}, or give dollars of a kWh, e.g. 0.17")))?;
    let usd = prices.electricity_usd_per_kwh(row).map_err(|error| usage(error.to_string()))?;
    let mut said = Said::row([&row.name, &row.date, &row.source], row.note.as_deref());
    let money = prices.currency.iter().find(|money| money.name.eq_ignore_ascii_case(&row.currency));
    if let Some(money) = money {
        said.source += &format!("; 1 {} as ${} by {}", money.name, money.usd, money.source);
    }
    Ok((usd, said))
}

/// What one machine costs and draws, as given, else as published.
struct Bought {
    price_usd: f64,
    price_said: Said,
    watts: Watts,
    watts_said: Said,
}

impl Bought {
    fn of(args: &Args, machine: &Machine) -> anyhow::Result<Bought> {
        let middle = |[low, high]: [f64; 2]| f64::midpoint(low, high);
        let (given_load, given_idle) = match args.watts {
            Some((load, idle)) => (Some(load), idle),
            None => (None, None),
        };
        let load = given_load.or(machine.load_watts.map(middle)).or(machine.rated_watts);
        let idle = given_idle.or(machine.idle_watts.map(middle));
        let price = args.price.or(machine.price_usd.map(middle));
        let mut missing = Vec::new();
        if load.is_none() || idle.is_none() {
            missing.push("draws (give --watts LOAD,IDLE)");
        }
        if price.is_none() {
            missing.push("costs (give --price USD, 0 if it is yours already)");
        }
        let (Some(load), Some(idle), Some(price_usd)) = (load, idle, price) else {
            let missing = missing.join(" and ");
            return Err(usage(format!("nobody published what {} {missing}", machine.name)));
        };
        let watts_said = match (given_load, given_idle, machine.load_watts) {
            (Some(_), Some(_), _) => "yours",
            (Some(_), None, _) => "yours, and idle as measured on such machines",
            (None, _, Some(_)) => "measured on such machines, the middle of what was found",
            (None, _, None) => "its rating, which is the most that it draws; idle as measured",
        };
        let price_said = match (args.price, machine.price_usd, &machine.price_source) {
            (None, Some([low, high]), Some(source)) if low < high => {
                Said::of(format!("the middle of {}: {source}", dollars([low, high])))
            }
            (None, _, Some(source)) => Said::of(source.clone()),
            _ => Said::yours(),
        };
        let watts = Watts { load, idle };
        Ok(Bought { price_usd, price_said, watts, watts_said: Said::of(watts_said.to_owned()) })
    }
}

/// The model on the machine, alone and with several requests at once.
struct Work {
    choice: Choice,
    alone: Verdict,
    batched: Option<Verdict>,
}

impl Work {
    fn plan(args: &Args, context: &Context, place: &Place) -> anyhow::Result<Work> {
        let (mut model, choice) = match &args.model {
            Some(name) => (context.app.plan_model(name)?, Choice::Asked),
            None => usual_model(args, context, place)?,
        };
        if args.quant.is_some() {
            model.quantise();
        }
        check_context(&model.subject.facts, args.context, Reach::Trained)?;
        let wish = wish(args, &model, place)?;
        let alone = context.app.plan(&model, place, &wish)?;
        if alone.verdict == Fit::No {
            return Err(too_large(&alone));
        }
        let users = args.batch.unwrap_or(alone.users_max.min(BATCH_MAX));
        let batch = Wish { users, ..wish };
        let batched = (users > 1).then(|| context.app.plan(&model, place, &batch)).transpose()?;
        if batched.as_ref().is_some_and(|batched| !is_as_large(batched, &alone)) {
            return Err(usage(format!(
                "{users} requests of {} at once do not fit: give --batch or --context less",
                positions(args.context)
            )));
        }
        Ok(Work { choice, alone, batched })
    }

    /// Nine of ten batches are between, tokens per second together.
    fn batch_range_tps(&self) -> Option<[f64; 2]> {
        let verdict = self.batched.as_ref()?;
        let speed = &verdict.speed;
        Some([speed.decode_low, speed.decode_high].map(|tps| tps * verdict.users as f64))
    }

    /// Of one box.
    fn rates(&self, place: &Place) -> anyhow::Result<Rates> {
        let name = &place.machine.name;
        let prefill_tps = self.alone.speed.prefill_tps.ok_or_else(|| {
            let hint = if place.is_here { ": `hob calibrate` measures it" } else { "" };
            anyhow!("how fast {name} reads is not known{hint}")
        })?;
        let batch = self.batched.as_ref().map(|verdict| Batch {
            streams: u32::try_from(verdict.users).unwrap_or(u32::MAX),
            decode_tps: verdict.speed.total_tps,
            load_watts: None,
        });
        Ok(Rates { prefill_tps, decode_tps: self.alone.speed.decode_tps, batch })
    }
}

/// Whether several at once fit where one does.
fn is_as_large(batched: &Verdict, alone: &Verdict) -> bool {
    batched.verdict > Fit::Partly || (batched.verdict == alone.verdict)
}

/// The usual model if it fits, else the largest that writes as fast as one reads.
fn usual_model(
    args: &Args,
    context: &Context,
    place: &Place,
) -> anyhow::Result<(PlannedModel, Choice)> {
    let usual = context.app.plan_model(MODEL_USUAL)?;
    let verdict = context.app.plan(&usual, place, &wish(args, &usual, place)?)?;
    if verdict.verdict > Fit::Partly {
        return Ok((usual, Choice::Usual));
    }
    let picks = models_for(&place.machine, place.knowledge.coefficients, 1);
    let pick = picks.into_iter().find(|pick| pick.task == Task::Chat).ok_or_else(|| {
        usage(format!(
            "no model of the table runs well on {}: name one with --model",
            verdict.machine
        ))
    })?;
    Ok((context.app.plan_model(&pick.verdict.model)?, Choice::Largest))
}

fn wish(args: &Args, model: &PlannedModel, place: &Place) -> anyhow::Result<Wish> {
    let subject = &model.subject;
    let any = Quantisation::from_name("Q4_K_M").expect("a name of the table");
    let (context, kv) = (args.context, KvType::F16);
    let wish = Wish { context, users: 1, kv, quantisation: any, engine: Engine::Plain };
    let quantisation = match &args.quant {
        None => model
            .fetched
            .unwrap_or_else(|| recommended(subject, &place.machine, &wish, &place.knowledge)),
        Some(_) if subject.file_quant().is_some() => {
            return Err(usage(format!("{} is a file: leave --quant out", subject.facts.name)));
        }
        Some(name) => Quantisation::from_name(name).ok_or_else(|| {
            usage(format!("no quantisation is called {name}: known are e.g. Q4_K_M, Q8_0, MXFP4"))
        })?,
    };
    Ok(Wish { quantisation, ..wish })
}

fn too_large(verdict: &Verdict) -> anyhow::Error {
    usage(format!(
        "{} {} takes {} with {} of context, and {} has {} for it: give another --model, --quant or \
         --context",
        verdict.model,
        verdict.quant,
        gib(verdict.memory.total_bytes),
        positions(verdict.context),
        verdict.machine,
        gib(verdict.memory.available_bytes)
    ))
}

/// The same against every other price of the table.
fn others(question: &Question, prices: &Prices, used: &Said) -> Vec<Other> {
    let rows = prices.cloud.iter().filter(|row| used.name.as_deref() != Some(row.name.as_str()));
    rows.map(|row| {
        let mut question = question.clone();
        question.cloud.price = row.price();
        let answer = cost(&question);
        Other {
            price: row.price(),
            usd_per_month: answer.cloud_usd_per_month,
            break_even: answer.break_even,
            said: Said::row([&row.name, &row.date, &row.source], row.note.as_deref()),
        }
    })
    .collect()
}

#[cfg(test)]
mod tests;
