//! The providers that speak OpenAI's dialect, and what each of them wants otherwise; and what is known of a model wherever it is asked.

/// Models that refuse to be made to call a tool.
const CALL_AT_WILL: [&str; 3] = ["opus-5-5", "sonnet-5-5", "fable-5-1"];

/// Whether a model, as its upstream names it, can be made to call a tool. One of which nothing is known can.
#[must_use]
pub fn takes_forced_tools(upstream_model: &str) -> bool {
    !is_one_of(upstream_model, &CALL_AT_WILL)
}

/// Whether a model is one of these. Some write its version with a dot.
#[must_use]
pub fn is_one_of(upstream_model: &str, names: &[&str]) -> bool {
    let model = upstream_model.replace('.', "-");
    names.iter().any(|name| model.contains(name))
}

/// A provider of OpenAI's dialect whose ways are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Mistral AI.
    Mistral,
    /// Groq.
    Groq,
    /// Together AI.
    Together,
    /// `DeepSeek`.
    DeepSeek,
    /// xAI.
    Xai,
    /// `OpenRouter`.
    OpenRouter,
    /// Fireworks AI.
    Fireworks,
    /// Ollama on this machine.
    Ollama,
    /// vLLM on this machine.
    Vllm,
    /// llama.cpp's server.
    LlamaCpp,
}

/// What a provider of OpenAI's dialect makes of the thoughts of earlier turns, which stand in assistant messages beside what was said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Thoughts {
    /// It takes or ignores what the client sends, or nothing is known: they go there as they came.
    #[default]
    AsSent,
    /// It refuses a request with one of these fields.
    Refused(&'static [&'static str]),
    /// It refuses calls of tools without the thoughts that led to them, as `reasoning_content`, and ignores those that it does not need.
    Wanted,
}

impl Preset {
    /// Every preset with the word for it in the configuration.
    pub const WORDS: [(&'static str, Self); 10] = [
        ("mistral", Self::Mistral),
        ("groq", Self::Groq),
        ("together", Self::Together),
        ("deepseek", Self::DeepSeek),
        ("xai", Self::Xai),
        ("openrouter", Self::OpenRouter),
        ("fireworks", Self::Fireworks),
        ("ollama", Self::Ollama),
        ("vllm", Self::Vllm),
        ("llamacpp", Self::LlamaCpp),
    ];

    /// Where the API is. `None` for llama.cpp, whose usual port is trimtab's own: a default would send calls in a circle.
    #[must_use]
    pub const fn base_url(self) -> Option<&'static str> {
        match self {
            Self::Mistral => Some("https://api.mistral.ai/v1"),
            Self::Groq => Some("https://api.groq.com/openai/v1"),
            Self::Together => Some("https://api.together.ai/v1"),
            Self::DeepSeek => Some("https://api.deepseek.com/v1"),
            Self::Xai => Some("https://api.x.ai/v1"),
            Self::OpenRouter => Some("https://openrouter.ai/api/v1"),
            Self::Fireworks => Some("https://api.fireworks.ai/inference/v1"),
            Self::Ollama => Some("http://127.0.0.1:11434/v1"),
            Self::Vllm => Some("http://127.0.0.1:8000/v1"),
            Self::LlamaCpp => None,
        }
    }

    /// Top-level fields that the provider refuses, so that they are left out.
    #[must_use]
    pub const fn drops(self) -> &'static [&'static str] {
        match self {
            // Fields that are not known are refused with 422. Usage comes with the last chunk unasked.
            Self::Mistral => &[
                "stream_options",
                "logit_bias",
                "logprobs",
                "top_logprobs",
                "user",
                "store",
                "service_tier",
                "safety_identifier",
                "prompt_cache_key",
                "modalities",
                "audio",
                "verbosity",
            ],
            Self::Groq => &["logit_bias", "logprobs", "top_logprobs", "store", "prompt_cache_key"],
            Self::DeepSeek | Self::Together | Self::Fireworks => &["store", "service_tier", "prompt_cache_key"],
            Self::Xai => &["logit_bias", "store", "service_tier"],
            Self::OpenRouter | Self::Ollama | Self::Vllm | Self::LlamaCpp => &[],
        }
    }

    /// What the provider makes of the thoughts of earlier turns.
    #[must_use]
    pub const fn thoughts(self) -> Thoughts {
        match self {
            // Its own thoughts are parts of `content`.
            Self::Mistral => {
                Thoughts::Refused(&["reasoning_content", "reasoning", "reasoning_details", "thinking_blocks"])
            }
            // Its own thoughts are `reasoning`, which its models that think take back.
            Self::Groq => Thoughts::Refused(&["reasoning_content", "reasoning_details", "thinking_blocks"]),
            Self::DeepSeek => Thoughts::Wanted,
            Self::Together | Self::Xai | Self::OpenRouter | Self::Fireworks => Thoughts::AsSent,
            Self::Ollama | Self::Vllm | Self::LlamaCpp => Thoughts::AsSent,
        }
    }

    /// Top-level fields that the provider knows under another name: OpenAI's, then its own.
    #[must_use]
    pub const fn renames(self) -> &'static [(&'static str, &'static str)] {
        const LIMIT: (&str, &str) = ("max_completion_tokens", "max_tokens");
        match self {
            Self::Mistral => &[LIMIT, ("seed", "random_seed")],
            Self::Together | Self::DeepSeek | Self::Fireworks | Self::Ollama | Self::LlamaCpp => &[LIMIT],
            Self::Groq | Self::Xai | Self::OpenRouter | Self::Vllm => &[],
        }
    }
}
