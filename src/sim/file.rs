//! Card files.

/// Why a card file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CardFileError {
    /// The system said no.
    #[error("card file {path}")]
    Io {
        /// Path.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not a card file.
    #[error("{0} is not a card file")]
    NotOne(String),
    /// Made by another version of this program.
    #[error("{path} is a card file of version {found}, this program reads {known}")]
    Version {
        /// Path.
        path: String,
        /// In the file.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Cut short or its checksum is wrong.
    #[error("{0} is damaged: {1}")]
    Damaged(String, String),
    /// It is open in another process.
    #[error("{path} is in use by process {pid}")]
    Busy {
        /// Path.
        path: String,
        /// Holder, 0 when not known.
        pid: u32,
    },
    /// It exists already.
    #[error("{0} exists already")]
    Exists(String),
}
