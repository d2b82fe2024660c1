//! From a bundle to its successor: what users and outcomes say moves it, and the gates say whether it may serve.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::model::bundle::{Bundle, EncoderDirectory};
use crate::model::index::NeighbourIndex;
use crate::model::manifest::TrainedOn;
use crate::train::adapt::{self, Adapted, Experience};
use crate::train::base::Base;
use crate::train::build::{TrainOptions, id};
use crate::train::contest::{self, Case, Side, Trial, part};
use crate::train::dataset::trained_on;
use crate::train::embed::TextEncoder;
use crate::train::error::TrainError;
use crate::train::extra::inherited;
use crate::train::feedback;
use crate::train::gates;
use crate::train::index_build::IndexSettings;
use crate::train::influence::{Bounds, Influence, Voices, bound};
use crate::train::moved::{Moved, moved};
use crate::train::operating;
use crate::train::outcomes::{self, LEAST_PROPENSITY, Outcomes, ReadReport};
use crate::train::progress::Progress;
use crate::train::publish::{Parent, PartSizes, Parts, TrainReport, write};
use crate::train::scorer::Scorer;
use crate::train::second::Second;
use crate::train::texts::Texts;

/// Up to this many prompts, what ships is fitted once more with the prompts that judged. Beyond it a fifth less is no loss.
const FITTED_AGAIN: usize = 20_000;
/// Prompts on which movement is shown where too few were held out.
const SHOWN: usize = 300;

/// Adapts a base by outcomes and feedback, judges the result on prompts that neither learned from, and writes it.
///
/// # Errors
/// As [`crate::train::build::train`].
pub(super) fn retrain(options: &TrainOptions, base: &Path, progress: &dyn Progress) -> Result<TrainReport, TrainError> {
    let start = Instant::now();
    let (bundle, mut base) = Base::at(base)?;
    let directory = encoder_directory(options, (&bundle, &base))?;
    let models = models_with(&directory, (&options.models, &base));
    let mut encoder = TextEncoder::open(&directory, (options.device, options.threads))?;
    let parent_index = index_of(&bundle, &base)?;
    let Lesson { experience, voices, texts, read, rows, influence } = gather(options, (&base, &mut encoder), progress)?;
    make_room(&mut base, &experience);

    let trial = Trial::of(&experience, &base.learned, options.seed);
    let contest = Contest { base: &base, parent_index: &parent_index, experience: &experience, voices: &voices };
    let judged = trial.held_out.len() >= gates::LEAST_CASES && trial.fit.len() >= gates::LEAST_CASES;
    let (adapted, gates, moved, operating) = if judged {
        let tried = adapt::adapt(&base, &part(&experience, &trial.fit), options.seed, progress)?;
        let (cases, moved) = contest.judge(&tried, &trial.held_out, progress)?;
        let gates = gates::against_parent(&cases, base.manifest.tiers.len(), options.seed);
        let operating = operating::of_cases(&cases, base.manifest.tiers.len(), options.seed);
        let again = experience.ids.len() <= FITTED_AGAIN;
        let shipped = if again { adapt::adapt(&base, &experience, options.seed, progress)? } else { tried };
        (shipped, gates, moved, operating)
    } else {
        let shipped = adapt::adapt(&base, &experience, options.seed, progress)?;
        let some: Vec<usize> = (0..experience.ids.len().min(SHOWN)).collect();
        let (_, moved) = contest.judge(&shipped, &some, progress)?;
        let gates = gates::against_parent(&[], base.manifest.tiers.len(), options.seed);
        (shipped, gates, Moved { unseen: false, ..moved }, None)
    };
    let second = Second { options, bundle: &bundle, base: &base, experience: &experience, texts: &texts };
    let (careful, fate) = second.look(&adapted, progress)?;
    let all = experience.ids.len();
    let fitted = if judged && all > FITTED_AGAIN { trial.fit.len() } else { all };
    let learned = base.learned.iter().copied().chain(experience.stems.iter().copied());
    let mut report = TrainReport {
        id: id(options, &rows),
        path: PathBuf::new(),
        seed: options.seed,
        read,
        prompts: PartSizes { fit: fitted, ..PartSizes::default() },
        left_out: 0,
        misfits: Vec::new(),
        held_out: None,
        careful_held_out: None,
        adapted: Some(adapted.report.clone()),
        careful: fate,
        influence,
        moved: Some(moved),
        index: None,
        gates,
        seconds: start.elapsed().as_secs_f64(),
    };
    report.prompts.test = if judged { trial.held_out.len() } else { 0 };
    let parts = Parts {
        scorer: &adapted.scorer,
        careful: careful.as_ref().map(|(scorer, encoder)| (scorer, encoder.clone())),
        space: &adapted.space,
        content: &adapted.content,
        settings: index_settings(&base, options.seed),
        parent: Some(Parent { id: base.manifest.id.clone(), directory: bundle.directory().to_path_buf() }),
        learned: learned.collect(),
        trained_on: rows,
        extra: inherited(&bundle, operating.as_ref())?,
    };
    write(&parts, (&options.out, &models), (&mut encoder, &mut report), progress)?;
    report.seconds = start.elapsed().as_secs_f64();
    Ok(report)
}

