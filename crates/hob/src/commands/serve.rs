//! `hob serve`: OpenAI's interface over one model.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Mutex;

use app::LoadOptions;
use clap::{ArgMatches, Args as _, FromArgMatches};

use super::{Context, MODEL_DEFAULT, Row};
use crate::args::{EngineArgs, LoadArgs};
use crate::failure::usage;
use crate::interrupt::Interruptible;
use crate::models;

pub(super) const ROW: Row = Row { name: "serve", place: 1, arguments: Args::augment_args, run };

/// Serve a model to programs, in OpenAI's dialect
///
/// Point a client at http://127.0.0.1:11434/v1 with any key. Ctrl-C lets answers in flight end;
/// a second one ends at once.
#[derive(Debug, clap::Args)]
struct Args {
    /// Address and port
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:11434")]
    listen: SocketAddr,
    /// Name, GGUF file, checkpoint or hub repository
    #[arg(long, short, default_value = MODEL_DEFAULT)]
    model: String,
    /// Conversations that are answered at once
    #[arg(long, value_name = "N", default_value_t = 4)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=256))]
    parallel: u32,
    /// Requests that may wait; more are refused
    #[arg(long, value_name = "N", default_value_t = 64)]
    queue: u32,
    /// Let web pages of this origin in, such as https://chat.example
    #[arg(long, value_name = "ORIGIN", value_parser = origin)]
    allow_origin: Vec<String>,
    /// Let other machines in, although nobody is asked for a key
    #[arg(long)]
    allow_unauthenticated: bool,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    engine: EngineArgs,
}

fn run(matches: &ArgMatches, context: &Context) -> anyhow::Result<()> {
    let args = Args::from_arg_matches(matches)?;
    let terminal = context.terminal;
    if let Some(warning) = check_listen(args.listen, args.allow_unauthenticated)? {
        terminal.say(&format!("{} {warning}", terminal.alarming("warning:")));
    }
    let model = models::find_or_pull(&context.app, &args.model, terminal)?;
    let options = LoadOptions {
        sequences_max: Some(args.parallel),
        queue_len_max: Some(args.queue),
        adapters: args.engine.adapters(false),
        ..args.load.options()
    };
    let options = models::engine_options(&context.app, &args.engine, options, terminal)?;
    let loaded = models::load(&context.app, &model, &options, terminal)?;
    models::tell_notes(&loaded, terminal);
    let name = loaded.name().to_owned();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stop = Mutex::new(Some(stop));
    let _work = Interruptible::new(move || {
        let stop = stop.lock().ok().and_then(|mut stop| stop.take());
        if let Some(stop) = stop {
            // The server may have ended by itself.
            let _ = stop.send(());
        }
    });
    let ready = |address: SocketAddr| {
        // Whoever started hob may not read its output.
        let _ = writeln!(io::stdout(), "{name} is served on http://{address}/v1");
    };
    let wait = async move {
        let _ = stopped.await;
    };
    let options = server::Options { listen: args.listen, allow_origins: args.allow_origin };
    Ok(server::serve(options, context.app.clone(), loaded, ready, wait)?)
}

fn origin(text: &str) -> Result<String, String> {
    let place = text.split_once("://").map_or("", |(_, place)| place.trim_end_matches('/'));
    if place.is_empty() || place.contains('/') {
        return Err("give a scheme and a host, e.g. https://chat.example".to_owned());
    }
    Ok(text.to_owned())
}

/// Other machines are let in only on an explicit wish; the warning to print then.
fn check_listen(
    listen: SocketAddr,
    allow_unauthenticated: bool,
) -> anyhow::Result<Option<&'static str>> {
    if listen.ip().is_loopback() {
        return Ok(None);
    }
    if allow_unauthenticated {
        return Ok(Some(
            "whoever reaches this address can use the model: hob asks for no keys yet",
        ));
    }
    Err(usage(format!(
        "{listen} lets other machines in, and hob asks for no keys yet: listen on 127.0.0.1, or \
         add --allow-unauthenticated if the network is trusted"
    )))
}

#[cfg(test)]
mod tests {
    use super::{check_listen, origin};

    #[test]
    fn origins_are_schemes_and_hosts() {
        for right in ["https://chat.example", "http://box:3000/", "app://obsidian.md"] {
            assert_eq!(origin(right).as_deref(), Ok(right));
        }
        for wrong in ["chat.example", "https://", "https://chat.example/path", "*"] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn other_machines_need_an_explicit_wish() {
        let check = |address: &str, is_allowed| check_listen(address.parse().unwrap(), is_allowed);
        assert_eq!(check("127.0.0.1:11434", false).unwrap(), None);
        assert_eq!(check("[::1]:1", false).unwrap(), None);
        let error = check("0.0.0.0:11434", false).unwrap_err();
        assert!(error.is::<crate::failure::UsageError>());
        assert!(error.to_string().contains("--allow-unauthenticated"), "{error}");
        assert!(check("192.168.1.5:80", true).unwrap().is_some());
    }
}
