//! `hob machines`: which machines do what is needed, and why others do not.

use app::planner::{Machine, Miss, Offer};

use super::units::{dollars, gib, positions, rate};
use crate::text::{self, Side};

/// Machines that are shown when they do what is needed, and when they do not.
const DO_MAX: usize = 12;
const MISS_MAX: usize = 5;

/// What was asked for, in words.
pub(crate) struct Asked<'a> {
    /// Name of the model.
    pub(crate) model: &'a str,
    /// Tokens of each conversation.
    pub(crate) context: u64,
    /// Conversations at once.
    pub(crate) users: u64,
    /// Tokens per second that each must get.
    pub(crate) rate_tps: f64,
    /// Whether to say who said each price.
    pub(crate) prices: bool,
}

/// Machines for a model: those that do what was asked for, and the nearest that do not.
pub(crate) fn offers(asked: &Asked<'_>, offers: &[Offer], width: usize) -> Vec<String> {
    let is_able = |offer: &&Offer| offer.misses.is_empty();
    let able: Vec<&Offer> = offers.iter().filter(is_able).collect();
    let mut unable: Vec<&Offer> = offers.iter().filter(|offer| !is_able(offer)).collect();
    let mut lines = Vec::new();
    if able.iter().any(|offer| !offer.machine.rack) {
        lines.extend(
            why_these(asked, &able)
                .map_or_else(Vec::new, |why| text::wrapped(&format!("  {why}"), "    ", width)),
        );
        lines.extend(some(&able, asked.prices, width));
        lines.push("  not these, which lack least:".to_owned());
    } else {
        unable.retain(|offer| !offer.machine.rack);
        let why = why_none(&unable);
        lines.extend(text::wrapped(&format!("  {}: {why}", none(asked)), "    ", width));
        if !able.is_empty() {
            lines.push("  in a rack:".to_owned());
            lines.extend(some(&able, asked.prices, width));
        }
        if why_memory(&unable).is_some() {
            let missing = |offer: &&Offer| offer.verdict.memory.available_bytes;
            unable.sort_by_key(|offer| std::cmp::Reverse(missing(offer)));
        }
        lines.push("  nearest:".to_owned());
    }
    let rows: Vec<_> = unable.iter().take(MISS_MAX).map(|offer| row(offer, false)).collect();
    lines.extend(text::table_within(width, &SIDES, &rows, SPARE));
    lines.extend(unknown(offers).map(|line| format!("  {line}")));
    lines
}

fn some(able: &[&Offer], prices: bool, width: usize) -> Vec<String> {
    let rows: Vec<_> = able.iter().take(DO_MAX).map(|offer| row(offer, prices)).collect();
    let mut lines = text::table_within(width, &SIDES, &rows, SPARE);
    if able.len() > DO_MAX {
        lines.push(format!("  and {} more", able.len() - DO_MAX));
    }
    lines
}

fn none(asked: &Asked<'_>) -> String {
    let people = if asked.users > 1 { format!(" x {}", asked.users) } else { String::new() };
    format!(
        "no desk box of the table runs {} with {}{people} of context at {} tokens/s{}",
        asked.model,
        positions(asked.context),
        rate(asked.rate_tps),
        if asked.users > 1 { " each" } else { "" }
    )
}

/// What a machine must have to be among these.
fn why_these(asked: &Asked<'_>, able: &[&Offer]) -> Option<String> {
    let least = able.iter().min_by_key(|offer| offer.verdict.memory.total_bytes)?;
    let verdict = &least.verdict;
    let (people, each) = match asked.users {
        1 => (String::new(), ""),
        users => (format!(" x {users}"), " each"),
    };
    // Bytes that a step reads, so often a second as was asked for.
    let gbs = asked.rate_tps * verdict.token.bandwidth_gbs / verdict.speed.bound_tps;
    Some(format!(
        "why these: {} with {}{people} of context takes {} and more, and {} tokens/s{each} read {} \
         GB/s; of machines that do both the cheapest come first, with the most bits that do it",
        verdict.quant,
        positions(asked.context),
        gib(verdict.memory.total_bytes),
        rate(asked.rate_tps),
        rate(gbs)
    ))
}

/// What all of them lack, or that each lacks something else.
fn why_none(unable: &[&Offer]) -> String {
    why_memory(unable).unwrap_or_else(|| "each lacks what is said beside it".to_owned())
}

/// The memory that is needed against the largest, where none has enough.
fn why_memory(unable: &[&Offer]) -> Option<String> {
    if !unable.iter().all(|offer| offer.misses.contains(&Miss::Memory)) {
        return None;
    }
    let largest = unable.iter().max_by_key(|offer| offer.verdict.memory.available_bytes)?;
    let memory = &largest.verdict.memory;
    Some(format!(
        "it takes {} as {}, and the largest, {}, can give {}",
        gib(memory.total_bytes),
        largest.verdict.quant,
        largest.machine.name,
        gib(memory.available_bytes)
    ))
}

