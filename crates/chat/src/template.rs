//! Jinja as Hugging Face's `apply_chat_template` runs it: trimmed blocks, loop controls, Python's
//! string and list methods, `raise_exception`, `strftime_now`, `tojson`.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value};
use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use serde_json::{Map, json};

use crate::limits::{FUEL, OUTPUT_BYTES_MAX, RECURSION_MAX, SOURCE_BYTES_MAX};
use crate::{Error, Message, Result};

const NAME: &str = "chat template";
/// Marks an error as the template's own words, not an accident.
const REFUSED: &str = "refused: ";
/// Where a model brings no template: the most widely known form.
const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + \
                      message['content'] + '<|im_end|>\n' }}{% endfor %}\
                      {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// A compiled template.
pub struct Template {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

/// What a rendering may be told besides the messages.
#[derive(Clone, Debug, Default)]
pub struct RenderOptions {
    /// Whether the assistant's turn is opened at the end.
    pub add_generation_prompt: bool,
    /// Tools in OpenAI's shape.
    pub tools: Option<serde_json::Value>,
    /// More variables for the template, such as `enable_thinking`.
    pub extra: Map<String, serde_json::Value>,
    /// Today as the template should see it: `(year, month, day)`; a fixed day where none is given.
    pub today: Option<(i32, u32, u32)>,
}

impl Template {
    /// Compiles a template; `bos` and `eos` are the texts of the model's special tokens.
    ///
    /// # Errors
    /// When it is not valid, with the line.
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<Template> {
        if source.len() > SOURCE_BYTES_MAX {
            let len = source.len();
            return Err(Error::TooLarge(format!(
                "has {len} bytes; {SOURCE_BYTES_MAX} are the most"
            )));
        }
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.expect("the usual delimiters are valid"));
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(RECURSION_MAX);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_filter("tojson", to_json);
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(|error| Error::Invalid(describe(&error)))?;
        Ok(Template { environment, bos: bos.to_owned(), eos: eos.to_owned() })
    }

    /// ChatML, for models that bring no template.
    ///
    /// # Panics
    /// Never: the template is hob's own and tested.
    #[must_use]
    pub fn chatml() -> Template {
        Template::new(CHATML, "", "").expect("hob's own template is valid")
    }

    /// The prompt for a conversation.
    ///
    /// # Errors
    /// When the template refuses the messages or fails.
    pub fn render(&self, messages: &[Message], options: &RenderOptions) -> Result<String> {
        let mut context = options.extra.clone();
        context.insert("messages".to_owned(), messages.iter().map(as_json).collect());
        context.insert("add_generation_prompt".to_owned(), options.add_generation_prompt.into());
        context.insert("bos_token".to_owned(), self.bos.clone().into());
        context.insert("eos_token".to_owned(), self.eos.clone().into());
        if let Some(tools) = &options.tools {
            context.insert("tools".to_owned(), tools.clone());
        }
        let mut environment = self.environment.clone();
        let today = options.today.unwrap_or((2024, 7, 26));
        environment.add_function("strftime_now", move |format: &str| strftime(format, today));
        let template = environment.get_template(NAME).expect("compiled by `new`");
        let text = template.render(Value::from(Serde(&context))).map_err(|error| match error
            .detail()
            .and_then(|detail| detail.strip_prefix(REFUSED))
        {
            Some(words) => Error::Refused(words.to_owned()),
            None => Error::Failed(describe(&error)),
        })?;
        if text.len() > OUTPUT_BYTES_MAX {
            let len = text.len();
            return Err(Error::TooLarge(format!(
                "made {len} bytes; {OUTPUT_BYTES_MAX} are the most"
            )));
        }
        Ok(text)
    }
}

fn describe(error: &minijinja::Error) -> String {
    let line = error.line().map_or_else(String::new, |line| format!("line {line}: "));
    let detail = error.detail().map_or_else(String::new, |detail| format!(": {detail}"));
    format!("{line}{}{detail}", error.kind())
}

fn raise_exception(words: &str) -> std::result::Result<Value, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, format!("{REFUSED}{words}")))
}

/// A message with the fields it has: templates ask `if message.tool_calls`.
fn as_json(message: &Message) -> serde_json::Value {
    let mut value = json!({ "role": message.role, "content": message.content });
    let optional = [
        ("tool_calls", message.tool_calls.clone()),
        ("tool_call_id", message.tool_call_id.clone().map(Into::into)),
        ("name", message.name.clone().map(Into::into)),
    ];
    for (key, field) in optional {
        if let Some(field) = field {
            value[key] = field;
        }
    }
    value
}

/// Python's `json.dumps`: `", "` and `": "` between, letters as they are; `indent` as asked.
fn to_json(value: &Value, options: Kwargs) -> std::result::Result<Value, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    // Escaping is for web pages; a prompt is none.
    let _: Option<bool> = options.get("ensure_ascii")?;
    let _: Option<Value> = options.get("separators")?;
    let _: Option<bool> = options.get("sort_keys")?;
    options.assert_all_used()?;
    let value = serde_json::to_value(value)
        .map_err(|error| minijinja::Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    let mut out = String::new();
    write_json(&value, indent, 0, &mut out);
    Ok(Value::from_safe_string(out))
}

fn write_json(value: &serde_json::Value, indent: Option<usize>, depth: usize, out: &mut String) {
    let (open, close, items): (_, _, Vec<(Option<&String>, &serde_json::Value)>) = match value {
        serde_json::Value::Array(items) => {
            ('[', ']', items.iter().map(|item| (None, item)).collect())
        }
        serde_json::Value::Object(fields) => {
            ('{', '}', fields.iter().map(|(key, item)| (Some(key), item)).collect())
        }
        scalar => return out.push_str(&scalar.to_string()),
    };
    let new_line = |out: &mut String, depth: usize| {
        if let Some(width) = indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', width * depth));
        }
    };
    out.push(open);
    for (index, (key, item)) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(if indent.is_some() { "," } else { ", " });
        }
        new_line(out, depth + 1);
        if let Some(key) = key {
            out.push_str(&json!(key).to_string());
            out.push_str(": ");
        }
        write_json(item, indent, depth + 1, out);
    }
    if !items.is_empty() {
        new_line(out, depth);
    }
    out.push(close);
}

/// The date formats that templates use; others stand as they are.
fn strftime(format: &str, (year, month, day): (i32, u32, u32)) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let name = MONTHS[(month.clamp(1, 12) - 1) as usize];
    format
        .replace("%Y", &year.to_string())
        .replace("%m", &format!("{month:02}"))
        .replace("%d", &format!("{day:02}"))
        .replace("%b", &name[..3])
        .replace("%B", name)
}
