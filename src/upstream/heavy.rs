//! Work in proportion to a body. A large one is read on a thread of its own, so that other calls need not wait for it.

/// From how many bytes on. Reading as many takes about a millisecond.
const LARGE: usize = 256 << 10;

/// Does work on so many bytes. `None` where the thread was lost, which only the end of the program can do.
pub async fn heavy<T, F>(bytes: usize, work: F) -> Option<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    if bytes < LARGE { Some(work()) } else { tokio::task::spawn_blocking(work).await.ok() }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn only_what_is_large_is_read_elsewhere() {
        let here = thread::current().id();

        assert_eq!(heavy(LARGE - 1, move || thread::current().id() == here).await, Some(true));
        assert_eq!(heavy(LARGE, move || thread::current().id() == here).await, Some(false));
    }
}
