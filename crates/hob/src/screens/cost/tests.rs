//! The page's question (docs/planner.md) with its own figures, and what else a screen may say.

use app::planner::cost::{Cloud, Question, Rates, TokenPrice, cost};

use super::super::check::Marks;
use super::{Choice, Other, Report, Said, lines, money, months, price, tokens};

pub(crate) fn cloud(input_usd_per_mtok: f64, output_usd_per_mtok: f64) -> TokenPrice {
    TokenPrice { input_usd_per_mtok, cached_usd_per_mtok: None, output_usd_per_mtok }
}

/// The page's question against another price.
pub(crate) fn question(price: TokenPrice) -> Question {
    let example = Question::worked_example();
    Question { cloud: Cloud { price, ..example.cloud }, ..example }
}

pub(crate) fn report(question: Question) -> Report {
    let frontier =
        Question { cloud: Cloud { price: cloud(3.0, 15.0), ..question.cloud }, ..question.clone() };
    let against_frontier = cost(&frontier);
    Report {
        answer: cost(&question),
        machine: "NVIDIA DGX Spark (GB10)".to_owned(),
        model: "gpt-oss-120b MXFP4".to_owned(),
        choice: Choice::Usual,
        context: 4096,
        batch_range_tps: question.rates.batch.map(|batch| [0.6, 1.5].map(|s| s * batch.decode_tps)),
        is_partly: false,
        is_card: false,
        price: Said::of("2026, article A".to_owned()),
        watts: Said::of("measured on such machines".to_owned()),
        electricity: Said::row(["us", "2026", "docs/planner.md"], None),
        is_usual_cloud: true,
        cloud: Said::row(["llama-3.3-70b", "2026", "docs/planner.md"], Some("an open model")),
        others: vec![Other {
            price: frontier.cloud.price,
            usd_per_month: against_frontier.cloud_usd_per_month,
            break_even: against_frontier.break_even,
            said: Said::row(["frontier", "2026", "docs/planner.md"], None),
        }],
        question,
    }
}

fn screen(report: &Report) -> String {
    let narrow = lines(report, Marks::Signs, 80);
    assert!(narrow.iter().all(|line| line.chars().count() <= 80), "{narrow:#?}");
    let lines = lines(report, Marks::Signs, 120);
    for line in &lines {
        assert!(line.chars().count() <= 100 && line.trim_end() == line, "{line:?}");
    }
    lines.join("\n")
}

/// The line of that name.
fn row(report: &Report, name: &str) -> String {
    let screen = screen(report);
    let row = screen.lines().find(|line| line.trim_start().starts_with(name));
    row.unwrap_or_else(|| panic!("{name} in\n{screen}")).trim().to_owned()
}

