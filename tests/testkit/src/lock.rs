//! Locks that threads of one test share.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`, also when a thread has panicked with it: that test fails by its own panic, and
/// what is seen here is what it left.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
