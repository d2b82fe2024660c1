//! What each thread that serves callers has for itself.

use std::cell::Cell;

thread_local! {
    static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Says that the calling thread is the one with this number, from 0, among those that serve callers. Whoever starts such threads says so once
/// in each of them.
pub fn serve_as(number: usize) {
    NUMBER.set(Some(number));
}

/// A value for each thread that serves, and one for all other threads.
///
/// A connection to an upstream is driven by the runtime of the thread that opened it. A call that used one of another thread would wake that
/// thread and be woken by it, which takes longer than all else that is done for the call.
#[derive(Debug)]
pub(crate) struct PerThread<T> {
    serving: Vec<T>,
    others: T,
}

impl<T> PerThread<T> {
    /// Makes the values for so many serving threads, and one more.
    ///
    /// # Errors
    /// The first failure to make one.
    pub(crate) fn new<E>(serving: usize, mut make: impl FnMut() -> Result<T, E>) -> Result<Self, E> {
        let others = make()?;
        Ok(Self { serving: std::iter::repeat_with(make).take(serving).collect::<Result<_, _>>()?, others })
    }

    /// The value of the calling thread.
    pub(crate) fn own(&self) -> &T {
        NUMBER.get().and_then(|number| self.serving.get(number)).unwrap_or(&self.others)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::thread;

    use super::*;

    #[test]
    fn each_serving_thread_has_a_value_of_its_own_and_all_others_share_one() {
        let mut next = 0..;
        let values = PerThread::new(2, || Ok::<i32, Infallible>(next.next().unwrap())).unwrap();
        let seen_as = |number: Option<usize>| {
            let look = || {
                if let Some(number) = number {
                    serve_as(number);
                }
                *values.own()
            };
            thread::scope(|scope| scope.spawn(look).join().unwrap())
        };

        assert_eq!([None, None, Some(0), Some(1), Some(2)].map(seen_as), [0, 0, 1, 2, 0]);
    }

    #[test]
    fn a_value_that_cannot_be_made_is_an_error() {
        let mut left = 2;
        let made = PerThread::new(2, || {
            left -= 1;
            if left < 0 { Err("no more") } else { Ok(()) }
        });

        assert_eq!(made.err(), Some("no more"));
    }
}
