//! `hw_access enable [KEY]`: hardware access of a locked card, with the key of its owner. Keys are not set
//! and access is not disabled.

use super::console::Console;
use super::errors::card_error;
use super::flags::Invocation;
use super::target::FlintResult;
use super::{Caller, FAILED};
use crate::card::{CardError, HwKey};
use crate::escape::ForeignText;
use crate::host::{BorrowOptions, Borrowed};
use crate::job::{self, Exit, JobError};
use std::io::{self, IsTerminal};

const SYNTAX: &str =
    "-E- Invalid Key syntax, it should contain only hexa numbers and of appropriate length.\n\n";

pub(super) fn enable(
    line: &Invocation,
    caller: &mut Caller<'_>,
    console: &mut Console,
    borrowed: &mut Option<Borrowed>,
) -> FlintResult {
    let card = line.device.as_ref().ok_or(FAILED)?;
    let name = ForeignText::from(card.to_string());
    let selector = card.or_simulated(&caller.simulated, caller.host);
    let given = line.args.get(1).map(|word| word.parse::<HwKey>());
    if matches!(given, Some(Err(_))) {
        console.print(SYNTAX);
        return Err(FAILED);
    }
    match job::open(&selector, caller.host, caller.options) {
        Ok(device) => {
            *borrowed = device.borrowed();
            console.print("-I- HW access already enabled\n");
            return Ok(());
        }
        Err(JobError::Card(CardError::Locked)) => {}
        Err(error) => {
            console.print(&card_error(&error, &name));
            return Err(FAILED);
        }
    }
    let key = match given {
        Some(key) => key.ok(),
        None => asked(console)?,
    };
    let Some(key) = key else {
        console.print(SYNTAX);
        return Err(FAILED);
    };
    let options = BorrowOptions { key: Some(key), ..caller.options.clone() };
    match job::open(&selector, caller.host, &options) {
        Ok(device) => {
            *borrowed = device.borrowed();
            console.print("-I- The Secure Host was disabled successfully on the device.\n");
            Ok(())
        }
        Err(error) => {
            let why = match &error {
                JobError::Card(CardError::KeyRefused) => "The given key is incorrect".to_owned(),
                other => job::error_chain(other),
            };
            console.print(&format!("-E- Failed to execute command hw_access. {why}\n\n"));
            Err(FAILED)
        }
    }
}

/// The key from stdin. On a terminal it would be shown as it is typed, so there it is not read.
fn asked(console: &mut Console) -> FlintResult<Option<HwKey>> {
    console.print("Enter Key : ");
    if io::stdin().is_terminal() {
        console.print(
            "\n-E- the key would be shown here: give it on stdin, `hw_access enable < KEYFILE`\n",
        );
        return Ok(None);
    }
    let line = console.line();
    console.print("\n");
    match line {
        Ok(None) => Err(Exit::Interrupted.code()),
        Ok(Some(text)) => Ok(text.parse().ok()),
        Err(_) => Ok(None),
    }
}
