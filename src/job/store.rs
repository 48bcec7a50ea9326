//! Where backups go and how they get there.

use std::path::PathBuf;

/// `$XDG_STATE_HOME/cx3flash/backups` (`~/.local/state/…` without it); `/var/lib/cx3flash/backups`
/// for root.
#[must_use]
pub fn default_backup_dir() -> PathBuf {
    todo!()
}
