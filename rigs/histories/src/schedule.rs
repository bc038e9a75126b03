//! An executor whose only choice, which task goes on next, comes from a seed: the same seed makes the same run.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

/// A task of a run.
pub(crate) type Task<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

struct Ready(AtomicBool);

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Runs tasks to their ends, each step by one that can go on, chosen by the seed.
///
/// # Errors
/// Where all that are left wait for each other.
pub(crate) fn run(rng: &mut fastrand::Rng, tasks: Vec<Task<'_>>) -> Result<(), String> {
    let mut tasks: Vec<_> = tasks
        .into_iter()
        .map(|task| (task, Arc::new(Ready(AtomicBool::new(true)))))
        .collect();
    while !tasks.is_empty() {
        let ready: Vec<usize> = (0..tasks.len())
            .filter(|index| tasks[*index].1.0.load(Ordering::SeqCst))
            .collect();
        let Some(index) = rng.choice(ready) else {
            return Err(format!("{} tasks wait for each other", tasks.len()));
        };
        let (task, ready) = &mut tasks[index];
        ready.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(ready));
        if task
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready()
        {
            drop(tasks.swap_remove(index));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures_lite::future;

    use super::*;

    fn order(seed: u64) -> Vec<u32> {
        let steps = RefCell::new(Vec::new());
        let task = |number: u32| -> Task<'_> {
            let steps = &steps;
            Box::pin(async move {
                for _ in 0..5 {
                    steps.borrow_mut().push(number);
                    future::yield_now().await;
                }
            })
        };
        run(
            &mut fastrand::Rng::with_seed(seed),
            vec![task(1), task(2), task(3)],
        )
        .unwrap();
        steps.take()
    }

    #[test]
    fn seed_decides_the_order() {
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
    }

    #[test]
    fn tasks_that_wait_for_each_other_are_told() {
        let stuck: Task<'_> = Box::pin(future::pending());
        assert!(run(&mut fastrand::Rng::with_seed(1), vec![stuck]).is_err());
    }
}
