//! Words and codes.

/// Whether a word is one of the small words that English prose is full of. Words that are common in other languages too are left out.
pub(super) fn is_english(word: &str) -> bool {
    let mut room = [0_u8; LONGEST];
    lowered(word, &mut room).is_some_and(|word| {
        matches!(
            word,
            b"about"
                | b"after"
                | b"again"
                | b"also"
                | b"and"
                | b"any"
                | b"be"
                | b"because"
                | b"been"
                | b"before"
                | b"being"
                | b"between"
                | b"both"
                | b"but"
                | b"by"
                | b"can"
                | b"can't"
                | b"cannot"
                | b"could"
                | b"did"
                | b"didn't"
                | b"does"
                | b"doesn't"
                | b"doing"
                | b"don't"
                | b"down"
                | b"during"
                | b"each"
                | b"every"
                | b"few"
                | b"first"
                | b"following"
                | b"for"
                | b"from"
                | b"further"
                | b"get"
                | b"give"
                | b"given"
                | b"has"
                | b"have"
                | b"having"
                | b"here"
                | b"him"
                | b"his"
                | b"how"
                | b"i'm"
                | b"if"
                | b"into"
                | b"is"
                | b"isn't"
                | b"it"
                | b"it's"
                | b"its"
                | b"just"
                | b"know"
                | b"let"
                | b"like"
                | b"make"
                | b"many"
                | b"may"
                | b"more"
                | b"most"
                | b"much"
                | b"must"
                | b"my"
                | b"need"
                | b"not"
                | b"now"
                | b"once"
                | b"one"
                | b"only"
                | b"other"
                | b"our"
                | b"out"
                | b"own"
                | b"please"
                | b"same"
                | b"sentence"
                | b"she"
                | b"should"
                | b"show"
                | b"some"
                | b"such"
                | b"than"
                | b"that"
                | b"that's"
                | b"the"
                | b"their"
                | b"them"
                | b"then"
                | b"there"
                | b"there's"
                | b"these"
                | b"they"
                | b"this"
                | b"those"
                | b"through"
                | b"to"
                | b"too"
                | b"until"
                | b"up"
                | b"used"
                | b"using"
                | b"very"
                | b"want"
                | b"what"
                | b"what's"
                | b"when"
                | b"where"
                | b"whether"
                | b"which"
                | b"while"
                | b"who"
                | b"who's"
                | b"why"
                | b"with"
                | b"within"
                | b"without"
                | b"won't"
                | b"would"
                | b"you"
                | b"your"
                | b"yours"
        )
    })
}

/// Whether a word opens English instructions and questions.
pub(super) fn is_instruction(word: &str) -> bool {
    let mut room = [0_u8; LONGEST];
    lowered(word, &mut room).is_some_and(|word| {
        matches!(
            word,
            b"add"
                | b"analyse"
                | b"analyze"
                | b"answer"
                | b"brainstorm"
                | b"calculate"
                | b"classify"
                | b"compare"
                | b"complete"
                | b"compose"
                | b"compute"
                | b"convert"
                | b"correct"
                | b"create"
                | b"debug"
                | b"define"
                | b"describe"
                | b"design"
                | b"detect"
                | b"determine"
                | b"discuss"
                | b"draft"
                | b"edit"
                | b"elaborate"
                | b"english"
                | b"estimate"
                | b"evaluate"
                | b"explain"
                | b"extract"
                | b"find"
                | b"fix"
                | b"generate"
                | b"give"
                | b"help"
                | b"how"
                | b"identify"
                | b"implement"
                | b"improve"
                | b"label"
                | b"list"
                | b"make"
                | b"name"
                | b"outline"
                | b"paraphrase"
                | b"parse"
                | b"plan"
                | b"prove"
                | b"provide"
                | b"read"
                | b"recommend"
                | b"refactor"
                | b"rephrase"
                | b"reply"
                | b"respond"
                | b"review"
                | b"revise"
                | b"rewrite"
                | b"say"
                | b"shorten"
                | b"simplify"
                | b"solve"
                | b"suggest"
                | b"summarise"
                | b"summarize"
                | b"tell"
                | b"transcribe"
                | b"translate"
                | b"translation"
                | b"what"
                | b"when"
                | b"where"
                | b"which"
                | b"who"
                | b"why"
                | b"write"
        )
    })
}

