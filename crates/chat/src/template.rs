//! Jinja as Hugging Face's `apply_chat_template` runs it: trimmed blocks, loop controls, Python's
//! string and list methods, `raise_exception`, `strftime_now`, `tojson`.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use serde_json::{Map, json};

use crate::defaults::{CHATML, DEFAULTS};
use crate::dialects::Dialect;
use crate::json::{self, to_json};
use crate::limits::{
    EXTRA_BYTES_MAX, FUEL, OUTPUT_BYTES_MAX, PROBE_BYTES_MAX, PROBE_FUEL, RECURSION_MAX,
    SOURCE_BYTES_MAX,
};
use crate::messages::{self, Manner};
use crate::output::Output;
use crate::python::teach;
use crate::source::prepare;
use crate::tools::check_value;
use crate::{Error, Message, Moment, Result, Tools, toolless};

const NAME: &str = "chat template";
/// Marks an error as the template's own words, not an accident.
const REFUSED: &str = "refused: ";
/// A compiled template.
pub struct Template {
    environment: Environment<'static>,
    bos: String,
    eos: String,
    dialect: &'static Dialect,
    manner: Manner,
}

/// Variables for a template, by name.
pub type Variables = Map<String, serde_json::Value>;

/// What a rendering may be told besides the messages.
#[derive(Clone, Debug, Default)]
pub struct RenderOptions {
    /// Whether the assistant's turn is opened at the end.
    pub add_generation_prompt: bool,
    /// Tools in OpenAI's shape.
    pub tools: Option<serde_json::Value>,
    /// Whether a model that can do either should reason first; its own choice where none is given.
    pub enable_thinking: Option<bool>,
    /// How much a model should reason that knows degrees: `low`, `medium`, `high`.
    pub reasoning_effort: Option<String>,
    /// More variables for the template: at most 64 KiB as JSON, and 64 levels deep.
    pub extra: Variables,
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
        teach(&mut environment);
        environment.add_function("raise_exception", raise_exception);
        environment.add_filter("tojson", to_json);
        environment
            .add_template_owned(NAME, prepare(source))
            .map_err(|error| Error::Invalid(describe(&error)))?;
        let dialect = Dialect::detect(Some(source), "");
        let (bos, eos) = (bos.to_owned(), eos.to_owned());
        let mut template = Template { environment, bos, eos, dialect, manner: Manner::default() };
        template.manner = template.find_manner(source);
        Ok(template)
    }

    /// ChatML, for models that bring no template.
    ///
    /// # Panics
    /// Never: the template is hob's own and tested.
    #[must_use]
    pub fn chatml() -> Template {
        Template::new(CHATML, "", "").expect("hob's own template is valid")
    }

    /// The template for a model that brings none, and its name, for a warning. The tokens of its
    /// vocabulary say which it was trained with; ChatML where they say nothing.
    ///
    /// # Panics
    /// Never: the templates are hob's own and tested.
    pub fn default_for(
        has_token: impl Fn(&str) -> bool,
        bos: &str,
        eos: &str,
    ) -> (Template, &'static str) {
        let found = DEFAULTS.iter().find(|(_, token, _)| has_token(token));
        let (name, source) = found.map_or(("chatml", CHATML), |(name, _, source)| (name, source));
        (Template::new(source, bos, eos).expect("hob's own template is valid"), name)
    }

    /// Whether the template knows no system role; system messages then begin the next question.
    #[must_use]
    pub fn merges_system(&self) -> bool {
        self.manner.merge_system
    }

    /// Whether the template shows tools to the model; where it does not, an instruction does.
    #[must_use]
    pub fn reads_tools(&self) -> bool {
        self.manner.reads_tools
    }

    /// How the model that the template was made for writes reasoning and calls.
    #[must_use]
    pub fn dialect(&self) -> &'static Dialect {
        self.dialect
    }

    /// The prompt for a conversation.
    ///
    /// # Errors
    /// When the template refuses the messages or fails.
    pub fn render(&self, messages: &[Message], options: &RenderOptions) -> Result<String> {
        let extra = serde_json::Value::Object(options.extra.clone());
        check_value("the template's variables", &extra, EXTRA_BYTES_MAX).map_err(Error::Request)?;
        let tools = match &options.tools {
            Some(tools) => Tools::new(tools)?,
            None => Tools::default(),
        };
        let mut messages = messages.to_vec();
        if !self.manner.reads_calls {
            messages = toolless::as_text(&messages, self.dialect)?;
        }
        if !self.manner.reads_tools && !tools.is_empty() {
            toolless::tell(&mut messages, &tools, self.dialect);
        }
        let messages = &messages;
        self.run(messages::to_json(messages, self.manner)?, options, (FUEL, OUTPUT_BYTES_MAX))
    }

    fn run(
        &self,
        messages: serde_json::Value,
        options: &RenderOptions,
        (fuel, bytes_max): (u64, usize),
    ) -> Result<String> {
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(fuel));
        let now = options.now.unwrap_or_default();
        environment.add_function("strftime_now", move |format: &str| now.format(format));
        let context = self.context(messages, options, now);
        let template = environment.get_template(NAME).expect("compiled by `new`");
        let mut output = Output::new(bytes_max);
        let rendered = template.render_captured_to(Value::from(Serde(&context)), &mut output);
        let failed = rendered.map(|_| ()).err();
        match failed {
            None => Ok(output.into_text()),
            Some(_) if output.overflowed => {
                let what = format!("makes more than {bytes_max} bytes");
                Err(Error::TooLarge(what))
            }
            Some(error) => match error.detail().and_then(|words| words.strip_prefix(REFUSED)) {
                Some(words) => Err(Error::Refused(words.to_owned())),
                None => Err(Error::Failed(describe(&error))),
            },
        }
    }

    fn context(
        &self,
        messages: serde_json::Value,
        options: &RenderOptions,
        now: Moment,
    ) -> Map<String, serde_json::Value> {
        let mut context = Map::new();
        if let Some(thinking) = options.enable_thinking {
            // The names in use: Qwen's and most others', then DeepSeek's and Granite's.
            context.insert("enable_thinking".to_owned(), thinking.into());
            context.insert("thinking".to_owned(), thinking.into());
        }
        if let Some(effort) = &options.reasoning_effort {
            context.insert("reasoning_effort".to_owned(), effort.as_str().into());
        }
        // FireFunction wants these two as texts.
        let functions = options.tools.as_ref().map_or_else(String::new, json::dumps);
        context.insert("functions".to_owned(), functions.into());
        context.insert("datetime".to_owned(), now.format("%Y-%m-%d %H:%M:%S").into());
        context.extend(options.extra.clone());
        context.insert("messages".to_owned(), messages);
        context.insert("add_generation_prompt".to_owned(), options.add_generation_prompt.into());
        context.insert("bos_token".to_owned(), self.bos.clone().into());
        context.insert("eos_token".to_owned(), self.eos.clone().into());
        // Hugging Face always passes these two, and `none` where there are none.
        context.insert("tools".to_owned(), options.tools.clone().unwrap_or_default());
        context.entry("documents").or_insert(serde_json::Value::Null);
        context
    }

    /// Asks the template what it makes of content and of arguments: each is read in one form only
    /// by some, and what they do with the other is wrong without a word.
    fn find_manner(&self, source: &str) -> Manner {
        const NEEDLE: &str = "needle";
        const CALL_ID: &str = "call00001";
        let options = RenderOptions { add_generation_prompt: true, ..RenderOptions::default() };
        let bounds = (PROBE_FUEL, PROBE_BYTES_MAX);
        let render = |messages| self.run(messages, &options, bounds).unwrap_or_default();
        let question = |content| json!([{ "role": "user", "content": content }]);
        let parts = !render(question(json!(NEEDLE))).contains(NEEDLE)
            && render(question(json!([{ "type": "text", "text": NEEDLE }]))).contains(NEEDLE);
        let content = |text: &str| {
            if parts { json!([{ "type": "text", "text": text }]) } else { json!(text) }
        };
        let user = json!({ "role": "user", "content": content("question") });
        let system = json!({ "role": "system", "content": content(NEEDLE) });
        let merge_system = !render(json!([system, user])).contains(NEEDLE)
            && render(json!([user])).contains("question");
        let tool = json!([{ "type": "function", "function": {
            "name": NEEDLE, "description": "", "parameters": { "type": "object", "properties": {} },
        } }]);
        let with_tool = RenderOptions { tools: Some(tool), ..options.clone() };
        // A template that fails over a tool as small as this one surely reads it.
        let reads_tools =
            self.run(json!([user]), &with_tool, bounds).map_or(true, |text| text.contains(NEEDLE));
        let try_call = |said: serde_json::Value, arguments: serde_json::Value| {
            let function = json!({ "name": "tool", "arguments": arguments });
            let calls = json!([{ "id": CALL_ID, "type": "function", "function": function }]);
            let answer = json!({ "role": "assistant", "content": said, "tool_calls": calls });
            self.run(json!([user, answer]), &options, bounds)
        };
        let called = |said, arguments| try_call(said, arguments).unwrap_or_default();
        let shows_call = |said| {
            let shown = |text: String| text.contains(NEEDLE) || text.contains(CALL_ID);
            try_call(said, json!({ NEEDLE: 1 })).map(shown)
        };
        // An object that is printed as it stands comes out as Python's, not as JSON.
        let object = |said| {
            let text = called(said, json!({ NEEDLE: 1 }));
            text.contains(NEEDLE) && !text.contains("'needle'")
        };
        let text = |said| called(said, json!("{\"needle\": 1}")).contains("{\"needle\": 1}");
        let nothing = || serde_json::Value::Null;
        // One that fails over a call surely reads it; over no content any template may fail.
        let reads_calls =
            shows_call(content("")).unwrap_or(true) || shows_call(nothing()).unwrap_or(false);
        let (null_content, argument_text) = if object(content("")) {
            (false, false)
        } else if text(content("")) {
            (false, true)
        } else if object(nothing()) {
            (true, false)
        } else if text(nothing()) {
            (true, true)
        } else {
            (false, false)
        };
        let key = |key: &'static str| {
            [format!(".{key}"), format!("'{key}'"), format!("\"{key}\"")]
                .iter()
                .any(|text| source.contains(text))
        };
        let keys = ["reasoning_content", "reasoning", "thinking"];
        let reasoning_key = keys.into_iter().find(|name| key(name)).unwrap_or(keys[0]);
        let short_ids = self.dialect.short_ids();
        Manner {
            parts,
            null_content,
            argument_text,
            short_ids,
            merge_system,
            reads_tools,
            reads_calls,
            reasoning_key,
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
