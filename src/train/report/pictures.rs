//! A plot as SVG for the page, or as PNG to pass on.

use std::sync::OnceLock;

use plotters::coord::Shift;
use plotters::prelude::{
    BitMapBackend, DrawingArea, DrawingAreaErrorKind, DrawingBackend, IntoDrawingArea, SVGBackend,
};
use plotters::style::{FontStyle, register_font};

use crate::train::error::TrainError;
use crate::train::evaluate::EvalReport;
use crate::train::report::ink::{HEIGHT, Scale, WIDTH};
use crate::train::report::plots;

/// Letters for the pictures, so that they do not depend on what fonts a machine has. Free licence, beside the file.
const LETTERS: &[u8] = include_bytes!("DejaVuSans-subset.ttf");

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plot {
    CostQuality,
    GapRecovered,
    Reliability,
}

impl Plot {
    /// In the order of the page.
    pub(super) const ALL: [Self; 3] = [Self::CostQuality, Self::GapRecovered, Self::Reliability];

    /// The name of its picture.
    pub(super) fn file(self) -> String {
        format!("{}.png", self.name())
    }

    /// What it shows, for names and errors.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::CostQuality => "cost-quality",
            Self::GapRecovered => "gap-recovered",
            Self::Reliability => "reliability",
        }
    }

    fn size(self, report: &EvalReport) -> (u32, u32) {
        match self {
            Self::CostQuality | Self::GapRecovered => (WIDTH, HEIGHT),
            Self::Reliability => (WIDTH, 32 + 380 * plots::shown(report).len().div_ceil(2).max(1) as u32),
        }
    }

    fn draw<DB: DrawingBackend>(
        self,
        area: &DrawingArea<DB, Shift>,
        (report, scale): (&EvalReport, Scale),
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        match self {
            Self::CostQuality => plots::cost_quality(area, report, scale),
            Self::GapRecovered => plots::gap_recovered(area, report, scale),
            Self::Reliability => plots::reliability(area, report, scale),
        }?;
        area.present()
    }
}

/// Makes the letters known, once.
fn lettered(plot: Plot) -> Result<(), TrainError> {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    let known = *KNOWN.get_or_init(|| register_font("sans-serif", FontStyle::Normal, LETTERS).is_ok());
    let detail = "the font that comes with trimtab does not load".to_owned();
    if known { Ok(()) } else { Err(TrainError::Plot { what: plot.name(), detail }) }
}

/// The plot as an SVG element.
///
/// # Errors
/// The drawing library fails.
pub(super) fn svg(plot: Plot, report: &EvalReport) -> Result<String, TrainError> {
    lettered(plot)?;
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, plot.size(report)).into_drawing_area();
        plot.draw(&area, (report, Scale(1))).map_err(failed(plot))?;
    }
    Ok(text)
}

/// The plot as a PNG file of twice the page's resolution, drawn at four times and averaged, so that lines are smooth.
///
/// # Errors
/// The drawing library or the encoder fails.
pub(super) fn png(plot: Plot, report: &EvalReport) -> Result<Vec<u8>, TrainError> {
    lettered(plot)?;
    let (width, height) = plot.size(report);
    let (wide, high) = (width * 4, height * 4);
    let mut pixels = vec![0_u8; wide as usize * high as usize * 3];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (wide, high)).into_drawing_area();
        plot.draw(&area, (report, Scale(4))).map_err(failed(plot))?;
    }
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width * 2, height * 2);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(failed(plot))?;
    writer.write_image_data(&halved(&pixels, wide as usize)).map_err(failed(plot))?;
    writer.finish().map_err(failed(plot))?;
    Ok(file)
}

/// Every two by two pixels as their mean.
fn halved(pixels: &[u8], width: usize) -> Vec<u8> {
    let mut half = Vec::with_capacity(pixels.len() / 4);
    for rows in pixels.chunks_exact(width * 6) {
        let (upper, lower) = rows.split_at(width * 3);
        for (above, below) in upper.chunks_exact(6).zip(lower.chunks_exact(6)) {
            for channel in 0..3 {
                let pixel = |row: &[u8], at: usize| u16::from(row.get(at).copied().unwrap_or(0));
                let sum = pixel(above, channel)
                    + pixel(above, channel + 3)
                    + pixel(below, channel)
                    + pixel(below, channel + 3);
                half.push((sum / 4) as u8);
            }
        }
    }
    half
}

fn failed<E: std::fmt::Display>(plot: Plot) -> impl Fn(E) -> TrainError {
    move |error| TrainError::Plot { what: plot.name(), detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_pixels_become_their_mean() {
        // Two by two pixels: black, white, white, white.
        let pixels = [[0; 3], [255; 3], [255; 3], [255; 3]].concat();

        assert_eq!(halved(&pixels, 2), [191; 3]);
    }
}
