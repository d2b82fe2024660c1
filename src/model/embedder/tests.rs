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
