//! What a typed line means: a message, a part of one, or a slash command. Pure.

/// A slash command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Slash {
    /// Leave.
    Bye,
    /// Forget the conversation.
    Clear,
    /// List the commands.
    Help,
    /// Take a conversation from a file.
    Load(String),
    /// Put the conversation into a file.
    Save(String),
    /// Change a setting; without a name, list those that were changed.
    Set(Option<(String, String)>),
    /// Change the instruction; without a text, show it.
    System(Option<String>),
}

/// For `/help`, in the order of use.
pub(crate) const HELP: &str = "\
/help              this list
/clear             forget the conversation
/system TEXT       give the model an instruction; without TEXT, show it
/set NAME VALUE    change a setting, e.g. /set temperature 0.2; without NAME, list them
/save FILE         keep the conversation in a file
/load FILE         go on with a kept conversation
/bye               leave; so do Ctrl-D, and Ctrl-C twice
\"\"\"                begins and ends a message of several lines
Ctrl-C             stops an answer";

const QUOTES: &str = "\"\"\"";

/// Most bytes of a message of several lines.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// What a line led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// An empty line.
    Nothing,
    /// More lines follow.
    More,
    /// To be answered.
    Message(String),
    /// To be done.
    Slash(Slash),
    /// It cannot be meant so; the line says why.
    Wrong(String),
}

/// Puts lines together.
#[derive(Debug, Default)]
pub(crate) struct Composer {
    open: Option<String>,
}

impl Composer {
    /// Whether a message of several lines has begun.
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Drops what has begun.
    pub(crate) fn reset(&mut self) {
        self.open = None;
    }

    /// Takes the next line.
    pub(crate) fn push(&mut self, line: &str) -> Typed {
        if let Some(mut message) = self.open.take() {
            return self.go_on(&mut message, line);
        }
        let line = line.trim();
        if let Some(rest) = line.strip_prefix(QUOTES) {
            return match rest.strip_suffix(QUOTES) {
                Some(message) => finished(message),
                None => {
                    self.open = Some(rest.to_owned());
                    Typed::More
                }
            };
        }
        if line.starts_with('/') {
            return slash(line).map_or_else(Typed::Wrong, Typed::Slash);
        }
        finished(line)
    }

    fn go_on(&mut self, message: &mut String, line: &str) -> Typed {
        if message.len() + line.len() > MESSAGE_BYTES_MAX {
            return Typed::Wrong(format!(
                "the message is longer than {} MiB and was dropped",
                MESSAGE_BYTES_MAX >> 20
            ));
        }
        let (line, is_end) = match line.trim_end().strip_suffix(QUOTES) {
            Some(line) => (line, true),
            None => (line, false),
        };
        if !message.is_empty() {
            message.push('\n');
        }
        message.push_str(line);
        if is_end {
            return finished(message);
        }
        self.open = Some(std::mem::take(message));
        Typed::More
    }
}

fn finished(message: &str) -> Typed {
    let message = message.trim();
    if message.is_empty() { Typed::Nothing } else { Typed::Message(message.to_owned()) }
}

fn slash(line: &str) -> Result<Slash, String> {
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let text = (!rest.is_empty()).then(|| rest.to_owned());
    let file = || text.clone().ok_or_else(|| format!("{name} needs a file: {name} FILE"));
    let alone = |command: Slash| match &text {
        None => Ok(command),
        Some(rest) => Err(format!("{name} stands alone; `{rest}` is too much")),
    };
    match name {
        "/bye" | "/exit" | "/quit" => alone(Slash::Bye),
        "/clear" => alone(Slash::Clear),
        "/help" | "/?" => alone(Slash::Help),
        "/load" => file().map(Slash::Load),
        "/save" => file().map(Slash::Save),
        "/set" => setting(rest),
        "/system" => Ok(Slash::System(text)),
        _ => Err(format!(
            "there is no {name}: /help lists the commands; a message that begins with / goes \
             between {QUOTES}"
        )),
    }
}

fn setting(rest: &str) -> Result<Slash, String> {
    if rest.is_empty() {
        return Ok(Slash::Set(None));
    }
    let (name, value) = rest.split_once([' ', '\t', '=']).unwrap_or((rest, ""));
    let value = value.trim();
    if value.is_empty() {
        return Err(format!("/set {name} needs a value: /set {name} VALUE"));
    }
    Ok(Slash::Set(Some((name.to_owned(), value.to_owned()))))
}

#[cfg(test)]
mod tests {
    use super::{Composer, MESSAGE_BYTES_MAX, Slash, Typed};

    fn typed(lines: &[&str]) -> Typed {
        let mut composer = Composer::default();
        let (last, before) = lines.split_last().unwrap();
        for line in before {
            assert_eq!(composer.push(line), Typed::More, "{line}");
            assert!(composer.is_open());
        }
        composer.push(last)
    }

    fn check(line: &str, expect: Slash) {
        assert_eq!(typed(&[line]), Typed::Slash(expect), "{line}");
    }

    fn check_wrong(line: &str, part: &str) {
        match typed(&[line]) {
            Typed::Wrong(why) => assert!(why.contains(part), "{why}"),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn commands() {
        check("/bye", Slash::Bye);
        check("  /clear ", Slash::Clear);
        check("/help", Slash::Help);
        check("/system", Slash::System(None));
        check("/system Be  brief.", Slash::System(Some("Be  brief.".to_owned())));
        check("/save my talk.json", Slash::Save("my talk.json".to_owned()));
        check("/load a.json", Slash::Load("a.json".to_owned()));
        check("/set", Slash::Set(None));
        let set = |name: &str, value: &str| Slash::Set(Some((name.to_owned(), value.to_owned())));
        check("/set top_p 0.9", set("top_p", "0.9"));
        check("/set top-p=0.9", set("top-p", "0.9"));
        check("/set stop a b", set("stop", "a b"));
    }

    #[test]
    fn mistakes_are_explained() {
        check_wrong("/foo bar", "there is no /foo: /help lists the commands");
        check_wrong("/save", "/save needs a file: /save FILE");
        check_wrong("/set seed", "/set seed VALUE");
        check_wrong("/clear all", "`all` is too much");
    }

    #[test]
    fn messages() {
        assert_eq!(typed(&[" hi "]), Typed::Message("hi".to_owned()));
        assert_eq!(typed(&["  "]), Typed::Nothing);
        assert_eq!(
            typed(&["\"\"\"/etc is a folder\"\"\""]),
            Typed::Message("/etc is a folder".to_owned())
        );
        assert_eq!(
            typed(&["\"\"\"a", "  b", "", "c\"\"\" "]),
            Typed::Message("a\n  b\n\nc".to_owned())
        );
        assert_eq!(typed(&["\"\"\"", "/bye", "\"\"\""]), Typed::Message("/bye".to_owned()));
        assert_eq!(typed(&["\"\"\"", "\"\"\""]), Typed::Nothing);
    }

    #[test]
    fn messages_are_bounded() {
        let mut composer = Composer::default();
        composer.push("\"\"\"x");
        let long = "y".repeat(MESSAGE_BYTES_MAX);
        assert!(matches!(composer.push(&long), Typed::Wrong(_)));
        assert!(!composer.is_open());
    }
}
