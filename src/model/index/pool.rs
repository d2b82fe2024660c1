//! What a walk over the graph keeps: which rows it has met, and the best of them.

/// A row that a walk has found, as one number: the more similar to the query, the larger, and of equals the earlier row. The lowest bit
/// says whether the walk has followed the row's links. Nothing is lost at the top: similarities are below 2^30.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found(i64);

impl Found {
    #[inline(always)]
    pub(super) fn new(similarity: i32, row: u32) -> Self {
        Self(i64::from(similarity) << 33 | i64::from(!row) << 1)
    }

    #[inline(always)]
    pub(super) const fn row(self) -> u32 {
        !((self.0 >> 1) as u32)
    }

    /// Notes that its links are followed. Gives whether they were before.
    #[inline(always)]
    const fn follow(&mut self) -> bool {
        let followed = self.0 & 1 == 1;
        self.0 |= 1;
        followed
    }
}

/// The best rows that a walk has found, best first. A walk follows the links of the best one that it has not, until there is none: one
/// short list that stays sorted takes less time than a heap of the best and another of those that wait, and finds the same.
#[derive(Debug, Default)]
pub(super) struct Pool {
    pub(super) best: Vec<Found>,
    width: usize,
    /// The links of all before it are followed.
    next: usize,
}

impl Pool {
    pub(super) fn start(&mut self, width: usize) {
        self.best.clear();
        self.width = width.max(1);
        self.next = 0;
    }

    /// Keeps a row if it is among the `width` best so far.
    #[inline(always)]
    pub(super) fn offer(&mut self, found: Found) {
        if self.best.len() >= self.width {
            if self.best.last().is_some_and(|worst| *worst >= found) {
                return;
            }
            self.best.pop();
        }
        let place = self.best.partition_point(|better| *better > found);
        self.best.insert(place, found);
        self.next = self.next.min(place);
    }

    /// The best row whose links are not followed yet. They count as followed now.
    #[inline(always)]
    pub(super) fn follow(&mut self) -> Option<u32> {
        loop {
            let found = self.best.get_mut(self.next)?;
            self.next += 1;
            if !found.follow() {
                return Some(found.row());
            }
        }
    }
}

/// Which rows a search has met.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The number of the search that met the row last. A byte is noted faster than a bit, and a number need not be cleared for the next.
    by: Vec<u8>,
    /// The number of this search, 1 at least. After 255 all begins anew.
    search: u8,
}

impl Seen {
    pub(super) fn start(&mut self, rows: usize) {
        self.search = self.search.wrapping_add(1);
        if self.search == 0 || self.by.len() != rows {
            self.by.clear();
            self.by.resize(rows, 0);
            self.search = 1;
        }
    }

    /// Whether this search meets a row for the first time.
    #[inline(always)]
    pub(super) fn first_time(&mut self, row: u32) -> bool {
        let search = self.search;
        self.by.get_mut(row as usize).is_some_and(|by| std::mem::replace(by, search) != search)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_keeps_the_best_and_follows_each_once_best_first() {
        let mut pool = Pool::default();
        for width in [0, 1, 3, 5, 9] {
            pool.start(width);
            for (row, similarity) in [40, -7, 90, 40, 12].into_iter().enumerate() {
                pool.offer(Found::new(similarity, row as u32));
            }

            let followed: Vec<u32> = std::iter::from_fn(|| pool.follow()).collect();

            assert_eq!(followed, [2, 0, 3, 4, 1][..width.clamp(1, 5)]);
        }
    }

    #[test]
    fn a_pool_goes_back_to_what_is_better_than_those_it_followed() {
        let mut pool = Pool::default();
        pool.start(2);
        pool.offer(Found::new(10, 0));
        pool.offer(Found::new(5, 1));
        assert_eq!(pool.follow(), Some(0));

        pool.offer(Found::new(20, 2));

        assert_eq!([pool.follow(), pool.follow()], [Some(2), None]);
    }

    #[test]
    fn rows_and_similarities_of_any_size_are_found_as_they_were() {
        let rows = [0, 1, u32::MAX / 2, u32::MAX - 1, u32::MAX];
        for row in rows {
            assert_eq!(Found::new(-5, row).row(), row);
        }
        assert!(rows.iter().rev().map(|&row| Found::new(7, row)).is_sorted());
        assert!([1 - (1 << 30), -1, 0, 1, (1 << 30) - 1].map(|similarity| Found::new(similarity, 9)).is_sorted());
    }

    #[test]
    fn every_search_meets_rows_anew() {
        let mut seen = Seen::default();
        for search in 0..1_000 {
            // Now and then another index is searched.
            let rows = if search % 300 == 299 { 7 } else { 5 };
            seen.start(rows);
            assert!(seen.first_time(search % 5) && !seen.first_time(search % 5), "search {search}");
            assert!(!seen.first_time(rows as u32), "there is no such row");
        }
    }
}
