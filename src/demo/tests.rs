use std::time::Duration;

use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn question(extra: &Value) -> Result<Question, Refusal> {
    let mut body = json!({ "model": "demo-small", "messages": [{ "role": "user", "content": "Hello there" }] });
    for (name, value) in extra.as_object().unwrap() {
        body[name] = value.clone();
    }
    Question::read(body.to_string().as_bytes())
}

fn words(question: Question) -> (String, Vec<Value>) {
    let texts: Vec<Bytes> = question.events().collect();
    assert_eq!(texts.last(), Some(&crate::chat::sse::DONE));
    let data = texts.iter().map(|text| text.strip_prefix(b"data: ").unwrap());
    let chunks: Vec<Value> = data.filter_map(|data| serde_json::from_slice(data).ok()).collect();
    let text = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    (text, chunks)
}

#[test]
fn says_that_it_is_a_demo_and_what_it_received() {
    let answer = question(&json!({ "tools": [{}, {}] })).unwrap().completion();

    assert_eq!(
        answer["choices"][0]["message"]["content"],
        "This is Trimtab's demo upstream, standing in for `demo-small`. No language model was called. It received 1 message; \
         the last one is 11 characters long. It was offered 2 tools and calls none. Configure a real upstream in trimtab.toml \
         to get real answers."
    );
    assert_eq!(answer["usage"]["prompt_tokens"], 4);
}

#[test]
fn streams_the_same_words() {
    let whole = question(&json!({})).unwrap().completion();
    let (text, chunks) = words(question(&json!({ "stream": true })).unwrap());

    assert_eq!(whole["choices"][0]["message"]["content"], text);
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "stop");
    assert!(chunks.len() > 20 && chunks.iter().all(|chunk| chunk.get("usage").is_none()));
}

#[test]
fn counts_usage_in_a_chunk_of_its_own_when_asked() {
    let whole = question(&json!({})).unwrap().completion();
    let (_, chunks) = words(question(&json!({ "stream_options": { "include_usage": true } })).unwrap());

    let last = chunks.last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"], whole["usage"]);
    assert!(chunks[0]["usage"].is_null());
}

#[test]
fn stops_at_the_limit() {
    for name in ["max_tokens", "max_completion_tokens"] {
        let answer = question(&json!({ name: 5 })).unwrap().completion();

        assert_eq!(answer["choices"][0]["message"]["content"], "This is Trimtab's");
        assert_eq!(answer["choices"][0]["finish_reason"], "length");
        assert_eq!(answer["usage"]["completion_tokens"], 5);
    }
}

#[test]
fn refuses_what_it_cannot_do_and_names_the_field() {
    let cases = [
        (json!({ "n": 2 }), "n"),
        (json!({ "messages": [] }), "messages"),
        (json!({ "messages": "hi" }), "messages"),
        (json!({ "model": 7 }), "model"),
        (json!({ "model": "gpt-4" }), "model"),
    ];
    for (extra, param) in cases {
        assert_eq!(question(&extra).unwrap_err().param(), Some(param), "{extra}");
    }
    assert_eq!(Question::read(b"[]").unwrap_err(), Refusal::NotJson);
}

#[tokio::test]
async fn serves_over_its_socket_until_told_to_stop() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let client = async {
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let ask = |body: Value| {
            let request = client.post(format!("{url}/chat/completions")).body(body.to_string());
            async { request.send().await.unwrap() }
        };
        let messages = json!([{ "role": "user", "content": "Hello" }]);

        let whole = ask(json!({ "model": "demo-large", "messages": messages })).await;
        assert_eq!(
            (whole.status().as_u16(), whole.headers()["content-type"].as_bytes()),
            (200, &b"application/json"[..])
        );
        assert!(whole.text().await.unwrap().contains("standing in for `demo-large`"));

        let stream = ask(json!({ "model": "demo-large", "messages": messages, "stream": true })).await;
        assert_eq!(stream.headers()["content-type"], "text/event-stream");
        assert!(stream.text().await.unwrap().ends_with("data: [DONE]\n\n"));

        let unknown = ask(json!({ "model": "gpt-4", "messages": messages })).await;
        assert_eq!(unknown.status(), 404);
        let error: Value = serde_json::from_str(&unknown.text().await.unwrap()).unwrap();
        assert_eq!((&error["error"]["param"], &error["error"]["code"]), (&json!("model"), &json!("model_not_found")));

        let models = client.get(format!("{url}/models")).send().await.unwrap().text().await.unwrap();
        assert!(MODELS.iter().all(|model| models.contains(model)), "{models}");
        drop(client);
        stop.cancel();
    };

    let (served, ()) = timeout(PATIENCE, async { tokio::join!(serve(listener, stop.clone()), client) }).await.unwrap();

    served.unwrap();
}
