//! `-clear_semaphore`: only what nobody holds is freed, as `unlock` does (docs/hardware.md#clearing-a-semaphore).

use super::card::{Ended, OnCard, one_line};
use super::card_progress::FlintProgress;
use crate::card::CardError;
use crate::job::{self, JobError};

/// `-clear_semaphore`. flint says nothing when it is done.
pub(super) fn clear_semaphore(card: &mut OnCard<'_>) -> Ended {
    let mut progress = FlintProgress::new(card.talk, None);
    let done = job::unlock(card.device, &mut |_| true, &mut progress);
    match done {
        Ok(outcome) => {
            for line in outcome.proof {
                card.talk.remark(&line);
            }
            Ok(())
        }
        Err(error @ JobError::Card(CardError::Locked)) => card.broken(&error),
        Err(error) => {
            let text = format!(
                "-E- Failed to clear the flash semaphore: {}\n",
                one_line(&error)
            );
            card.fail(&text)
        }
    }
}