/// How many were left out only because nobody published a figure of them.
fn unknown(offers: &[Offer]) -> Option<String> {
    let is_unknown = |miss: &Miss| matches!(miss, Miss::PriceUnknown | Miss::WattsUnknown);
    let is_it = |offer: &&Offer| !offer.misses.is_empty() && offer.misses.iter().all(is_unknown);
    match offers.iter().filter(is_it).count() {
        0 => None,
        count => {
            Some(format!("{count} more are left out, as nobody published what they cost or draw"))
        }
    }
}

const SIDES: [Side; 6] =
    [Side::Left, Side::Right, Side::Left, Side::Right, Side::Right, Side::Left];

/// Columns that go first where there is no room.
const SPARE: &[(usize, &str)] = &[(3, "memory"), (2, "quant")];

fn row(offer: &Offer, prices: bool) -> Vec<String> {
    let verdict = &offer.verdict;
    let each = if verdict.users > 1 { " each" } else { "" };
    let speed = format!("{} tokens/s{each}", rate(verdict.speed.decode_tps));
    let price = offer.machine.price_usd.map_or_else(|| "price unknown".to_owned(), dollars);
    let misses: Vec<&str> = offer.misses.iter().map(|miss| word(*miss)).collect();
    let last = match (&offer.machine.price_source, prices) {
        (Some(source), true) => source.clone(),
        _ => misses.join(", "),
    };
    let total = gib(verdict.memory.total_bytes);
    vec![format!("  {}", offer.machine.name), price, verdict.quant.clone(), total, speed, last]
}

fn word(miss: Miss) -> &'static str {
    match miss {
        Miss::Memory => "too little memory",
        Miss::Rate => "too slow",
        Miss::Price => "too dear",
        Miss::PriceUnknown => "price unknown",
        Miss::Watts => "draws more",
        Miss::WattsUnknown => "watts unknown",
    }
}

/// Every machine of the table.
pub(crate) fn list(machines: &[Machine], prices: bool, width: usize) -> Vec<String> {
    let row = |machine: &Machine| {
        let short = machine.also.first().cloned().unwrap_or_default();
        let price = machine.price_usd.map_or_else(String::new, dollars);
        let source = machine.price_source.clone().filter(|_| prices).unwrap_or_default();
        vec![
            short,
            machine.name.clone(),
            format!("{:.0} GiB", machine.memory_gib),
            format!("{:.0} GB/s", machine.bandwidth_gbs),
            price,
            source,
        ]
    };
    let sides = [Side::Left, Side::Left, Side::Right, Side::Right, Side::Right, Side::Left];
    let rows: Vec<_> = machines.iter().map(row).collect();
    // Without sources the last column is a number's.
    let columns = if prices { sides.len() } else { sides.len() - 1 };
    let rows: Vec<_> = rows.into_iter().map(|row| row[..columns].to_vec()).collect();
    let spare = [(3, "bandwidth"), (2, "memory"), (0, "short names")];
    text::table_within(width, &sides[..columns], &rows, &spare)
}

#[cfg(test)]
mod tests {
    use app::planner::{Coefficients, Need, Subject, find_model, machines, machines_for};

    use super::{Asked, list, offers};

    fn screen(model: &str, need: &Need, width: usize) -> String {
        let subject = Subject::of_row(find_model(model).unwrap());
        let found = machines_for(&subject, need, Coefficients::embedded());
        let asked = Asked {
            model,
            context: need.context,
            users: need.users,
            rate_tps: need.rate_tps,
            prices: false,
        };
        let lines = offers(&asked, &found, width);
        for line in &lines {
            assert!(line.chars().count() <= width && line.trim_end() == line, "{line:?}");
        }
        lines.join("\n")
    }

    const NEED: Need =
        Need { context: 8192, users: 1, rate_tps: 20.0, budget_usd: None, watts: None };

