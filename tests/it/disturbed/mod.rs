//! Jobs on a card that is read wrongly once, and jobs whose process loses the processor.
//!
//! `registers`: one register access of a job goes wrong. `answers`: one answer of the chip is wrong, or
//! its work takes too long.
//! `away`: the process is away for 500 ms at every register access of a job. `wrong_reads`: a
//! 16-byte read of a job delivers something wrong, once. Both on failsafe and non-failsafe
//! layouts. Each sweep prints how many cases it tried and how they ended.
//!
//! Each case runs its job anew: unlike a power cut, a disturbance leaves the job running, and what it
//! does next is the subject. A sweep samples the accesses of the long reads. With `CX3FLASH_CAMPAIGN` set
//! the samples are larger; with `CX3FLASH_SWEEP=all` it tries every one of them, which takes hours.

mod answers;
mod away;
mod brown_out;
mod card;
mod registers;
mod tap;
mod torn;
mod wrong_reads;
