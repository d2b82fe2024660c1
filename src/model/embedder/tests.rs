use super::*;
use crate::model::testing::TinyModels;

fn threads(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

#[test]
fn embeds_in_order_whatever_the_threads() {
    let models = TinyModels::new();
    for kind in ["static", "transformer"] {
        let mut embedder = Embedder::open(&models.encoder(kind), Device::Cpu).unwrap();
        let texts: Vec<String> =
            (0..101).map(|n| if n % 10 == 3 { String::new() } else { "the city ".repeat(n + 1) }).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();

        let one = embedder.embed_many(&texts, threads(1)).unwrap();
        let three = embedder.embed_many(&texts, threads(3)).unwrap();

        assert_eq!(one.len(), texts.len());
        for ((one, three), text) in one.iter().zip(&three).zip(&texts) {
            assert_eq!(one.is_none(), text.is_empty(), "{kind}");
            let (Some(one), Some(three)) = (one, three) else { continue };
            assert!(one.cosine(three) > 0.99999, "{kind}");
        }
    }
}

#[test]
fn gives_what_serving_gives() {
    let models = TinyModels::new();
    let prompt = crate::domain::prompt::Prompt::from_ask("what is the capital of the country?");
    let served = models.generation().score(&prompt).unwrap();
    let mut embedder = Embedder::open(&models.encoder("static"), Device::Cpu).unwrap();

    let embedded = embedder.embed_many(&[&prompt.ask], threads(1)).unwrap();

    assert_eq!(embedded, [Some(served.embedding)]);
    assert_eq!(embedder.count_tokens(&prompt.ask).unwrap(), served.tokens);
    assert_eq!(embedder.encoder_ref().dimension, embedder.dimension());
}

#[test]
fn no_texts_give_no_embeddings() {
    let models = TinyModels::new();
    let mut embedder = Embedder::open(&models.encoder("static"), Device::Cpu).unwrap();

    assert_eq!(embedder.embed_many(&[], threads(4)).unwrap(), []);
}

/// The reference embeddings were made in Python from the original weights. Rows that the encoder would cut are left out: the
/// reference keeps only their head.
#[test]
fn agrees_with_the_reference_embeddings() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let golden = std::fs::read_to_string(root.join("training/golden/encoders.jsonl")).unwrap();
    let rows: Vec<serde_json::Value> = golden.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut compared = 0;
    for directory in std::fs::read_dir(root.join("models/encoders")).unwrap() {
        let mut embedder = Embedder::open(&directory.unwrap().path(), Device::Cpu).unwrap();
        // The references are those of the unquantised encoder: eight bits through six layers move a number by some hundredths.
        let description = embedder.directory.description();
        let through_layers = description.kind == EncoderKind::Transformer && description.precision == "int8";
        let tolerance = if through_layers { 6e-2 } else { 5e-3 };
        for row in &rows {
            let reference = &row["encoders"][&embedder.encoder_ref().name];
            let whole =
                reference["tokens"].as_u64().is_some_and(|tokens| tokens < embedder.tokenizer.max_tokens() as u64);
            if !whole {
                continue;
            }
            let text = row["prompt"].as_str().unwrap();
            let expected: Vec<f64> = serde_json::from_value(reference["embedding"].clone()).unwrap();

            let Some(embedding) = embedder.embed_many(&[text], threads(1)).unwrap().remove(0) else { continue };

            let found = embedding.as_slice().iter().map(|&x| f64::from(x));
            let off = expected.iter().zip(found).map(|(expected, found)| (expected - found).abs()).fold(0.0, f64::max);
            assert!(off < tolerance, "{} is off by {off} for {text:?}", embedder.encoder_ref().name);
            compared += 1;
        }
    }
    assert!(compared >= 20, "only {compared} golden rows name an installed encoder");
}
