//! Templates for models that bring none, chosen by the special tokens in their vocabulary.

/// `(name, the token that shows it, template)`; the first that fits is taken.
pub(crate) const DEFAULTS: &[(&str, &str, &str)] = &[
    ("chatml", "<|im_start|>", CHATML),
    ("llama3", "<|start_header_id|>", LLAMA3),
    ("gemma", "<start_of_turn>", GEMMA),
    ("mistral", "[INST]", MISTRAL),
];

/// The most widely known form: also where the vocabulary shows nothing.
pub(crate) const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] \
    + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}\
    {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

const LLAMA3: &str = "{{ bos_token }}{% for message in messages %}\
    {{ '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + message.content + '<|eot_id|>' }}\
    {% endfor %}{% if add_generation_prompt %}\
    {{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}";

/// Gemma knows no system role: it stands before the first question.
const GEMMA: &str = "{{ bos_token }}{% set ns = namespace(system='') %}{% for message in messages %}\
    {% if message.role == 'system' %}{% set ns.system = ns.system + message.content + '\n\n' %}\
    {% else %}{{ '<start_of_turn>' + ('model' if message.role == 'assistant' else 'user') + '\n' \
    + ns.system + message.content + '<end_of_turn>\n' }}{% set ns.system = '' %}{% endif %}\
    {% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}";

const MISTRAL: &str = "{{ bos_token }}{% set ns = namespace(system='') %}{% for message in messages %}\
    {% if message.role == 'system' %}{% set ns.system = ns.system + message.content + '\n\n' %}\
    {% elif message.role == 'assistant' %}{{ message.content + eos_token }}\
    {% else %}{{ '[INST] ' + ns.system + message.content + ' [/INST]' }}{% set ns.system = '' %}\
    {% endif %}{% endfor %}";
