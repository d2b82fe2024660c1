//! A bundle as the starting point of another.

use std::collections::HashSet;
use std::path::Path;

use crate::domain::embedding::Embedding;
use crate::domain::scores::LabelSpace;
use crate::model::bundle::Bundle;
use crate::model::heads::graph::HeadsGraph;
use crate::model::heads::read;
use crate::model::index::Vectors;
use crate::model::index::onboarded::read_onboarded;
use crate::model::manifest::{Calibration, EncoderRef, HeadsRef, IndexItem, Manifest};
use crate::train::error::TrainError;
use crate::train::index_build::{IndexContent, IndexSettings};
use crate::train::publish::LEARNED_FILE;

/// What a bundle knows, in a form that can be added to.
#[derive(Clone, Debug)]
pub struct Base {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its heads.
    pub heads: HeadsGraph,
    /// Its calibration.
    pub calibration: Calibration,
    /// Its index.
    pub content: IndexContent,
    /// Its careful heads, where it has some.
    pub careful: Option<CarefulBase>,
    /// Digests of the questions that it and its ancestors learned. Empty for a bundle that does not say.
    pub learned: HashSet<u64>,
}

/// The careful scorer of a base.
#[derive(Clone, Debug)]
pub struct CarefulBase {
    /// The encoder that its heads read.
    pub encoder: EncoderRef,
    /// Its heads.
    pub heads: HeadsGraph,
    /// Its calibration.
    pub calibration: Calibration,
}

impl Base {
    /// Opens and verifies a bundle.
    ///
    /// # Errors
    /// A damaged bundle, or heads that another program wrote.
    pub fn open(bundle: &Bundle) -> Result<Self, TrainError> {
        let wrap = |error| TrainError::model("reading the base bundle")(error);
        let manifest = bundle.manifest().clone();
        let scorer = |files: &HeadsRef| -> Result<(HeadsGraph, Calibration), TrainError> {
            let heads = read::decode(&bundle.read(&files.path).map_err(wrap)?)?;
            Ok((heads, bundle.read_json(&files.calibration).map_err(wrap)?))
        };
        let (heads, calibration) = scorer(&manifest.heads)?;
        let careful = match &manifest.careful {
            Some(careful) => {
                let (heads, calibration) = scorer(&careful.heads)?;
                Some(CarefulBase { encoder: careful.encoder.clone(), heads, calibration })
            }
            None => None,
        };
        let content = match &manifest.index {
            None => IndexContent::empty(IndexSettings::seeded(0).dimension.min(heads.dimension)),
            Some(index) => {
                let items: Vec<IndexItem> = bundle.read_json_lines(&index.items).map_err(wrap)?;
                let vectors = Vectors::from_bytes(&bundle.read(&index.vectors).map_err(wrap)?, index.dimension);
                let vectors = vectors.filter(|vectors| vectors.len() == items.len());
                let damaged = || TrainError::Model {
                    doing: "reading the base bundle",
                    detail: "its index contradicts its manifest; run `trimtab bundle verify`".to_owned(),
                };
                let mut content = IndexContent { vectors: vectors.ok_or_else(damaged)?, items };
                let positions = manifest.tiers.len() + manifest.models.len();
                // Prompts of added models stand apart only until the next training.
                let added = read_onboarded(bundle, (index.dimension, positions)).map_err(wrap)?;
                for (item, row) in added.iter().flat_map(|(vectors, items)| items.iter().zip(vectors.rows())) {
                    if let Some(embedding) = Embedding::normalise(row.to_vec()) {
                        content.push(item.id.clone(), &embedding, item.labels.clone());
                    }
                }
                content
            }
        };
        let learned = match bundle.read(LEARNED_FILE) {
            Ok(bytes) => bytes.as_chunks::<8>().0.iter().map(|stem| u64::from_le_bytes(*stem)).collect(),
            // Bundles from before there was this file.
            Err(_) => HashSet::new(),
        };
        Ok(Self { manifest, heads, calibration, content, careful, learned })
    }

    /// Opens a bundle directory.
    ///
    /// # Errors
    /// As [`Base::open`].
    pub fn at(directory: &Path) -> Result<(Bundle, Self), TrainError> {
        let bundle = Bundle::open(directory).map_err(TrainError::model("opening the base bundle"))?;
        let base = Self::open(&bundle)?;
        Ok((bundle, base))
    }

    /// What its positions mean.
    #[must_use]
    pub fn space(&self) -> LabelSpace {
        LabelSpace::new(self.manifest.tiers.clone(), self.manifest.models.clone())
    }
}
