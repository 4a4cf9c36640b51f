//! Conversations in files: readable JSON that `/load` checks before it believes it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use app::Message;
use serde::{Deserialize, Serialize};

use crate::input;

const FORMAT: &str = "hob conversation";
const VERSION: u32 = 1;
/// Most messages that are believed.
const MESSAGES_MAX: usize = 100_000;
const ROLES: [&str; 3] = ["system", "user", "assistant"];

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    version: u32,
    model: String,
    messages: Vec<Turn>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Turn {
    role: String,
    content: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reasoning: Option<String>,
}

/// Writes the conversation. Another file is never written over, only an older conversation.
///
/// # Errors
/// When the file cannot be written or is something else.
pub(crate) fn save(path: &Path, model: &str, messages: &[Message]) -> anyhow::Result<()> {
    if path.exists() {
        let is_ours = load(path).is_ok();
        ensure!(
            is_ours,
            "{} exists and is not a conversation: choose another name",
            path.display()
        );
    }
    let turn = |message: &Message| Turn {
        role: message.role.clone(),
        content: message.content.clone(),
        reasoning: message.reasoning_content.clone(),
    };
    let file = File {
        format: FORMAT.to_owned(),
        version: VERSION,
        model: model.to_owned(),
        messages: messages.iter().map(turn).collect(),
    };
    let text = serde_json::to_string_pretty(&file)? + "\n";
    // A full disk must not cost the conversation that is there already.
    let part = part_of(path)?;
    let written = fs::write(&part, text).and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        // The error to tell is the first one.
        let _ = fs::remove_file(&part);
    }
    written.with_context(|| format!("cannot write {}", path.display()))
}

fn part_of(path: &Path) -> anyhow::Result<PathBuf> {
    let name = path.file_name().with_context(|| format!("{} is no file", path.display()))?;
    let mut part = name.to_owned();
    part.push(".part");
    Ok(path.with_file_name(part))
}

/// Reads and checks a conversation.
///
/// # Errors
/// When the file cannot be read or is not a conversation.
pub(crate) fn load(path: &Path) -> anyhow::Result<Vec<Message>> {
    let text = input::read_file(path)?;
    check(&text).with_context(|| format!("{} is not a conversation of hob's", path.display()))
}

fn check(text: &str) -> anyhow::Result<Vec<Message>> {
    let file: File = serde_json::from_str(text)?;
    ensure!(file.format == FORMAT, "its format is `{}`, not `{FORMAT}`", file.format);
    ensure!(file.version == VERSION, "it is of version {}: update hob", file.version);
    ensure!(file.messages.len() <= MESSAGES_MAX, "it has more than {MESSAGES_MAX} messages");
    let mut messages = Vec::with_capacity(file.messages.len());
    for (i, turn) in file.messages.iter().enumerate() {
        if !ROLES.contains(&turn.role.as_str()) {
            bail!("message {} has the role `{}`: use {}", i + 1, turn.role, ROLES.join(", "));
        }
        ensure!(turn.role != "system" || i == 0, "message {}: `system` comes first only", i + 1);
        let reasoning_content = turn.reasoning.clone();
        messages.push(Message { reasoning_content, ..Message::new(&turn.role, &turn.content) });
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::{check, load, save};
    use app::Message;

    fn check_wrong(text: &str, part: &str) {
        let error = format!("{:#}", check(text).unwrap_err());
        assert!(error.contains(part), "{error}");
    }

    #[test]
    fn what_was_saved_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("talk.json");
        let messages = [Message::new("system", "Be\nbrief."), Message::new("user", "\"hé\"")];
        save(&path, "smollm2", &messages).unwrap();
        assert_eq!(load(&path).unwrap(), messages);
        save(&path, "smollm2", &messages[..1]).unwrap();
        assert_eq!(load(&path).unwrap(), messages[..1]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("thesis.tex");
        std::fs::write(&path, "years of work").unwrap();
        let error = save(&path, "smollm2", &[]).unwrap_err().to_string();
        assert!(error.contains("is not a conversation: choose another name"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "years of work");
        assert!(save(&folder.path().join("no/such"), "smollm2", &[]).is_err());
    }

    #[test]
    fn files_are_checked() {
        let file = |format: &str, version: u32, role: &str| {
            format!(
                "{{\"format\":\"{format}\",\"version\":{version},\"model\":\"m\",\"messages\":\
                 [{{\"role\":\"user\",\"content\":\"a\"}},\
                 {{\"role\":\"{role}\",\"content\":\"b\"}}]}}"
            )
        };
        assert_eq!(check(&file("hob conversation", 1, "assistant")).unwrap().len(), 2);
        check_wrong("[", "EOF");
        check_wrong("{}", "missing field");
        check_wrong(&file("x", 1, "user"), "its format is `x`");
        check_wrong(&file("hob conversation", 2, "user"), "version 2: update hob");
        check_wrong(&file("hob conversation", 1, "root"), "message 2 has the role `root`");
        check_wrong(&file("hob conversation", 1, "system"), "comes first only");
    }
}