/// The models directory that the new bundle is tried in: the configured one, or the one that the base's encoder was found in.
fn models_with(encoder: &Path, (models, base): (&Path, &Base)) -> PathBuf {
    let has_it = models.join("encoders").join(&base.manifest.encoder.digest).is_dir();
    let found_in = || encoder.parent().and_then(Path::parent).map(Path::to_path_buf);
    if has_it { models.to_path_buf() } else { found_in().unwrap_or_else(|| models.to_path_buf()) }
}

fn encoder_directory(options: &TrainOptions, (bundle, base): (&Bundle, &Base)) -> Result<PathBuf, TrainError> {
    let directory = match &options.encoder {
        Some(directory) => directory.clone(),
        None => {
            let found = bundle.encoder(&base.manifest.encoder, &options.models);
            found.map_err(TrainError::model("finding the base's encoder"))?.directory().to_path_buf()
        }
    };
    let given = EncoderDirectory::open(&directory).map_err(TrainError::model("opening the encoder"))?.reference();
    if given.digest != base.manifest.encoder.digest {
        return Err(TrainError::OtherEncoder { base: base.manifest.encoder.digest.clone(), given: given.digest });
    }
    Ok(directory)
}

/// The parent's index as it serves, with the graph it was published with.
fn index_of(bundle: &Bundle, base: &Base) -> Result<NeighbourIndex, TrainError> {
    match &base.manifest.index {
        Some(index) => {
            let opened = NeighbourIndex::open(bundle, index, base.space().len());
            opened.map_err(TrainError::model("opening the base's index"))
        }
        None => Ok(NeighbourIndex::empty(base.content.vectors.dimension())),
    }
}

/// Everything there is to learn from.
struct Lesson {
    experience: Experience,
    voices: Voices,
    texts: Texts,
    read: Option<ReadReport>,
    rows: TrainedOn,
    influence: Option<Influence>,
}

