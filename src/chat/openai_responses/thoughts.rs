//! Encrypted thoughts among the items of a request: an account is shown its own.

use serde_json::value::{RawValue, to_raw_value};

use crate::chat::native::thoughts::object;
use crate::chat::openai::Fields;
use crate::chat::seal::{Seal, may_hold_seals};
use crate::domain::ids::AccountId;

/// The input without seals, and without the thoughts of other accounts. `None` where it holds neither.
pub(super) fn readable(input: &RawValue, account: &AccountId) -> Option<Box<RawValue>> {
    if !may_hold_seals(input.get()) {
        return None;
    }
    let items: Vec<&RawValue> = serde_json::from_str(input.get()).ok()?;
    let told: Vec<String> = items.into_iter().filter_map(|item| told(item, account)).collect();
    RawValue::from_string(format!("[{}]", told.join(","))).ok()
}

/// An item as the account may see it; `None` for what it may not.
fn told(item: &RawValue, account: &AccountId) -> Option<String> {
    let as_it_is = || item.get().to_owned();
    let Ok(Fields(fields)) = serde_json::from_str::<Fields<'_>>(item.get()) else { return Some(as_it_is()) };
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, raw)| *raw);
    let content =
        field("encrypted_content").filter(|_| field("type").is_some_and(|kind| kind.get() == "\"reasoning\""));
    let content = content.and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
    let Some(seal) = content.as_deref().and_then(Seal::read) else { return Some(as_it_is()) };
    if !seal.is_for(account) {
        return None;
    }
    let content = to_raw_value(&seal.content).ok()?;
    let told = fields.iter().map(|(name, raw)| match name.as_str() {
        "encrypted_content" => (name.as_str(), content.get()),
        _ => (name.as_str(), raw.get()),
    });
    String::from_utf8(object(told)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(input: &str) -> Option<String> {
        let input = RawValue::from_string(input.to_owned()).unwrap();
        readable(&input, &AccountId::from("own")).map(|told| told.get().to_owned())
    }

    #[test]
    fn an_account_is_shown_its_own_thoughts_and_those_of_nobody() {
        let input = r#"[{"role":"user","content":"about openai:own:x"},{"summary":[ ],"type":"reasoning","encrypted_content":"openai:own:gAAA"},{"type":"reasoning","encrypted_content":"openai:other:gBBB"},{"type":"reasoning","encrypted_content":"gCCC"},{"type":"reasoning","encrypted_content":"openai:gDDD"}]"#;

        assert_eq!(
            told(input).unwrap(),
            r#"[{"role":"user","content":"about openai:own:x"},{"summary":[ ],"type":"reasoning","encrypted_content":"gAAA"},{"type":"reasoning","encrypted_content":"gCCC"},{"type":"reasoning","encrypted_content":"gDDD"}]"#
        );
    }

    #[test]
    fn what_holds_no_seal_stays_as_it_is() {
        assert_eq!(told(r#"[{"type":"reasoning","encrypted_content":"gAAA"}]"#), None);
        assert_eq!(told(r#""openai:""#), None, "a text is no list of items");
    }
}