/// The longest word that is looked for.
const LONGEST: usize = 12;

/// A word in small letters; `None` for one that is longer than any that is looked for.
fn lowered<'a>(word: &str, room: &'a mut [u8; LONGEST]) -> Option<&'a [u8]> {
    let lowered = room.get_mut(..word.len())?;
    for (small, byte) in lowered.iter_mut().zip(word.bytes()) {
        *small = byte.to_ascii_lowercase();
    }
    Some(lowered)
}

/// The ISO 639-1 code of a language given by its 639-3 code, or the code itself where there is no shorter one.
pub(super) fn short_code(code: &'static str) -> &'static str {
    SHORT.iter().find(|(long, _)| *long == code).map_or(code, |(_, short)| short)
}

/// English names, for sentences.
pub(super) const NAMES: [(&str, &str); 33] = [
    ("en", "English"),
    ("zh", "Chinese"),
    ("es", "Spanish"),
    ("fr", "French"),
    ("de", "German"),
    ("pt", "Portuguese"),
    ("ru", "Russian"),
    ("ja", "Japanese"),
    ("ko", "Korean"),
    ("ar", "Arabic"),
    ("hi", "Hindi"),
    ("it", "Italian"),
    ("nl", "Dutch"),
    ("pl", "Polish"),
    ("tr", "Turkish"),
    ("vi", "Vietnamese"),
    ("uk", "Ukrainian"),
    ("el", "Greek"),
    ("he", "Hebrew"),
    ("fa", "Persian"),
    ("th", "Thai"),
    ("cs", "Czech"),
    ("sv", "Swedish"),
    ("da", "Danish"),
    ("nb", "Norwegian"),
    ("fi", "Finnish"),
    ("hu", "Hungarian"),
    ("ro", "Romanian"),
    ("id", "Indonesian"),
    ("ca", "Catalan"),
    ("bn", "Bengali"),
    ("ta", "Tamil"),
    ("ur", "Urdu"),
];

const SHORT: [(&str, &str); 70] = [
    ("epo", "eo"),
    ("eng", "en"),
    ("rus", "ru"),
    ("cmn", "zh"),
    ("spa", "es"),
    ("por", "pt"),
    ("ita", "it"),
    ("ben", "bn"),
    ("fra", "fr"),
    ("deu", "de"),
    ("ukr", "uk"),
    ("kat", "ka"),
    ("ara", "ar"),
    ("hin", "hi"),
    ("jpn", "ja"),
    ("heb", "he"),
    ("yid", "yi"),
    ("pol", "pl"),
    ("amh", "am"),
    ("jav", "jv"),
    ("kor", "ko"),
    ("nob", "nb"),
    ("dan", "da"),
    ("swe", "sv"),
    ("fin", "fi"),
    ("tur", "tr"),
    ("nld", "nl"),
    ("hun", "hu"),
    ("ces", "cs"),
    ("ell", "el"),
    ("bul", "bg"),
    ("bel", "be"),
    ("mar", "mr"),
    ("kan", "kn"),
    ("ron", "ro"),
    ("slv", "sl"),
    ("hrv", "hr"),
    ("srp", "sr"),
    ("mkd", "mk"),
    ("lit", "lt"),
    ("lav", "lv"),
    ("est", "et"),
    ("tam", "ta"),
    ("vie", "vi"),
    ("urd", "ur"),
    ("tha", "th"),
    ("guj", "gu"),
    ("uzb", "uz"),
    ("pan", "pa"),
    ("aze", "az"),
    ("ind", "id"),
    ("tel", "te"),
    ("pes", "fa"),
    ("mal", "ml"),
    ("ori", "or"),
    ("mya", "my"),
    ("nep", "ne"),
    ("sin", "si"),
    ("khm", "km"),
    ("tuk", "tk"),
    ("aka", "ak"),
    ("zul", "zu"),
    ("sna", "sn"),
    ("afr", "af"),
    ("lat", "la"),
    ("slk", "sk"),
    ("cat", "ca"),
    ("tgl", "tl"),
    ("hye", "hy"),
    ("cym", "cy"),
];