fn gather(
    options: &TrainOptions,
    (base, encoder): (&Base, &mut TextEncoder),
    progress: &dyn Progress,
) -> Result<Lesson, TrainError> {
    let mut lesson = Lesson {
        experience: Experience::default(),
        voices: Voices::default(),
        texts: Texts::default(),
        read: None,
        rows: TrainedOn::default(),
        influence: None,
    };
    if !options.outcomes.is_empty() {
        let outcomes: Outcomes = outcomes::read(&options.outcomes, &options.outcome_options, progress)?;
        let texts: Vec<&str> = outcomes.prompts.iter().map(|prompt| &*prompt.text).collect();
        let features = encoder.features(&texts, progress)?;
        texts.iter().for_each(|text| lesson.texts.push(Some(text)));
        lesson.rows = trained_on(&outcomes);
        lesson.read = Some(outcomes.report.clone());
        lesson.experience.append(Experience::of(&outcomes, features));
    }
    let read = lesson.experience.ids.len();
    lesson.voices.propensities.resize(read, 1.0);
    if let Some(path) = &options.feedback {
        let mut told = feedback::read(path, encoder, progress)?;
        let most = index_settings(base, options.seed).most;
        let bounds = Bounds {
            caller_share: options.caller_share,
            indexed: most.saturating_sub(base.content.items.len()).max(most / 2),
            least_propensity: LEAST_PROPENSITY as f32,
        };
        let influence = bound(&mut told.experience, &told.voices, bounds);
        lesson.rows.rows += told.experience.rows() as u64;
        lesson.rows.prompts += told.experience.ids.len() as u64;
        lesson.rows.datasets.push(("feedback".to_owned(), told.experience.rows() as u64));
        lesson.voices.propensities.extend(told.voices.propensities);
        lesson.experience.append(told.experience);
        lesson.texts.append(told.texts);
        lesson.influence = Some(Influence { bundles: told.bundles, ..influence });
    }
    if lesson.experience.ids.is_empty() {
        return Err(TrainError::TooFew { found: 0, needed: 1 });
    }
    if lesson.rows.digest.is_empty() {
        let ids = lesson.experience.ids.iter().map(|id| format!("{:016x}", outcomes::digest(id)));
        lesson.rows.digest = crate::model::digest_of(ids.collect::<Vec<_>>().join("\n").as_bytes());
    }
    Ok(lesson)
}

/// Takes items out of the base's index that come again, or its labels would count twice, and as many others as the bound asks for.
fn make_room(base: &mut Base, experience: &Experience) {
    let coming = |row: &usize| !experience.unindexed.contains(row);
    let again: HashSet<String> = experience.ids.iter().map(|id| format!("{:016x}", outcomes::digest(id))).collect();
    let joining = (0..experience.ids.len()).filter(coming).count();
    let most = index_settings(base, 0).most;
    // Outcomes given by hand are not bounded: whoever gives many wants them in.
    base.content = base.content.thinned(&again, most.saturating_sub(joining).max(most / 2));
}

fn index_settings(base: &Base, seed: u64) -> IndexSettings {
    base.manifest.index.as_ref().map_or(IndexSettings::seeded(seed), |index| IndexSettings {
        m: index.m,
        ef_construction: index.ef_construction,
        ef_search: index.ef_search,
        ..IndexSettings::seeded(seed)
    })
}

/// What both sides are judged with.
struct Contest<'a> {
    base: &'a Base,
    parent_index: &'a NeighbourIndex,
    experience: &'a Experience,
    voices: &'a Voices,
}

impl Contest<'_> {
    fn judge(
        &self,
        tried: &Adapted,
        rows: &[usize],
        progress: &dyn Progress,
    ) -> Result<(Vec<Case>, Moved), TrainError> {
        let calibration = &self.base.calibration;
        let scorer = Scorer {
            heads: self.base.heads.clone(),
            success: calibration.success.clone(),
            difficulty: calibration.difficulty.clone(),
            task_temperature: calibration.task_temperature,
            blend: calibration.blend,
            dial: calibration.dial.clone(),
            sample: calibration.sample.clone(),
        };
        let space = self.base.space();
        let index = tried.content.index(&index_settings(self.base, 0));
        let parent = Side { scorer: &scorer, space: &space, index: self.parent_index };
        let candidate = Side { scorer: &tried.scorer, space: &tried.space, index: &index };
        let cases = contest::cases((self.experience, self.voices), rows, (parent, candidate), progress)?;
        let moved = moved(&cases, (parent, candidate));
        Ok((cases, moved))
    }
}
