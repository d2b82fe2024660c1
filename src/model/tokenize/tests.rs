use std::path::Path;
use std::sync::OnceLock;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::model::testing::TinyModels;

static TRANSFORMER: OnceLock<Tokenizer> = OnceLock::new();

fn tokenizer(kind: &str) -> Tokenizer {
    let models = TinyModels::new();
    Tokenizer::open(&EncoderDirectory::open(&models.encoder(kind)).unwrap()).unwrap()
}

fn tokenize(tokenizer: &Tokenizer, text: &str) -> TokenBuffer {
    let mut buffer = TokenBuffer::default();
    tokenizer.tokenize(text, &mut buffer).unwrap();
    buffer
}

#[test]
fn long_texts_keep_both_ends() {
    let tokenizer = tokenizer("static");
    let (first, last) = (tokenize(&tokenizer, "first"), tokenize(&tokenizer, "last"));
    let text = format!("first {} last", "the ".repeat(5_000));

    let buffer = tokenize(&tokenizer, &text);

    assert!(buffer.truncated());
    assert_eq!(buffer.ids().len(), 128);
    assert_eq!(buffer.ids().first(), first.ids().first());
    assert_eq!(buffer.ids().last(), last.ids().last());
}

#[test]
fn special_tokens_stay_when_the_text_is_cut() {
    let tokenizer = tokenizer("transformer");
    let (cls, sep) = tokenizer.specials.unwrap();

    for words in [1, 61, 62, 63, 1_000] {
        let buffer = tokenize(&tokenizer, &"the ".repeat(words));

        assert_eq!(buffer.ids().first(), Some(&cls), "{words}");
        assert_eq!(buffer.ids().last(), Some(&sep), "{words}");
        assert_eq!(buffer.text_tokens(), words.min(62), "{words}");
        assert_eq!(buffer.truncated(), words > 62, "{words}");
    }
}

#[test]
fn white_space_does_not_eat_the_room() {
    let tokenizer = tokenizer("static");
    let text = format!("{}the{}city", " ".repeat(10_000), "\n".repeat(10_000));

    let buffer = tokenize(&tokenizer, &text);

    assert_eq!(buffer.ids(), tokenize(&tokenizer, "the city").ids());
    assert!(!buffer.truncated());
}

#[test]
fn texts_without_tokens_have_none() {
    let tokenizer = tokenizer("static");

    for text in ["", " ", "\n\t\u{200b}"] {
        assert_eq!(tokenize(&tokenizer, text).text_tokens(), 0, "{text:?}");
    }
}

proptest! {
    #[test]
    fn any_text_fits_and_short_ones_are_whole(text in "\\PC{0,800}") {
        let tokenizer = TRANSFORMER.get_or_init(|| tokenizer("transformer"));
        let mut whole = Vec::new();
        tokenizer.pipeline.encode_into(&text, &tokenizer.options, &mut whole).unwrap();

        let buffer = tokenize(tokenizer, &text);

        prop_assert!(buffer.ids().len() <= 64);
        if !buffer.truncated() && text.len() < 300 {
            let ids: Vec<i64> = whole.iter().map(|token| i64::from(token.id())).collect();
            prop_assert_eq!(&buffer.ids()[1..buffer.ids().len() - 1], ids.as_slice());
        }
    }

    #[test]
    fn the_short_way_for_ascii_gives_the_same_tokens(text in "([ -~]|\t|\n|\r|\x07|\x7f|\\[CLS\\]|THE |City|don't ){0,60}") {
        let tokenizer = TRANSFORMER.get_or_init(|| tokenizer("transformer"));
        prop_assert!(tokenizer.plain.is_some());
        let (mut whole, mut short) = (Vec::new(), Vec::new());
        tokenizer.pipeline.encode_into(&text, &tokenizer.options, &mut whole).unwrap();

        tokenizer.encode(&text, &mut short).unwrap();

        let whole: Vec<u32> = whole.iter().map(|token| token.id()).collect();
        prop_assert_eq!(whole, short);
    }

    #[test]
    fn cuts_lie_at_character_borders_and_lose_nothing(text in "\\PC{0,200}", bytes in 1_usize..300) {
        let (piece, rest) = split_after(&text, bytes);

        prop_assert_eq!(format!("{piece}{rest}"), text.clone());
        prop_assert!(text.is_empty() || !piece.is_empty() || rest.len() < text.len());
        prop_assert!(text.ends_with(last_bytes(&text, bytes)));
    }
}

#[test]
fn words_of_the_vocabulary_are_looked_up_and_all_others_taken_apart() {
    for kind in ["static", "transformer"] {
        let tokenizer = tokenizer(kind);
        assert!(tokenizer.plain.as_ref().unwrap().knows("the") && !tokenizer.plain.as_ref().unwrap().knows("##s"));
        for text in [
            "the",
            "The City's quixotic (walls), the walls!",
            "zzzz the zzzz zzzz",
            "qqq",
            " - ",
            "a.b,c",
            &"w".repeat(120),
        ] {
            let (mut whole, mut short) = (Vec::new(), Vec::new());
            tokenizer.pipeline.encode_into(text, &tokenizer.options, &mut whole).unwrap();

            tokenizer.encode(text, &mut short).unwrap();

            assert_eq!(short, whole.iter().map(|token| token.id()).collect::<Vec<_>>(), "{text}");
        }
    }
}

#[test]
fn a_tokeniser_that_looks_for_tokens_after_normalising_is_left_to_its_library() {
    let models = TinyModels::new();
    let file = std::fs::read_to_string(models.encoder("static").join(TOKENIZER_FILE)).unwrap();
    let canonical = tokenizers::canonicalize_str(&file).unwrap();
    let mut changed: serde_json::Value = serde_json::from_str(&canonical).unwrap();
    assert!(Plain::of(&canonical).is_some());

    changed["added_tokens"][0]["normalized"] = true.into();

    assert!(Plain::of(&changed.to_string()).is_none());
}

#[test]
fn a_cut_takes_something_even_where_the_text_starts_with_white_space() {
    assert_eq!(split_after(" a", 1), (" ", "a"));
}

/// The reference ids were made with the Python tokeniser; they are the first 32 of each prompt.
#[test]
fn agrees_with_the_reference_tokeniser() {
    #[derive(Deserialize)]
    struct Golden {
        prompt: String,
        encoders: std::collections::HashMap<String, Reference>,
    }
    #[derive(Deserialize)]
    struct Reference {
        tokens: usize,
        token_ids: Vec<i64>,
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let golden = std::fs::read_to_string(root.join("training/golden/encoders.jsonl")).unwrap();
    let encoders = std::fs::read_dir(root.join("models/encoders")).unwrap();
    let encoders = encoders.map(|entry| EncoderDirectory::open(&entry.unwrap().path()).unwrap());
    let mut compared = 0;
    for encoder in encoders {
        let tokenizer = Tokenizer::open(&encoder).unwrap();
        for line in golden.lines() {
            let golden: Golden = serde_json::from_str(line).unwrap();
            let Some(reference) = golden.encoders.get(&encoder.description().name) else { continue };

            let buffer = tokenize(&tokenizer, &golden.prompt);

            assert_eq!(buffer.ids().len(), reference.tokens, "{:?}", golden.prompt);
            let head = if buffer.truncated() { 31 } else { reference.token_ids.len() };
            assert_eq!(
                buffer.ids()[..head.min(reference.token_ids.len())],
                reference.token_ids[..head.min(reference.token_ids.len())]
            );
            compared += 1;
        }
    }
    assert!(compared >= 20, "only {compared} golden rows name an installed encoder");
}
