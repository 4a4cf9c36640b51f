//! Jinja as Hugging Face's `apply_chat_template` runs it: trimmed blocks, loop controls, Python's
//! string and list methods, `raise_exception`, `strftime_now`, `tojson`.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use serde_json::{Map, json};

use crate::json::to_json;
use crate::limits::{FUEL, OUTPUT_BYTES_MAX, RECURSION_MAX, SOURCE_BYTES_MAX};
use crate::output::Output;
use crate::source::without_generation;
use crate::{Error, Message, Moment, Result};

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
    /// The time as the template should see it; a fixed day where none is given.
    pub now: Option<Moment>,
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
        // Templates ask this of `tools`; in Python `none` cannot be iterated.
        environment
            .add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
        environment
            .add_template_owned(NAME, without_generation(source))
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
        // Hugging Face always passes these two, and `none` where there are none.
        context.insert("tools".to_owned(), options.tools.clone().unwrap_or_default());
        context.entry("documents").or_insert(serde_json::Value::Null);
        let mut environment = self.environment.clone();
        let now = options.now.unwrap_or_default();
        environment.add_function("strftime_now", move |format: &str| now.format(format));
        let template = environment.get_template(NAME).expect("compiled by `new`");
        let mut output = Output::default();
        let rendered = template.render_captured_to(Value::from(Serde(&context)), &mut output);
        let failed = rendered.map(|_| ()).err();
        match failed {
            None => Ok(output.into_text()),
            Some(_) if output.overflowed => {
                let what = format!("makes more than {OUTPUT_BYTES_MAX} bytes");
                Err(Error::TooLarge(what))
            }
            Some(error) => match error.detail().and_then(|words| words.strip_prefix(REFUSED)) {
                Some(words) => Err(Error::Refused(words.to_owned())),
                None => Err(Error::Failed(describe(&error))),
            },
        }
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
