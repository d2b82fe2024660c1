//! The answer that stands in for a model when none answered: an operator's words, marked as such. Pure.

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use crate::chat::sse;
use crate::domain::recovery::Degraded;

/// What stands in for an answer.
#[derive(Clone, Copy, Debug)]
pub struct StandIn<'a> {
    /// The operator's words. `{request_id}` is replaced, and so is `{reference}` where there is one.
    pub text: &'a str,
    /// Where the answer will be, of a request that is queued.
    pub reference: Option<&'a str>,
    /// The name of the request.
    pub request_id: &'a str,
    /// The model that was chosen.
    pub model: &'a str,
    /// Seconds since 1970.
    pub created: u64,
}

impl StandIn<'_> {
    /// As a whole chat completion. No tokens are counted, for none were made.
    #[must_use]
    pub fn whole(&self) -> Bytes {
        let choice = json!({
            "index": 0,
            "message": { "role": "assistant", "content": self.words(), "refusal": null },
            "logprobs": null,
            "finish_reason": "stop",
        });
        let usage = json!({ "prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0 });
        Bytes::from(self.frame("chat.completion", &choice, &usage).to_string())
    }

    /// As the events of a stream.
    #[must_use]
    pub fn stream(&self) -> Bytes {
        let choice = |delta: Value, reason: Value| json!({ "index": 0, "delta": delta, "finish_reason": reason });
        let chunks = [
            choice(json!({ "role": "assistant", "content": self.words() }), Value::Null),
            choice(json!({}), json!("stop")),
        ];
        let mut events = BytesMut::new();
        for chunk in chunks {
            let frame = self.frame("chat.completion.chunk", &chunk, &Value::Null).to_string();
            events.extend_from_slice(&sse::encode(frame.as_bytes()));
        }
        events.extend_from_slice(&sse::DONE);
        events.freeze()
    }

    fn frame(&self, object: &str, choice: &Value, usage: &Value) -> Value {
        json!({
            "id": format!("chatcmpl-{}", self.request_id),
            "object": object,
            "created": self.created,
            "model": self.model,
            "choices": [choice],
            "usage": usage,
            "trimtab": self.mark(),
        })
    }

    fn mark(&self) -> Value {
        match self.reference {
            Some(reference) => json!({ "degraded": "queued", "deferred": reference }),
            None => json!({ "degraded": "template" }),
        }
    }

    fn words(&self) -> String {
        let words = self.text.replace("{request_id}", self.request_id);
        match self.reference {
            Some(reference) => words.replace(Degraded::REFERENCE, reference),
            None => words,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAND_IN: StandIn<'_> = StandIn {
        text: "Sorry, try later ({request_id}).",
        reference: None,
        request_id: "req_1",
        model: "m",
        created: 7,
    };

    #[test]
    fn a_whole_stand_in_is_a_marked_completion() {
        let answer: Value = serde_json::from_slice(&STAND_IN.whole()).unwrap();

        assert_eq!(answer["choices"][0]["message"]["content"], "Sorry, try later (req_1).");
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");
        assert_eq!((&answer["object"], &answer["model"]), (&json!("chat.completion"), &json!("m")));
        assert_eq!(answer["trimtab"]["degraded"], "template");
    }

    #[test]
    fn a_streamed_stand_in_ends_as_streams_do() {
        let text = String::from_utf8(STAND_IN.stream().to_vec()).unwrap();
        let events: Vec<&str> = text.split("\n\n").filter(|event| !event.is_empty()).collect();

        assert_eq!(events.len(), 3);
        assert!(events[0].contains("Sorry") && events[1].contains(r#""finish_reason":"stop""#));
        assert_eq!(events[2], "data: [DONE]");
    }

    #[test]
    fn a_queued_stand_in_says_where_the_answer_will_be() {
        let queued = StandIn { text: Degraded::QUEUED, reference: Some("dfr_1"), ..STAND_IN };
        let answer: Value = serde_json::from_slice(&queued.whole()).unwrap();
        let stream = String::from_utf8(queued.stream().to_vec()).unwrap();

        let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
        assert!(text.ends_with("GET /v1/deferred/dfr_1."), "{text}");
        assert_eq!(answer["trimtab"], json!({ "degraded": "queued", "deferred": "dfr_1" }));
        assert_eq!(stream.matches(r#""deferred":"dfr_1""#).count(), 2, "in each chunk");
    }
}
