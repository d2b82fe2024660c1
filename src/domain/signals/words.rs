//! Words that give the kind of an ask away. English, since the training data is.

/// What a word is a sign of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WordKind {
    Constraint,
    Negation,
    Mathematics,
    Creation,
    Reasoning,
    Code,
    Example,
}

/// The longest word of the lists.
const LONGEST: usize = 12;

/// What a word, as it stands between spaces, is a sign of.
pub(super) fn kind(word: &str) -> Option<WordKind> {
    let bare = word.trim_matches(|c: char| c.is_ascii_punctuation() && c != '_');
    let mut lowered = [0_u8; LONGEST];
    // Only short words can match, so the rest costs one comparison.
    let lowered = lowered.get_mut(..bare.len())?;
    lowered.copy_from_slice(bare.as_bytes());
    lowered.make_ascii_lowercase();
    Some(match &*lowered {
        b"must" | b"exactly" | b"only" | b"without" | b"each" | b"every" | b"should" | b"ensure" | b"include"
        | b"avoid" | b"limit" | b"maximum" | b"minimum" | b"format" | b"words" | b"bullet" | b"step" | b"steps"
        | b"most" => WordKind::Constraint,
        b"not" | b"except" | b"false" | b"incorrect" | b"least" | b"never" | b"none" | b"neither" => WordKind::Negation,
        b"equation" | b"solve" | b"calculate" | b"compute" | b"integer" | b"integers" | b"probability"
        | b"triangle" | b"polynomial" | b"many" | b"much" | b"percent" | b"average" | b"sum" | b"product"
        | b"derivative" | b"integral" | b"prove" | b"prime" | b"value" | b"total" | b"remainder" => {
            WordKind::Mathematics
        }
        b"write" | b"compose" | b"draft" | b"story" | b"poem" | b"essay" | b"email" | b"blog" | b"imagine"
        | b"pretend" | b"act" | b"describe" | b"create" | b"generate" | b"rewrite" | b"summarize" | b"summarise"
        | b"translate" | b"suggest" | b"design" | b"role" | b"character" => WordKind::Creation,
        b"if" | b"then" | b"suppose" | b"assume" | b"therefore" | b"because" | b"given" | b"which" | b"following"
        | b"imply" | b"implies" | b"conclude" | b"true" | b"who" | b"than" => WordKind::Reasoning,
        b"def" | b"import" | b"function" | b"return" | b"const" | b"fn" | b"void" | b"select" | b"python"
        | b"javascript" | b"sql" | b"java" | b"rust" | b"html" | b"regex" | b"api" | b"code" | b"program"
        | b"algorithm" | b"script" | b"array" | b"implement" => WordKind::Code,
        b"example" | b"examples" | b"input" | b"output" | b"answer" => WordKind::Example,
        _ => return None,
    })
}
