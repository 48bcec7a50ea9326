//! Tests of the lease on a host made of files, with a kernel that moves its links.

pub(in crate::host) mod bench;
mod cuts;
mod fake;
mod faults;
mod moved;
mod presence;
mod real;
mod reenumerate;
mod schedules;
mod story;
mod sweep;
