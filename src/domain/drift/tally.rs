//! Counting prompts finely enough that any reference can choose its bins later.

use serde::{Deserialize, Serialize};

use crate::domain::language::Language;
use crate::domain::scores::Scores;
use crate::domain::task::Task;

/// One thing about prompts whose mix is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// What a stronger tier is expected to gain: the best tier's success minus the weakest's.
    Gain,
    /// The likeliest task.
    Task,
    /// The language of the ask.
    Language,
    /// The characters of the ask.
    Length,
    /// The similarity of the nearest labelled prompts.
    Density,
    /// How far the neighbours moved the heads.
    Disagreement,
}

/// Steps of a share between 0 and 1.
const STEPS: usize = 100;

/// Steps of the length: four to a doubling, up to the longest ask.
const LENGTHS: usize = 60;

/// Into how many bins of about equal weight a reference cuts a number.
const GROUPS: usize = 10;

impl Dimension {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Gain, Self::Task, Self::Language, Self::Length, Self::Density, Self::Disagreement];

    /// The name in JSON and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gain => "gain",
            Self::Task => "task",
            Self::Language => "language",
            Self::Length => "length",
            Self::Density => "density",
            Self::Disagreement => "disagreement",
        }
    }

    /// The name as it reads in a sentence.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Gain => "the gain of a stronger model",
            Self::Task => "the task mix",
            Self::Language => "the language mix",
            Self::Length => "the length of prompts",
            Self::Density => "the similarity to labelled prompts",
            Self::Disagreement => "the disagreement of heads and neighbours",
        }
    }

    /// How many places it is counted in.
    #[must_use]
    pub const fn places(self) -> usize {
        match self {
            Self::Gain | Self::Density | Self::Disagreement => STEPS,
            Self::Task => Task::ALL.len(),
            Self::Language => Language::BINS,
            Self::Length => LENGTHS,
        }
    }

    /// Whether its places are names and not numbers.
    const fn is_named(self) -> bool {
        match self {
            Self::Task | Self::Language => true,
            Self::Gain | Self::Length | Self::Density | Self::Disagreement => false,
        }
    }

    fn start(self) -> usize {
        Self::ALL.iter().take_while(|dimension| **dimension != self).map(|dimension| dimension.places()).sum()
    }

    /// The number at which a place begins.
    fn value(self, place: usize) -> f64 {
        match self {
            Self::Gain | Self::Density | Self::Disagreement => place as f64 / STEPS as f64,
            Self::Length => (place as f64 / 4.0).exp2(),
            Self::Task | Self::Language => place as f64,
        }
    }

    /// The name of a bin from one place to another, the last one included.
    fn name(self, first: usize, last: usize) -> String {
        match self {
            Self::Task => Task::ALL.get(first).map_or("other", |task| task.as_str()).to_owned(),
            Self::Language => Language::bin_name(first).to_owned(),
            Self::Length => format!("{:.0} to {:.0}", self.value(first), self.value(last + 1)),
            Self::Gain | Self::Density | Self::Disagreement => {
                format!("{:.2} to {:.2}", self.value(first), self.value(last + 1))
            }
        }
    }
}

/// How many places there are in all: the sum of [`Dimension::places`].
pub const PLACES: usize = 3 * STEPS + LENGTHS + Task::ALL.len() + Language::BINS;

/// What is counted of one prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sighting {
    /// The best tier's expected success minus the weakest's.
    pub gain: f64,
    /// The likeliest task.
    pub task: Task,
    /// The language.
    pub language: Language,
    /// Characters of the ask.
    pub chars: usize,
    /// The mean similarity of the nearest labelled prompts.
    pub density: f64,
    /// How far the neighbours moved the heads.
    pub disagreement: f64,
}

