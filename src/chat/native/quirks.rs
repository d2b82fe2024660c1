//! What providers of OpenAI's dialect want otherwise than OpenAI does.

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::chat::native::thoughts;
use crate::chat::openai::Fields;
use crate::domain::provider::{Preset, Thoughts};

/// Changes to the top-level fields of a request, and to the thoughts in its messages. With none of them, and for a request that none of them concerns, the bytes stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quirks {
    /// Fields that the provider refuses; they are left out.
    pub drops: Vec<String>,
    /// Fields that it knows under another name: OpenAI's name, then its own. Where a request has both, its own stands.
    pub renames: Vec<(&'static str, &'static str)>,
    /// What it makes of the thoughts of earlier turns.
    pub thoughts: Thoughts,
}

impl Quirks {
    /// Those of a preset, where there is one, and the fields that the operator drops besides.
    #[must_use]
    pub fn of(preset: Option<Preset>, drop_fields: &[String]) -> Self {
        let drops = preset.map_or(&[][..], Preset::drops).iter().map(|field| (*field).to_owned());
        Self {
            drops: drops.chain(drop_fields.iter().cloned()).collect(),
            renames: preset.map_or(&[][..], Preset::renames).to_vec(),
            thoughts: preset.map(Preset::thoughts).unwrap_or_default(),
        }
    }

    /// The body as the provider wants it.
    #[must_use]
    pub fn apply(&self, body: Bytes) -> Bytes {
        let refused = self.refused();
        if self.drops.is_empty() && self.renames.is_empty() && refused.is_empty() {
            return body;
        }
        let Ok(Fields(fields)) = serde_json::from_slice::<Fields<'_>>(&body) else { return body };
        let messages = fields.iter().find(|(name, _)| name == "messages").filter(|_| !refused.is_empty());
        let messages = messages.and_then(|(_, raw)| thoughts::without(raw, refused));
        let is_concerned = |name: &str| self.is_dropped(name) || self.renamed(name).is_some();
        if messages.is_none() && !fields.iter().any(|(name, _)| is_concerned(name)) {
            return body;
        }
        let has = |wanted: &str| fields.iter().any(|(name, raw)| name == wanted && raw.get() != "null");
        // Of a field and the one that it is renamed to, one is sent: its own, unless that says nothing.
        let is_replaced = |name: &str, raw: &RawValue| {
            let sources = self.renames.iter().filter(|(_, to)| *to == name).map(|(from, _)| *from);
            raw.get() == "null" && sources.into_iter().any(|from| fields.iter().any(|(name, _)| name == from))
        };
        let kept = fields.iter().filter(|(name, raw)| !self.is_dropped(name) && !is_replaced(name, raw));
        let kept = kept.filter_map(|(name, raw)| match (self.renamed(name), &messages) {
            (Some(own), _) if has(own) => None,
            (Some(own), _) => Some((own, raw.get())),
            (None, Some(messages)) if name == "messages" => Some((name.as_ref(), messages.as_str())),
            (None, _) => Some((name.as_ref(), raw.get())),
        });
        Bytes::from(thoughts::object(kept))
    }

    /// Fields of assistant messages that it refuses.
    const fn refused(&self) -> &'static [&'static str] {
        match self.thoughts {
            Thoughts::Refused(fields) => fields,
            Thoughts::AsSent | Thoughts::Wanted => &[],
        }
    }

    fn is_dropped(&self, name: &str) -> bool {
        self.drops.iter().any(|dropped| dropped == name)
    }

    fn renamed(&self, name: &str) -> Option<&'static str> {
        self.renames.iter().find(|(from, _)| *from == name).map(|(_, to)| *to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(quirks: &Quirks, body: &'static str) -> Bytes {
        quirks.apply(Bytes::from_static(body.as_bytes()))
    }

    fn seedless() -> Quirks {
        let renames = vec![("max_completion_tokens", "max_tokens")];
        Quirks { drops: vec!["seed".to_owned()], renames, thoughts: Thoughts::Refused(&["reasoning_content"]) }
    }

    /// A request with everything that some preset changes.
    const RICH: &str = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"max_completion_tokens":5,"seed":1,"logit_bias":{"7":1},"logprobs":true,"top_logprobs":2,"user":"u","store":false,"service_tier":"auto","safety_identifier":"s","prompt_cache_key":"k","modalities":["text"],"verbosity":"low","top_k":40,"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":null,"reasoning":"Hm.","reasoning_content":"Hm.","reasoning_details":[],"thinking_blocks":[{"type":"thinking","thinking":"Hm.","signature":"c2ln"}],"tool_calls":[{"id":"c","type":"function","function":{"name":"a","arguments":"{}"},"extra_content":{"google":{"thought_signature":"Z29v"}}}]},{"role":"tool","tool_call_id":"c","content":"x"}]}"#;

    #[test]
    fn every_preset_changes_what_its_provider_wants_otherwise() {
        let told = Preset::WORDS.map(|(word, preset)| {
            let body = apply(&Quirks::of(Some(preset), &[]), RICH);
            format!("# {word}\n{}\n", String::from_utf8(body.to_vec()).unwrap())
        });

        insta::assert_snapshot!("presets", told.join("\n"));
        assert_eq!(Quirks::of(None, &[]), Quirks::default());
        assert_eq!(Quirks::of(Some(Preset::Vllm), &["seed".to_owned()]).drops, ["seed"]);
    }

    #[test]
    fn thoughts_that_are_refused_are_left_out_of_the_messages() {
        let body = r#"{"model":"m","messages":[{"role":"assistant","content":"x","reasoning_content":"Hm."}],"n": 1}"#;

        let told = apply(&seedless(), body);

        assert_eq!(told, r#"{"model":"m","messages":[{"role":"assistant","content":"x"}],"n":1}"#);
        assert_eq!(apply(&Quirks { thoughts: Thoughts::Wanted, ..Quirks::default() }, body), body);
    }

    #[test]
    fn leaves_a_request_that_it_does_not_concern_untouched() {
        let quirks = seedless();
        let body = r#"{ "model" : "m",  "x": [1e400, 2] }"#;

        assert_eq!(apply(&Quirks::default(), body), body);
        assert_eq!(apply(&quirks, body), body);
    }

    #[test]
    fn drops_and_renames_and_keeps_every_other_byte() {
        let quirks = seedless();

        let told = apply(&quirks, r#"{"model":"m","seed":1,"max_completion_tokens":5,"x":{ "a" : 1e400 }}"#);
        let twice = apply(&quirks, r#"{"max_completion_tokens":5,"max_tokens":7}"#);
        let null = apply(&quirks, r#"{"seed":1,"max_tokens":null,"max_completion_tokens":5}"#);

        assert_eq!(told, r#"{"model":"m","max_tokens":5,"x":{ "a" : 1e400 }}"#);
        assert_eq!(twice, r#"{"max_tokens":7}"#);
        let null_behind = apply(&quirks, r#"{"max_completion_tokens":5,"max_tokens":null}"#);

        assert_eq!(null, r#"{"max_tokens":5}"#);
        assert_eq!(null_behind, r#"{"max_tokens":5}"#, "no field appears twice");
    }
}
