//! What Claude refuses, at Anthropic and at Bedrock: the rules that depend on the model, and those of texts and ids.

use serde_json::Value;

use crate::clients::scripts::{Checked, ensure};

/// What of a request depends on the model.
pub(super) struct Settings<'a> {
    pub(super) model: &'a str,
    pub(super) temperature: &'a Value,
    pub(super) top_p: &'a Value,
    pub(super) top_k: &'a Value,
    pub(super) thinking: &'a Value,
    /// Whether a tool must be called.
    pub(super) insists: bool,
}

impl Settings<'_> {
    /// Refuses what the model refuses; whether it thinks.
    pub(super) fn thinks(&self) -> Checked<bool> {
        let is_one_of = |names: &[&str]| names.iter().any(|name| self.model.contains(name));
        let (by_budget, by_effort) = (is_one_of(&["-4-5", "-4-1"]), !is_one_of(&["-4-5", "-4-1", "-4-6"]));
        let always = is_one_of(&["opus-5-5", "sonnet-5-5"]);
        let has_sampling = [self.temperature, self.top_p, self.top_k].iter().any(|setting| !setting.is_null());
        let has_both = !self.temperature.is_null() && !self.top_p.is_null();
        let kind = self.thinking["type"].as_str().unwrap_or_default();
        ensure(!(by_effort && has_sampling), "`temperature` is deprecated for this model.")?;
        ensure(!has_both, "`temperature` and `top_p` cannot both be specified for this model.")?;
        ensure(!(by_budget && kind == "adaptive"), "adaptive thinking is not supported on this model")?;
        ensure(!(by_effort && kind == "enabled"), "\"thinking.type.enabled\" is not supported for this model.")?;
        ensure(!(always && kind == "disabled"), "\"thinking.type.disabled\" is not supported for this model.")?;
        ensure(!(always && self.insists), "tool_choice: this model cannot be made to call a tool")?;
        let thinks = ["adaptive", "enabled"].contains(&kind);
        ensure(!(thinks && has_sampling), "`temperature` may only be set to 1 when thinking is enabled.")?;
        ensure(!(thinks && self.insists), "Thinking may not be enabled when tool_choice forces tool use.")?;
        Ok(thinks)
    }
}

/// That an id holds nothing else than what both take.
pub(super) fn plain(id: &Value) -> Checked<()> {
    let is_plain = |id: &str| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let holds = id.as_str().is_some_and(|id| !id.is_empty() && is_plain(id));
    ensure(holds, format!("{id}: String should match pattern '^[a-zA-Z0-9_-]+$'"))
}

/// That a text says something.
pub(super) fn spoken(text: &Value) -> Checked<()> {
    let holds = text.as_str().is_some_and(|text| !text.trim().is_empty());
    ensure(holds, "text content blocks must contain non-whitespace text")
}
