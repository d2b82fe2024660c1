//! Quality over cost: the best that settings and their random mixes reach for every budget.

use serde::Serialize;

/// What one way of choosing costs and achieves, on average per prompt.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Mean cost, in the unit of the evaluation.
    pub cost: f64,
    /// Mean score, 0..1.
    pub quality: f64,
}

/// The non-decreasing convex hull of points: what can be had for a budget when settings may be mixed at random.
#[derive(Clone, Debug, PartialEq)]
pub struct Frontier {
    points: Vec<Point>,
}

impl Frontier {
    /// The hull of these points. Points that are not finite are left out.
    #[must_use]
    pub fn of(points: &[Point]) -> Self {
        let mut sorted: Vec<Point> =
            points.iter().copied().filter(|point| point.cost.is_finite() && point.quality.is_finite()).collect();
        sorted.sort_by(|a, b| a.cost.total_cmp(&b.cost).then(b.quality.total_cmp(&a.quality)));
        let mut hull: Vec<Point> = Vec::new();
        for point in sorted {
            // It costs no less than the last and gives no more.
            if hull.last().is_some_and(|last| point.quality <= last.quality) {
                continue;
            }
            while let [.., a, b] = hull.as_slice() {
                if lies_below(*b, (*a, point)) {
                    hull.pop();
                } else {
                    break;
                }
            }
            hull.push(point);
        }
        Self { points: hull }
    }

    /// The corners, from the cheapest to the best.
    #[must_use]
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The quality that a budget buys: linear between corners, flat after the last. `None` below the first, where nothing is affordable.
    #[must_use]
    pub fn quality_at(&self, cost: f64) -> Option<f64> {
        let after = self.points.partition_point(|point| point.cost <= cost);
        let left = self.points.get(after.checked_sub(1)?)?;
        let Some(right) = self.points.get(after) else { return Some(left.quality) };
        let along = (cost - left.cost) / (right.cost - left.cost);
        Some(left.quality + along * (right.quality - left.quality))
    }

    /// The mean quality over budgets of a range: the average improvement in quality of RouterBench,
    /// `1 / (high - low) · ∫ quality(c) dc`. `None` for an empty range, or one that begins below the first corner.
    #[must_use]
    pub fn mean_quality(&self, [low, high]: [f64; 2]) -> Option<f64> {
        let mut at = (low, self.quality_at(low)?);
        if high <= low || !high.is_finite() {
            return None;
        }
        let mut area = 0.0;
        let inner = self.points.iter().map(|point| point.cost).filter(|&cost| cost > low && cost < high);
        for cost in inner.chain([high]) {
            let quality = self.quality_at(cost)?;
            area += (cost - at.0) * f64::midpoint(quality, at.1);
            at = (cost, quality);
        }
        Some(area / (high - low))
    }
}

/// Whether a point lies on or below the line between two others.
fn lies_below(point: Point, (left, right): (Point, Point)) -> bool {
    (point.cost - left.cost) * (right.quality - left.quality)
        >= (point.quality - left.quality) * (right.cost - left.cost)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert, proptest};

    use super::*;

    fn point(cost: f64, quality: f64) -> Point {
        Point { cost, quality }
    }

    #[test]
    fn keeps_the_corners_and_nothing_that_costs_more_for_less() {
        let frontier =
            Frontier::of(&[point(1.0, 0.5), point(2.0, 0.9), point(3.0, 0.8), point(1.5, 0.6), point(4.0, 1.0)]);

        assert_eq!(frontier.points(), [point(1.0, 0.5), point(2.0, 0.9), point(4.0, 1.0)]);
        assert_eq!(frontier.quality_at(0.5), None);
        assert!((frontier.quality_at(1.5).unwrap() - 0.7).abs() < 1e-12);
        assert_eq!(frontier.quality_at(9.0), Some(1.0));
    }

    #[test]
    fn the_mean_quality_is_the_area_worked_out_by_hand() {
        // From (0, 0.5) to (1, 1.0), then flat to 2: (0.75 + 1.0) / 2.
        let frontier = Frontier::of(&[point(0.0, 0.5), point(1.0, 1.0), point(2.0, 0.9)]);

        assert!((frontier.mean_quality([0.0, 2.0]).unwrap() - 0.875).abs() < 1e-12);
        assert_eq!(frontier.mean_quality([1.0, 1.0]), None);
        assert_eq!(frontier.mean_quality([-1.0, 1.0]), None);
    }

    proptest! {
        #[test]
        fn no_point_lies_above_its_hull_and_more_points_never_hurt(
            raw in prop::collection::vec((0.0_f64..10.0, 0.0_f64..1.0), 1..40),
        ) {
            let points: Vec<Point> = raw.iter().map(|&(cost, quality)| point(cost, quality)).collect();
            let frontier = Frontier::of(&points);
            for one in &points {
                prop_assert!(frontier.quality_at(one.cost).unwrap() >= one.quality - 1e-9);
            }
            let corners = frontier.points();
            prop_assert!(corners.is_sorted_by(|a, b| a.cost < b.cost && a.quality < b.quality));
            let slopes: Vec<f64> = corners.windows(2).map(|two| (two[1].quality - two[0].quality) / (two[1].cost - two[0].cost)).collect();
            prop_assert!(slopes.is_sorted_by(|a, b| *a >= *b - 1e-9));

            let cheapest = frontier.points()[0].cost;
            let fewer = Frontier::of(&points[..1]);
            if let (Some(all), Some(one)) = (frontier.mean_quality([10.0, 11.0]), fewer.mean_quality([10.0, 11.0])) {
                prop_assert!(all >= one - 1e-12 && cheapest <= 10.0);
            }
        }
    }
}
