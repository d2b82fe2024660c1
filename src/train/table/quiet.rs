//! Calling a library that unwinds on damaged files, without its words on standard error.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// A call that unwound.
#[derive(Debug)]
pub(super) struct Unwound;

/// Does the work. If it unwinds that is the result, and nothing is printed; what other threads print is as it was.
pub(super) fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, Unwound> {
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                before(panic);
            }
        }));
    });
    let was = QUIET.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(was);
    result.map_err(|_| Unwound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_unwinds_is_a_result_and_the_thread_is_loud_again() {
        let within = quietly(|| QUIET.get());
        let unwound = quietly(|| panic!("not seen"));

        assert!(within.unwrap());
        assert!(matches!(unwound, Err::<(), _>(Unwound)));
        assert!(!QUIET.get());
    }
}
