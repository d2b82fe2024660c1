//! A request that is asked again when nobody waits for it any more.

use crate::chat::openai::ChatRequest;

impl ChatRequest {
    /// The same request, whose answer is wanted whole.
    #[must_use]
    pub fn whole(&self) -> Self {
        let mut whole = Self { stream: false, wants_usage: false, ..self.clone() };
        whole.fields.retain(|(key, _)| key != "stream" && key != "stream_options");
        whole
    }

    /// About how many bytes it takes in memory.
    #[must_use]
    pub fn size(&self) -> usize {
        let fields = self.fields.iter().chain(&self.aside).map(|(key, raw)| key.len() + raw.get().len());
        fields.sum::<usize>() + self.prompt.ask.len() + size_of::<Self>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_stream_may_be_wanted_whole() {
        let body = br#"{"model":"auto","messages":[{"role":"user","content":"Hi"}],"stream":true,"stream_options":{"include_usage":true},"seed":7}"#;
        let request = ChatRequest::parse(body).unwrap();

        let whole = request.whole();

        assert_eq!((whole.stream, whole.wants_usage, whole.model.as_str()), (false, false, "auto"));
        assert_eq!(whole.body_for("m"), r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"seed":7}"#);
        assert!(request.stream && request.size() > whole.size() && whole.size() > 30);
    }
}