#[test]
fn against_an_open_model_it_is_no_way_to_save_money() {
    insta::assert_snapshot!(screen(&report(question(cloud(0.10, 0.32)))), @r"
    10M tokens a day, 80 % read, 20 % written
    gpt-oss-120b MXFP4 on NVIDIA DGX Spark (GB10)
    ✓ it can make the tokens: 2.9 h a day with 32 at once, 10.9 h one after the other
      the usual model, as it fits: --model takes another
      against a usual price: --cloud NAME, or --cloud-in and --cloud-out give another

      speed        reads 1,900 tokens/s, writes 57; with 32 at once 313 (188 to 470); 4k of context
      electricity  $5.00 a month: $2.28 computing at 150 W, $2.72 waiting at 25 W
      energy       0.48 J a token written, 0.13 kWh a million (alone 2.5 J, 0.68 kWh)
      cloud        $44 a month at $0.10 in, $0.32 out (llama-3.3-70b, 2026)
      break-even   ✗ after 10 years: $4,699 at $39 saved a month, which is no way to save money
      a million    $0.016 of electricity, $0.66 with the box over 24 months; $0.14 in the cloud
      24 months    $4,819 here (less perhaps $2,350 for the used box), $1,051 in the cloud

    what changes break-even most:
      prices of the cloud  half: 23 years        double: 4.7 years
      tokens a day         half: 22 years        double: 4.9 years
      price of the box     30 % less: 7.1 years  30 % more: 13 years

    break-even against other prices:
      frontier  $3.00 in, $15.00 out  $1,642 a month  2.9 months  2026, docs/planner.md

    figures by:
      box    $4,699               2026, article A
      power  140 W, 25 W idle     measured on such machines
      kWh    $0.17                us, 2026, docs/planner.md
      cloud  $0.10 in, $0.32 out  llama-3.3-70b, 2026, docs/planner.md (an open model)

    reasons to buy anyway: data stays here, no quota, works offline
    prices are of tokens, not of answers: how good each model is was not reckoned
    ");
}

#[test]
fn what_cannot_be_made_has_no_break_even() {
    let mut dense = question(cloud(0.10, 0.32));
    dense.rates = Rates { prefill_tps: 233.0, decode_tps: 4.7, batch: None };
    let mut report = report(dense);
    report.model = "Llama-3.3-70B Q4_K_M".to_owned();
    report.choice = Choice::Asked;
    report.is_usual_cloud = false;
    insta::assert_snapshot!(screen(&report), @r"
    10M tokens a day, 80 % read, 20 % written
    Llama-3.3-70B Q4_K_M on NVIDIA DGX Spark (GB10)
    ✗ it cannot make the tokens: 127.7 h a day, one request after the other
      1.9M a day in 24 h are the most; it takes 6 boxes
      one request at a time: --batch reckons with several

      speed        reads 233 tokens/s, writes 4.7; 4k of context
      electricity  $17 a month: $17 computing at 140 W, $0 waiting at 25 W
      energy       30 J a token written, 8.3 kWh a million
      cloud        $44 a month at $0.10 in, $0.32 out (llama-3.3-70b, 2026)
      break-even   ✗ none, as the tokens cannot be made: reckon with --boxes 6

    figures by:
      box    $4,699               2026, article A
      power  140 W, 25 W idle     measured on such machines
      kWh    $0.17                us, 2026, docs/planner.md
      cloud  $0.10 in, $0.32 out  llama-3.3-70b, 2026, docs/planner.md (an open model)
    ");
}

#[test]
fn every_kind_of_break_even() {
    let with = |change: &dyn Fn(&mut Question)| {
        let mut question = question(cloud(3.0, 15.0));
        change(&mut question);
        row(&report(question), "break-even")
    };
    let rows = [
        with(&|_| {}),
        with(&|question| question.cloud.price = cloud(0.5, 0.5)),
        with(&|question| question.purchase.price_usd = 0.0),
        with(&|question| question.demand.tokens_per_day = 1e4),
        with(&|question| question.demand.tokens_per_day = 5e4),
        with(&|question| question.demand.tokens_per_day = 1e9),
        with(&|question| question.purchase.boxes = 2),
    ];
    insta::assert_snapshot!(rows.join("\n"), @r"
    break-even   ✓ after 2.9 months: $4,699 at $1,637 saved a month
    break-even   ? after 32.0 months: $4,699 at $147 saved a month
    break-even   ✓ at once: it saves $1,637 a month
    break-even   ✗ never: the cloud takes $1.64 a month, electricity here $3.10
    break-even   ✗ after 77 years: $4,699 at $5.10 saved a month, which is no way to save money
    break-even   ✗ none, as the tokens cannot be made: reckon with --boxes 13
    break-even   ✓ after 5.8 months: $9,398 at $1,633 saved a month
    ");
}

#[test]
fn notes_are_said_only_where_they_matter() {
    let mut report = report(question(cloud(0.5, 1.5)));
    report.question.demand.tokens_per_day = 60e6;
    report.question.demand.cached_share = 0.25;
    report.answer = cost(&report.question);
    (report.is_card, report.is_partly, report.is_usual_cloud) = (true, true, false);
    report.choice = Choice::Largest;
    let screen = screen(&report);
    let first: Vec<&str> = screen.lines().take_while(|line| !line.is_empty()).collect();
    insta::assert_snapshot!(first.join("\n"), @r"
    60M tokens a day, 80 % read (25 % of that cached), 20 % written
    gpt-oss-120b MXFP4 on NVIDIA DGX Spark (GB10)
    ✓ it can make the tokens: 15.9 h a day with 32 at once, 63.7 h one after the other
      the largest model that writes 10 tokens/s there: --model takes another
      if they come evenly: at the busiest hours of a day some will wait
      part of the model stays in the PC's memory, which makes it slow
      price and watts are of the card: the PC around it comes on top
    ");
}

#[test]
fn boxes_share_the_work() {
    let mut both = question(cloud(0.10, 0.32));
    both.demand.tokens_per_day = 100e6;
    both.purchase.boxes = 2;
    let screen = screen(&report(both));
    let first: Vec<&str> = screen.lines().take(3).collect();
    insta::assert_snapshot!(first.join("\n"), @r"
    100M tokens a day, 80 % read, 20 % written
    gpt-oss-120b MXFP4 on 2 x NVIDIA DGX Spark (GB10)
    ✓ they can make the tokens: 14.7 h a day each with 32 at once, 54.6 h one after the other
    ");
}

#[test]
fn nothing_changes_a_box_that_never_pays() {
    let mut question = question(cloud(0.10, 0.32));
    question.demand.tokens_per_day = 1e4;
    let screen = screen(&report(question));
    assert!(screen.contains("\nhalf and double of each figure change nothing: it stays never\n"));
}

#[test]
fn money_is_as_precise_as_it_is_worth_it() {
    let amounts = [0.0, 0.0178, 0.642, 4.932, 43.8, 1641.6].map(money);
    assert_eq!(amounts, ["$0", "$0.018", "$0.64", "$4.93", "$44", "$1,642"]);
    assert_eq!([0.1, 0.075, 15.0, 0.0375].map(price), ["$0.10", "$0.075", "$15.00", "$0.0375"]);
    assert_eq!([10e6, 98_700.0, 999.0, 1.25e9].map(tokens), ["10M", "98.7k", "999", "1,250M"]);
    let times = [0.0, 0.3, 2.87, 32.0, 46.0, 121.0].map(months);
    assert_eq!(times, ["at once", "9 days", "2.9 months", "32.0 months", "3.8 years", "10 years"]);
}