    #[test]
    fn what_no_desk_box_holds_is_said_with_why() {
        insta::assert_snapshot!(screen("Kimi-K2", &NEED, 120), @"
        no desk box of the table runs Kimi-K2 with 8k of context at 20 tokens/s: it takes 501.1 GiB as GPTQ, and the largest,
          Mac Studio M3 Ultra 512 GB, can give 430.0 GiB
        nearest:
        Mac Studio M3 Ultra 512 GB         $9,999  GPTQ  501.1 GiB   23 tokens/s  too little memory
        4x DGX Spark (switch)             $18,796  GPTQ  502.6 GiB   10 tokens/s  too little memory, too slow
        NVIDIA DGX Station GB300    price unknown  GPTQ  501.4 GiB  107 tokens/s  too little memory
        2x Strix Halo (RPC)                $4,918  GPTQ  501.6 GiB  9.6 tokens/s  too little memory, too slow
        Mac Studio M3 Ultra 256 GB  price unknown  GPTQ  501.1 GiB   23 tokens/s  too little memory
        ");
    }

    #[test]
    fn a_budget_that_nothing_meets_shows_what_comes_nearest() {
        let need = Need { budget_usd: Some(2500.0), ..NEED };
        insta::assert_snapshot!(screen("DeepSeek-R1", &need, 80), @"
        no desk box of the table runs DeepSeek-R1 with 8k of context at 20 tokens/s:
          each lacks what is said beside it
        nearest:
        2x Strix Halo (RPC)              $4,918  8.1 tokens/s  too little memory, too
                                                               slow, too dear
        Beelink GTR9 Pro /      $1,800 to 2,200  8.1 tokens/s  too little memory, too
          Bosgame M5 / HP Z2                                   slow
          Mini G1a (395, 128
          GB)
        GMKtec EVO-X2 (Ryzen    $1,800 to 4,500  8.1 tokens/s  too little memory, too
          AI Max+ 395, 128 GB)                                 slow
        Framework Desktop                $2,459  8.1 tokens/s  too little memory, too
          (Ryzen AI Max+ 395,                                  slow
          128 GB)
        Jetson AGX Thor T5000            $3,499  9.0 tokens/s  too little memory, too
          128 GB                                               slow, too dear
        (no room in 80 columns for memory, quant)
        ");
    }

    #[test]
    fn machines_of_unknown_watts_are_left_out_and_it_is_said() {
        let need = Need { watts: Some(150.0), ..NEED };
        insta::assert_snapshot!(screen("gpt-oss-120b", &need, 80), @"
        why these: MXFP4_MOE with 8k of context takes 59.6 GiB and more, and 20
          tokens/s read 79 GB/s; of machines that do both the cheapest come first,
          with the most bits that do it
        Beelink GTR9 Pro /         $1,800 to 2,200  MXFP4_MOE  59.8 GiB  45 tokens/s
          Bosgame M5 / HP Z2 Mini
          G1a (395, 128 GB)
        GMKtec EVO-X2 (Ryzen AI    $1,800 to 4,500  MXFP4_MOE  59.8 GiB  45 tokens/s
          Max+ 395, 128 GB)
        Framework Desktop (Ryzen            $2,459  MXFP4_MOE  59.8 GiB  45 tokens/s
          AI Max+ 395, 128 GB)
        Acer Veriton GN100 (GB10)  $2,999 to 4,000  MXFP4_MOE  59.9 GiB  48 tokens/s
        ASUS Ascent GX10 (GB10)             $2,999  MXFP4_MOE  59.9 GiB  48 tokens/s
        Dell Pro Max with GB10     $2,999 to 4,000  MXFP4_MOE  59.9 GiB  48 tokens/s
        Gigabyte AI TOP ATOM       $2,999 to 4,000  MXFP4_MOE  59.9 GiB  48 tokens/s
          (GB10)
        HP ZGX Nano G1n (GB10)     $2,999 to 4,000  MXFP4_MOE  59.9 GiB  48 tokens/s
        Lenovo ThinkStation PGX    $2,999 to 4,000  MXFP4_MOE  59.9 GiB  48 tokens/s
          (GB10)
        MSI EdgeXpert (GB10)       $2,999 to 4,000  MXFP4_MOE  59.9 GiB  48 tokens/s
        Jetson AGX Thor T5000 128           $3,499  MXFP4_MOE  59.9 GiB  49 tokens/s
          GB
        Mac Studio M4 Max 128 GB            $3,499  MXFP4_MOE  59.6 GiB  79 tokens/s
        and 1 more
        not these, which lack least:
        Framework Desktop              $1,639  45 tokens/s  too little memory
          (Ryzen AI Max+ 395,
          64 GB)
        Mac mini M4 Pro 64 GB          $2,199  48 tokens/s  too little memory
        Jetson AGX Orin 64 GB          $2,000  16 tokens/s  too little memory, too
                                                            slow
        ASUS NUC 15 Pro+ (Core  price unknown  14 tokens/s  too little memory, too
          Ultra 9 285H, 96 GB                               slow
          DDR5-6400)
        Mini PC Ryzen 7           $399 to 721  13 tokens/s  too little memory, too
          8845HS/8945HS (780M)                              slow
          64 GB
        (no room in 80 columns for memory, quant)
        6 more are left out, as nobody published what they cost or draw
        ");
    }

    #[test]
    fn every_machine_in_any_width() {
        for width in [80, 120] {
            for prices in [false, true] {
                let lines = list(machines(), prices, width);
                assert!(lines.len() >= machines().len());
                assert!(lines.iter().all(|line| line.chars().count() <= width), "{lines:#?}");
            }
        }
    }
}
