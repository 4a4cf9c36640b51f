//! `hob top`: what a running hob does, live in the terminal.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use anyhow::Context as _;
use app::App;
use clap::{ArgMatches, Args as _, FromArgMatches};
use server::HouseStatus;

use super::{Context, Row};
use crate::failure::usage;
use crate::interrupt::Interruptible;
use crate::live::{self, Live};
use crate::screens::top::{Picture, frame};

pub(super) const ROW: Row = Row { name: "top", place: 9, arguments: Args::augment_args, run };

/// Show what a running hob does: speed, queue, memory, heat, watts
///
/// Looks at the `hob serve` of this machine each second; another one is asked only where --url
/// names it. q or Ctrl-C leaves. It shows no text of any prompt or answer. How joules are shared
/// among requests is told in docs/metrics.md.
#[derive(Debug, clap::Args)]
struct Args {
    /// Server to look at, as http://HOST:PORT
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:11434")]
    url: String,
    /// Print one picture and end
    #[arg(long)]
    once: bool,
    /// Print the figures as JSON and end
    #[arg(long)]
    json: bool,
}

/// From one look to the next.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a key or a new window size may go unnoticed.
const KEYS: Duration = Duration::from_millis(200);
/// Columns of a picture that is printed to no terminal.
const WIDTH_DEFAULT: usize = 80;
/// Keys that leave: Ctrl-C, Ctrl-D, q, Q.
const LEAVING: [u8; 4] = [3, 4, b'q', b'Q'];

fn run(matches: &ArgMatches, context: &Context) -> anyhow::Result<()> {
    let args = Args::from_arg_matches(matches)?;
    let (app, terminal) = (&context.app, context.terminal);
    let is_live = !args.once && !args.json;
    if is_live && !(terminal.stdin && terminal.stdout && terminal.can_move_cursor()) {
        return Err(usage("a live picture needs a terminal: add --once, or --json for programs"));
    }
    let url = args.url.trim_end_matches('/');
    let text = app.ask_status(url)?;
    let status = parse(&text, url)?;
    let mut out = io::stdout().lock();
    if args.json {
        let figures: serde_json::Value = serde_json::from_str(&text)?;
        serde_json::to_writer_pretty(&mut out, &figures)?;
        return Ok(writeln!(out)?);
    }
    if args.once {
        let width = if terminal.stdout { live::size().0 } else { WIDTH_DEFAULT };
        for line in frame(&Picture { url, status: &status, fault: None }, width, None) {
            writeln!(out, "{}", line.plain())?;
        }
        return Ok(());
    }
    drop(out);
    watch(context, url, status)
}

/// Draws until somebody leaves.
fn watch(context: &Context, url: &str, mut status: HouseStatus) -> anyhow::Result<()> {
    let (news, _looking) = look(context.app.clone(), url.to_owned())?;
    let work = Interruptible::new(|| ());
    let live = Live::open().context("the terminal cannot be taken over")?;
    let (mut fault, mut drawn) = (None, None);
    loop {
        let news = news.try_iter().last();
        let is_news = news.is_some();
        match news {
            Some(Ok(newer)) => (status, fault) = (newer, None),
            Some(Err(error)) => fault = Some(error),
            None => {}
        }
        let size = live::size();
        if is_news || drawn != Some(size) {
            let picture = Picture { url, status: &status, fault: fault.as_deref() };
            let lines = frame(&picture, size.0, Some(size.1));
            let style = |paint, text: &str| context.terminal.painted(paint, text);
            live.show(&lines.iter().map(|line| line.styled(&style)).collect::<Vec<_>>())?;
            drawn = Some(size);
        }
        let keys = live.keys(KEYS)?;
        if work.is_pressed() || keys.iter().any(|key| LEAVING.contains(key)) {
            return Ok(());
        }
    }
}

/// What came of a look.
type News = Result<HouseStatus, String>;

/// Asks again and again on a thread of its own, so that a server that hangs does not hold up a key.
/// It ends when the sender is dropped.
fn look(app: App, url: String) -> io::Result<(Receiver<News>, Sender<()>)> {
    let (tell, news) = channel();
    let (looking, stop) = channel::<()>();
    std::thread::Builder::new().name("hob-top".to_owned()).spawn(move || {
        while stop.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
            let answer = app.ask_status(&url).map_err(anyhow::Error::from);
            let answer = answer.and_then(|text| parse(&text, &url));
            if tell.send(answer.map_err(|error| error.to_string())).is_err() {
                return;
            }
        }
    })?;
    Ok((news, looking))
}

fn parse(text: &str, url: &str) -> anyhow::Result<HouseStatus> {
    serde_json::from_str(text).map_err(|_| {
        anyhow::anyhow!("what serves at {url} does not answer as a hob: name another with --url")
    })
}
