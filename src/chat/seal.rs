//! Thoughts that OpenAI encrypted, as clients keep them between two turns: with the account that alone can read them.

use crate::domain::ids::AccountId;

/// Stands before such a thought, so that no other provider takes it for one of its own.
const SEAL: &str = "openai:";

/// An encrypted thought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Whose thought it is; `None` for one that was not sealed here, or before accounts were named.
    pub account: Option<AccountId>,
    /// What is encrypted.
    pub content: String,
}

impl Seal {
    /// Reads the signature of a thought. `None` for signatures of other providers.
    #[must_use]
    pub fn read(signature: &str) -> Option<Self> {
        let sealed = signature.strip_prefix(SEAL)?;
        let named = sealed.split_once(':').and_then(|(account, content)| Some((AccountId::parse(account)?, content)));
        Some(match named {
            Some((account, content)) => Self { account: Some(account), content: content.to_owned() },
            None => Self { account: None, content: sealed.to_owned() },
        })
    }

    /// Reads a field that holds nothing but such thoughts, sealed or not.
    #[must_use]
    pub fn read_content(content: &str) -> Self {
        Self::read(content).unwrap_or_else(|| Self { account: None, content: content.to_owned() })
    }

    /// Whether an account may be able to read it.
    #[must_use]
    pub fn is_for(&self, account: &AccountId) -> bool {
        self.account.as_ref().is_none_or(|own| own == account)
    }
}

/// Seals what an account's model encrypted. [`Seal::read`] gives both again.
#[must_use]
pub fn sealed(account: &AccountId, encrypted: &str) -> String {
    format!("{SEAL}{account}:{encrypted}")
}

/// Whether a text holds a seal, or something that looks like one.
#[must_use]
pub fn may_hold_seals(text: &str) -> bool {
    text.contains(SEAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(signature: &str) -> Option<(Option<String>, String)> {
        let seal = Seal::read(signature)?;
        Some((seal.account.map(|account| account.to_string()), seal.content))
    }

    #[test]
    fn what_was_sealed_is_read_again_with_its_account() {
        for content in ["gAAA-_=", "", "openai:other:gAAA", "a:b"] {
            let told = sealed(&AccountId::from("team-1"), content);

            assert_eq!(read(&told), Some((Some("team-1".to_owned()), content.to_owned())), "{told}");
        }
    }

    #[test]
    fn what_names_no_account_is_anybodys() {
        assert_eq!(read("openai:gAAA"), Some((None, "gAAA".to_owned())));
        assert_eq!(read("openai:no account:gAAA"), Some((None, "no account:gAAA".to_owned())));
        assert_eq!(read("c2ln"), None);
        assert_eq!(Seal::read_content("gAAA"), Seal { account: None, content: "gAAA".to_owned() });
    }

    #[test]
    fn a_thought_is_for_its_own_account_alone() {
        let [one, other] = ["one", "other"].map(AccountId::from);
        let seal = Seal::read_content(&sealed(&one, "x"));

        assert!(seal.is_for(&one) && !seal.is_for(&other));
        assert!(Seal::read_content("x").is_for(&other));
    }
}
