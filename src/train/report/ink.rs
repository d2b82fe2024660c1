//! Colours and lettering of the plots, the same in the page and in the pictures.

use plotters::prelude::{Color, IntoFont, RGBColor, TextStyle};
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Text and axes. The page replaces these colours by ones that suit a dark screen.
pub(super) const INK: RGBColor = RGBColor(0x1B, 0x1F, 0x24);
/// Lesser text.
pub(super) const MUTED: RGBColor = RGBColor(0x6B, 0x72, 0x80);
/// Grid lines.
pub(super) const GRID: RGBColor = RGBColor(0xE5, 0xE7, 0xEB);
/// The ground.
pub(super) const PAPER: RGBColor = RGBColor(0xFE, 0xFE, 0xFE);
/// The router.
pub(super) const ROUTER: RGBColor = RGBColor(0x25, 0x63, 0xEB);
/// The best fixed mix.
pub(super) const MIX: RGBColor = RGBColor(0xD9, 0x77, 0x06);
/// The longest prompts first.
pub(super) const LENGTH: RGBColor = RGBColor(0x05, 0x96, 0x69);
/// Who knows every score.
pub(super) const ORACLE: RGBColor = RGBColor(0x7C, 0x3A, 0xED);

/// Size of the plots in the page, and of their letters.
pub(super) const WIDTH: u32 = 860;
/// Height of a plot in the page.
pub(super) const HEIGHT: u32 = 460;
const LETTERS: f64 = 14.0;

/// How many pixels a unit of the page is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale(pub(super) u32);

impl Scale {
    /// A length.
    pub(super) const fn px(self, units: u32) -> u32 {
        units * self.0
    }

    /// A length with a sign.
    pub(super) const fn at(self, units: i32) -> i32 {
        units * self.0 as i32
    }

    /// Letters of this colour.
    pub(super) fn letters(self, colour: RGBColor) -> TextStyle<'static> {
        let mut style = TextStyle::from(("sans-serif", LETTERS * f64::from(self.0)).into_font());
        style.color = colour.to_backend_color();
        style
    }

    /// The same, placed by the middle of their left edge.
    pub(super) fn beside(self, colour: RGBColor) -> TextStyle<'static> {
        self.letters(colour).pos(Pos::new(HPos::Left, VPos::Center))
    }

    /// The same, placed by the middle of their right edge.
    pub(super) fn before(self, colour: RGBColor) -> TextStyle<'static> {
        self.letters(colour).pos(Pos::new(HPos::Right, VPos::Center))
    }

    /// The same, placed by their upper middle.
    pub(super) fn below(self, colour: RGBColor) -> TextStyle<'static> {
        self.letters(colour).pos(Pos::new(HPos::Center, VPos::Top))
    }
}