impl Sighting {
    /// What is counted of a scored prompt under a bundle with this many tiers.
    #[must_use]
    pub fn of(scores: &Scores, tiers: usize, chars: usize) -> Self {
        let means = || scores.success.iter().take(tiers).map(|success| success.mean.get());
        let weakest = means().next().unwrap_or_default();
        Self {
            gain: means().fold(weakest, f64::max) - weakest,
            task: scores.task().0,
            language: scores.familiarity.language,
            chars,
            density: scores.neighbourhood.density,
            disagreement: scores.familiarity.disagreement,
        }
    }

    /// The place it is counted at in each dimension, in the order of [`Dimension::ALL`]; each below [`PLACES`].
    #[must_use]
    pub fn places(&self) -> [usize; Dimension::ALL.len()] {
        let step = |share: f64| ((share.clamp(0.0, 1.0) * STEPS as f64 + 1e-9) as usize).min(STEPS - 1);
        let length = ((self.chars.max(1) as f64).log2() * 4.0 + 1e-9) as usize;
        let task = Task::ALL.iter().position(|task| *task == self.task).unwrap_or_default();
        let mut start = 0;
        Dimension::ALL.map(|dimension| {
            let place = match dimension {
                Dimension::Gain => step(self.gain),
                Dimension::Task => task,
                Dimension::Language => self.language.bin(),
                Dimension::Length => length.min(LENGTHS - 1),
                Dimension::Density => step(self.density),
                Dimension::Disagreement => step(self.disagreement),
            };
            let at = start + place;
            start += dimension.places();
            at
        })
    }
}

/// Counts at every place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tally {
    counts: Vec<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { counts: vec![0; PLACES] }
    }
}

impl Tally {
    /// Whether it has the right shape, as one from a file may not.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.counts.len() == PLACES
    }

    /// Counts a prompt.
    pub fn add(&mut self, sighting: &Sighting) {
        for place in sighting.places() {
            if let Some(count) = self.counts.get_mut(place) {
                *count += 1;
            }
        }
    }

    /// Adds counts by place, from the first.
    pub fn add_counts(&mut self, counts: impl Iterator<Item = u64>) {
        for (count, more) in self.counts.iter_mut().zip(counts) {
            *count += more;
        }
    }

    /// Every count, by place.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The counts of one dimension.
    #[must_use]
    pub fn of(&self, dimension: Dimension) -> &[u64] {
        let start = dimension.start();
        self.counts.get(start..start + dimension.places()).unwrap_or_default()
    }

    /// How many prompts were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.of(Dimension::Task).iter().sum()
    }

    /// The number that this share of the prompts lies below, to the nearest place. Zero where nothing was counted.
    #[must_use]
    pub fn quantile(&self, dimension: Dimension, share: f64) -> f64 {
        let wanted = share.clamp(0.0, 1.0) * self.total() as f64;
        let mut seen = 0.0;
        for (place, &count) in self.of(dimension).iter().enumerate() {
            seen += count as f64;
            if count > 0 && seen >= wanted {
                return dimension.value(place);
            }
        }
        0.0
    }

    /// Cuts two tallies into the same bins: names by themselves, numbers into ten of about equal weight in the reference.
    #[must_use]
    pub fn binned(reference: &Self, recent: &Self, dimension: Dimension) -> Binned {
        let (old, new) = (reference.of(dimension), recent.of(dimension));
        let mut binned = Binned::default();
        let share = old.iter().sum::<u64>() as f64 / GROUPS as f64;
        let (mut first, mut a, mut b, mut seen) = (0, 0, 0, 0_u64);
        for (place, (&before, &now)) in old.iter().zip(new).enumerate() {
            a += before;
            b += now;
            seen += before;
            let full = seen as f64 >= share * (binned.reference.len() + 1) as f64 && a > 0;
            if dimension.is_named() || full || place + 1 == old.len() {
                binned.names.push(dimension.name(first, place));
                binned.reference.push(a);
                binned.recent.push(b);
                (first, a, b) = (place + 1, 0, 0);
            }
        }
        binned
    }
}

/// Two counts over the same bins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Binned {
    /// What each bin holds.
    pub names: Vec<String>,
    /// The reference's counts.
    pub reference: Vec<u64>,
    /// The recent counts.
    pub recent: Vec<u64>,
}
