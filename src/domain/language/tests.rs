use proptest::prelude::*;

use super::*;

fn code(text: &str) -> &'static str {
    Language::of(text).code()
}

#[test]
fn recognises_languages_in_prose() {
    for (text, language) in [
        ("Why is the sky dark at night although there are so many stars?", "en"),
        ("What is the capital of Portugal?", "en"),
        ("write a haiku about a lighthouse", "en"),
        ("请用三句话解释什么是光合作用。", "zh"),
        ("写一首关于秋天的短诗。", "zh"),
        ("请用 Python 写一个快速排序函数,并解释它的复杂度。", "zh"),
        ("100张纸用20%后，又用了余下的20%，还剩多少张？", "zh"),
        ("编写python函数sum_digits(num)，计算一个数的所有数字的和。", "zh"),
        ("请把下面的句子翻译成中文。\nThe ferry leaves at noon and comes back before it gets dark.", "zh"),
        ("日本の四季について短く説明してください。", "ja"),
        ("Почему лёд плавает в воде и почему это важно для рыб?", "ru"),
        ("اكتب جملة واحدة عن البحر في الصيف", "ar"),
        ("한국의 사계절을 짧게 설명해 주세요.", "ko"),
        ("Erkläre einem Zehnjährigen, warum Schiffe aus Stahl schwimmen und Steine untergehen.", "de"),
        (
            "Quels sont les ingrédients d'une quiche lorraine pour six personnes et combien de temps faut-il la cuire ?",
            "fr",
        ),
        ("¿Cuál es la diferencia entre los verbos ser y estar? Da tres ejemplos de cada uno.", "es"),
        ("Mi spieghi la differenza tra un virus e un batterio con parole semplici, per favore?", "it"),
        ("Explique a diferença entre um vírus e uma bactéria para uma criança de dez anos.", "pt"),
        ("Wyjaśnij różnicę między wirusem a bakterią w prostych słowach.", "pl"),
    ] {
        assert_eq!(code(text), language, "{text}");
    }
}

#[test]
fn what_is_not_prose_is_not_a_foreign_language() {
    for text in [
        "",
        "ok",
        "42",
        "def mean(xs):\n    return sum(xs) / len(xs)\n\nfor x in mean([1, 2, 3]):\n    print(x)",
        "```rust\nfn main() {\n    let v = vec![1, 2, 3];\n    let w = v;\n    println!(\"{v:?}\");\n}\n```",
        "SELECT naam, COUNT(*) FROM bestellingen WHERE datum > '2024-01-01' GROUP BY naam HAVING COUNT(*) > 3;",
        "$$\\int_0^\\infty e^{-x^2}\\,dx = \\frac{\\sqrt{\\pi}}{2}$$ \\quad \\sum_{i=1}^{n} \\alpha_i \\beta_i",
        "∀ε>0 ∃δ>0: |x−a|<δ ⇒ |f(x)−f(a)|<ε, α β γ δ λ μ π σ",
        "| Stadt | Einwohner | Fläche |\n|---|---|---|\n| Köln | 1084831 | 405 |\n| Bonn | 335975 | 141 |",
        "https://example.org/über/uns\nhttps://example.org/impressum\nhttp://example.com/a?b=c&d=e",
        "{\"nombre\": \"Lucía\", \"edad\": 31, \"ciudad\": \"Sevilla\", \"intereses\": [\"cine\", \"viajes\"]}",
        "12 + 7 * 3 - 4 / 2 = ?",
        "kubectl get pods -n prod; git rebase -i HEAD~3; npm run build",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "Paris, Rome, Berlin",
        "violin, country, bridesmaid, ground, seat, drummer, dinner, goalie, circle, insert, pen, graffiti, hammer, table",
    ] {
        let found = Language::of(text);
        assert!(found == Language::UNKNOWN || found == Language::ENGLISH, "{found:?}: {text}");
    }
}

#[test]
fn english_that_quotes_another_language_is_english() {
    for text in [
        "Translate into English: Wer anderen eine Grube gräbt, fällt selbst hinein.",
        "Translate to French: The last train leaves at half past eleven.",
        "What does \"Der frühe Vogel fängt den Wurm, aber die zweite Maus bekommt den Käse\" mean?",
        "Translate this into English:\n今天天气很好,我们一起去公园散步吧。",
        "Please summarise the following letter in English.\n\nSehr geehrte Damen und Herren, hiermit kündige ich meinen Vertrag zum \
         nächstmöglichen Zeitpunkt und bitte um eine schriftliche Bestätigung. Mit freundlichen Grüßen",
        "今天天气很好,我们一起去公园散步吧。\n\nTranslate the sentence above into English.",
        "Is the word 'Schadenfreude' used in English too?",
    ] {
        assert_eq!(code(text), "en", "{text}");
    }
}

#[test]
fn short_words_of_no_sentence_are_unknown() {
    for text in ["hola", "bonjour", "Kubernetes", "lorem ipsum", "JavaScript async await"] {
        assert_eq!(Language::of(text), Language::UNKNOWN, "{text}");
    }
}

#[test]
fn every_bin_has_its_own_name() {
    let names: std::collections::BTreeSet<_> = (0..Language::BINS).map(Language::bin_name).collect();

    assert_eq!(names.len(), Language::BINS);
    assert_eq!((Language::ENGLISH.bin(), Language::UNKNOWN.bin()), (0, Language::BINS - 1));
    assert_eq!(Language::of("Wyjaśnij różnicę między wirusem a bakterią.").name(), "Polish");
}

#[test]
fn small_words_and_instructions_are_known_in_any_case() {
    for word in ["about", "your", "the", "What", "BETWEEN", "it's"] {
        assert!(is_english(word), "{word}");
    }
    for word in ["add", "write", "translate", "Explain"] {
        assert!(is_instruction(word), "{word}");
    }
    assert!(!is_english("der") && !is_english("") && !is_instruction("extraordinarily"));
}

#[test]
fn a_text_is_read_until_it_is_clearly_english_and_no_further() {
    let crates = "A warehouse received crates on Monday, sold some of them by Friday, keeps three hundred crates in stock near gate seven today. ";
    let plain =
        "The manager should plan for the spring and know how many of them are left, which is what you have to say. ";
    let text = format!("{crates}{}", plain.repeat(20));

    let prose = Prose::of(&text);

    assert_eq!(prose.words, 48);
}

proptest! {
    #[test]
    fn any_text_has_a_language_and_the_rest_of_a_long_one_is_not_read(text in "(\\PC|\n|```|\"|\\$){0,200}", more in "\\PC{0,50}") {
        let long: String = text.chars().chain("\nx ".chars().cycle()).take(READ_CHARS).collect();

        let _ = Language::of(&text);
        prop_assert_eq!(Language::of(&long), Language::of(&format!("{long}{more}")));
    }

    #[test]
    fn the_short_way_for_ascii_words_agrees_with_the_long_one(word in "[ -~]{0,12}|[a-z]{1,6}[.:(A-Z0-9'-]{1,2}[a-z]{0,6}") {
        prop_assert_eq!(prose::is_plain_ascii(word.as_bytes()), prose::is_plain(&word), "{}", word);
    }
}
