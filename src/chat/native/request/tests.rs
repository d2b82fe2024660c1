use super::*;
use crate::chat::native::corpus::{MISTAKES, OPENAIS_OWN};

#[test]
fn every_mistake_names_its_field_and_never_its_value() {
    for (request, field) in MISTAKES {
        let error = Asked::read(request.as_bytes()).unwrap_err();

        let Untranslatable::Wrong { field: named, .. } = &error else { panic!("{error:?}") };
        assert_eq!(named, field);
        for value in ["robot", "perhaps", "very", "many", "xml"] {
            assert!(!error.to_string().contains(value), "{error}");
        }
        let words: serde_json::Value = serde_json::from_slice(&error.to_words()).unwrap();
        assert_eq!(
            (&words["error"]["param"], &words["error"]["type"]),
            (&(*field).into(), &"invalid_request_error".into())
        );
    }
}

#[test]
fn what_is_openais_own_is_no_mistake() {
    for (request, field) in OPENAIS_OWN {
        let error = Asked::read(request.as_bytes()).unwrap_err();

        let Untranslatable::Elsewhere { field: named, .. } = &error else { panic!("{error:?}") };
        assert_eq!(named, field);
    }
}

#[test]
fn ids_of_calls_hold_what_every_provider_takes_and_still_match() {
    let request = br#"{"messages":[
        {"role":"assistant","tool_calls":[{"id":"functions.Bash:0","type":"function","function":{"name":"Bash"}}]},
        {"role":"tool","tool_call_id":"functions.Bash:0","content":"y"},
        {"role":"tool","tool_call_id":"call_1-a","content":"z"}]}"#;

    let asked = Asked::read(request).unwrap();

    let [Turn::Assistant(said), Turn::Tool(result), Turn::Tool(plain)] = &asked.turns[..] else { panic!("{asked:?}") };
    assert_eq!((said.calls[0].id.as_ref(), result.id.as_ref()), ("functions_Bash_0", "functions_Bash_0"));
    assert_eq!(plain.id, "call_1-a");
}

#[test]
fn a_body_that_is_no_object_is_refused() {
    for body in ["", "[]", "null", "{", "\"x\""] {
        assert!(Asked::read(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn more_than_one_answer_is_refused_where_there_is_but_one() {
    let many = Asked::read(br#"{"messages":[],"n":2}"#).unwrap();

    let error = many.one_answer("Somebody").unwrap_err();

    assert_eq!(
        error.to_string(),
        "`n` cannot be sent to Somebody: it gives one answer a call; send 1, or call several times"
    );
}

#[test]
fn reads_pictures_however_they_are_written() {
    let request = br#"{"messages":[{"role":"user","content":[
        {"type":"image_url","image_url":"https://a/b.png"},
        {"type":"image_url","image_url":{"url":"data:image\/PNG;charset=x;base64,AA=="}},
        {"type":"input_audio","input_audio":{"data":"BB==","format":"wav"}}]}]}"#;

    let asked = Asked::read(request).unwrap();

    let Turn::User(parts) = &asked.turns[0] else { panic!("{asked:?}") };
    assert!(matches!(&parts[0].content, Content::Image(Source::Url(url)) if url == "https://a/b.png"));
    let Content::Image(Source::Base64 { media_type, data }) = &parts[1].content else { panic!("{parts:?}") };
    assert_eq!((media_type.as_str(), data.as_ref()), ("image/png", "AA=="));
    let Content::Audio(Source::Base64 { media_type, .. }) = &parts[2].content else { panic!("{parts:?}") };
    assert_eq!((media_type.as_str(), parts[2].path.as_str()), ("audio/wav", "messages[0].content[2]"));
}

#[test]
fn texts_stay_where_they_are() {
    let request = br#"{"messages":[{"role":"user","content":[{"type":"text","text":"long"},{"type":"file","file":{"file_data":"data:application/pdf;base64,AA=="}}]},{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"a","arguments":"{}"}}]}],"tools":[{"type":"function","function":{"name":"a","description":"what it does"}}]}"#;

    let asked = Asked::read(request).unwrap();

    let [Turn::User(parts), Turn::Assistant(said)] = &asked.turns[..] else { panic!("{asked:?}") };
    assert!(matches!(&parts[0].content, Content::Text(Cow::Borrowed("long"))));
    assert!(matches!(&parts[1].content, Content::File(Source::Base64 { data: Cow::Borrowed("AA=="), .. }, None)));
    assert!(matches!(said.calls[0].id, Cow::Borrowed("c")));
    assert!(matches!(asked.tools[0].description, Some(Cow::Borrowed(_))));
}
