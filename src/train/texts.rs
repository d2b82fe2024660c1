//! The texts of prompts that the careful encoder reads: all of them where they are few, evenly spread ones where they are many.

use crate::domain::prompt::clip;

/// Most texts that are kept. The careful encoder takes about a thousand times as long for each as the fast one.
pub const MOST_TEXTS: usize = 1_500;

/// Texts of some of the prompts, by the place of each prompt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Texts {
    kept: Vec<(usize, Box<str>)>,
    /// Prompts that were taken.
    prompts: usize,
    /// Those of them that had a text.
    with_text: usize,
    /// How often the texts were halved.
    halved: u32,
}

impl Texts {
    /// Takes the next prompt, as far as scoring reads it; `None` for one whose text was not kept.
    pub fn push(&mut self, text: Option<&str>) {
        if let Some(text) = text {
            if self.with_text.is_multiple_of(1 << self.halved) {
                self.kept.push((self.prompts, clip(text.trim()).0.into()));
            }
            self.with_text += 1;
        }
        self.prompts += 1;
        self.thin();
    }

    /// Takes the prompts of another after its own.
    pub fn append(&mut self, other: Self) {
        self.kept.extend(other.kept.into_iter().map(|(at, text)| (self.prompts + at, text)));
        self.prompts += other.prompts;
        self.with_text += other.with_text;
        self.halved = self.halved.max(other.halved);
        self.thin();
    }

    /// Lets every second text go while there are too many.
    fn thin(&mut self) {
        while self.kept.len() > MOST_TEXTS {
            self.halved += 1;
            let mut nth = 0_usize;
            self.kept.retain(|_| {
                nth += 1;
                nth % 2 == 1
            });
        }
    }

    /// The places of the prompts whose text is here, ascending.
    #[must_use]
    pub fn places(&self) -> Vec<usize> {
        self.kept.iter().map(|(at, _)| *at).collect()
    }

    /// The texts, in the order of [`Texts::places`].
    #[must_use]
    pub fn texts(&self) -> Vec<&str> {
        self.kept.iter().map(|(_, text)| &**text).collect()
    }

    /// Whether so few prompts have a text that they do not stand for the rest.
    #[must_use]
    pub const fn are_rare(&self) -> bool {
        2 * self.with_text < self.prompts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(count: usize) -> Texts {
        let mut texts = Texts::default();
        for at in 0..count {
            texts.push(Some(&format!("prompt {at}")));
        }
        texts
    }

    #[test]
    fn a_few_are_kept_whole_and_many_evenly_spread() {
        let (few, many) = (some(MOST_TEXTS), some(100_000));

        assert_eq!(few.places(), (0..MOST_TEXTS).collect::<Vec<usize>>());
        let places = many.places();
        assert!((MOST_TEXTS / 2..=MOST_TEXTS).contains(&places.len()), "{}", places.len());
        assert!(places.windows(2).all(|two| two[1] - two[0] == places[1]));
        assert_eq!(many.texts()[1], format!("prompt {}", places[1]));
        assert!(!few.are_rare() && !many.are_rare());
    }

    #[test]
    fn those_of_another_come_after_its_own() {
        let (mut texts, mut other) = (some(3), Texts::default());
        other.push(None);
        other.push(Some("  last "));

        texts.append(other);

        assert_eq!(texts.places(), [0, 1, 2, 4]);
        assert_eq!(texts.texts()[3], "last");
    }

    #[test]
    fn prompts_that_were_not_kept_are_missed() {
        let mut texts = some(10);
        (0..100).for_each(|_| texts.push(None));

        assert!(texts.are_rare());
    }
}
