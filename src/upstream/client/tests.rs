use super::*;

fn settings() -> UpstreamSettings {
    UpstreamSettings::new(UpstreamId::from("u"), "http://127.0.0.1:9/v1/?api-version=1".to_owned())
}

fn refused(settings: UpstreamSettings) -> String {
    Upstream::new(settings).unwrap_err().to_string()
}

#[test]
fn appends_the_path_and_keeps_the_query() {
    let upstream = Upstream::new(settings()).unwrap();

    let url = upstream.url("/chat/completions", None);

    assert_eq!(url.as_str(), "http://127.0.0.1:9/v1/chat/completions?api-version=1");
}

#[test]
fn refuses_addresses_that_are_none() {
    for url in ["", "api.openai.com/v1", "ftp://x/v1", "http://", "http://me:pw@x/v1", "http://x/v1#a"] {
        let message = refused(UpstreamSettings { base_url: url.to_owned(), ..settings() });

        assert!(message.starts_with("upstream `u`: base_url "), "{url}: {message}");
        assert!(!message.contains("pw"), "{message}");
    }
}

#[test]
fn refuses_headers_that_frame_a_request_or_cannot_be_sent() {
    for (name, value) in [("Host", "evil"), ("content-length", "3"), ("a b", "x"), ("x-a", "canary\n")] {
        let headers = vec![(name.to_owned(), SecretString::from(value))];
        let message = refused(UpstreamSettings { headers, ..settings() });

        assert!(message.contains(name) && !message.contains("canary"), "{message}");
    }
}

#[test]
fn refuses_a_key_with_a_line_break_without_showing_it() {
    let message = refused(UpstreamSettings { api_key: Some(SecretString::from("canary\n")), ..settings() });

    assert!(message.contains("key") && !message.contains("canary"), "{message}");
}

#[test]
fn shows_no_key_in_debug() {
    let settings = UpstreamSettings {
        api_key: Some(SecretString::from("canary-key")),
        headers: vec![("x-token".to_owned(), SecretString::from("canary-token"))],
        ..settings()
    };
    let shown = format!("{settings:?}");
    let upstream = Upstream::new(settings).unwrap();

    assert!(!format!("{shown}{upstream:?}{:?}{:?}", upstream.clients, upstream.scrubber).contains("canary"));
}
