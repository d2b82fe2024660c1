//! The second look of an adapted bundle: the careful scorer of its base, where that can be taken along.

use std::path::PathBuf;

use crate::model::bundle::{Bundle, EncoderDirectory};
use crate::model::manifest::EncoderRef;
use crate::train::adapt::careful::{CarefulFate, CarefullyRead, adapt_careful};
use crate::train::adapt::{Adapted, Experience};
use crate::train::base::{Base, CarefulBase};
use crate::train::build::TrainOptions;
use crate::train::embed::TextEncoder;
use crate::train::error::TrainError;
use crate::train::progress::Progress;
use crate::train::scorer::Scorer;
use crate::train::texts::Texts;

/// What it takes to bring the careful scorer along.
pub(super) struct Second<'a> {
    pub(super) options: &'a TrainOptions,
    pub(super) bundle: &'a Bundle,
    pub(super) base: &'a Base,
    pub(super) experience: &'a Experience,
    pub(super) texts: &'a Texts,
}

/// A careful scorer with its encoder.
type Careful = (Scorer, EncoderRef);

impl Second<'_> {
    /// Moves the careful scorer of the base, or says why the new bundle goes without; nothing where the base has none.
    ///
    /// # Errors
    /// Another encoder was named than the base's, an encoder that is there fails, numeric failure, and interruption.
    pub(super) fn look(
        &self,
        adapted: &Adapted,
        progress: &dyn Progress,
    ) -> Result<(Option<Careful>, Option<CarefulFate>), TrainError> {
        let Some(careful) = &self.base.careful else { return Ok((None, None)) };
        let directory = match self.encoder(careful)? {
            Ok(directory) => directory,
            Err(why) => return Ok((None, Some(CarefulFate::left_out(why)))),
        };
        if self.texts.are_rare() {
            let why = "its encoder reads prompts, and most of what there is to learn from has none; \
                       keep prompts in the store (`store.prompts`) and export them";
            return Ok((None, Some(CarefulFate::left_out(why))));
        }
        let mut encoder = TextEncoder::open(&directory, (self.options.device, self.options.threads))?;
        let features = encoder.features(&self.texts.texts(), progress)?;
        let read = CarefullyRead { places: self.texts.places(), features };
        let given = (self.experience, &read);
        let (scorer, report) = adapt_careful((self.base, careful), given, (adapted, self.options.seed), progress)?;
        let fate = CarefulFate::of(report, &adapted.report);
        let kept = matches!(fate, CarefulFate::Moved(_)).then(|| (scorer, careful.encoder.clone()));
        Ok((kept, Some(fate)))
    }

    /// Where the careful encoder is, or why it cannot be used.
    fn encoder(&self, careful: &CarefulBase) -> Result<Result<PathBuf, String>, TrainError> {
        let Some(named) = &self.options.careful_encoder else {
            let found = self.bundle.encoder(&careful.encoder, &self.options.models);
            return Ok(found.map(|encoder| encoder.directory().to_path_buf()).map_err(|error| error.to_string()));
        };
        let given = EncoderDirectory::open(named).map_err(TrainError::model("opening the careful encoder"))?;
        let (base, given) = (careful.encoder.digest.clone(), given.reference().digest);
        if base == given { Ok(Ok(named.clone())) } else { Err(TrainError::OtherEncoder { base, given }) }
    }
}

#[cfg(test)]
mod tests;
