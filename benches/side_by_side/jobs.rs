//! The jobs of both programs.

use crate::fixture::HalfState;
use cx3flash::job::{self, Device, WriteRequest};
use cx3flash::plan::BurnOptions;
use std::path::Path;

/// File that a read writes.
const OUT: &str = "out.bin";

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum BenchJob {
    Query,
    Verify,
    ReadImage,
    ReadFlash,
    BurnUsed,
    BurnBlank,
}

impl BenchJob {
    pub(crate) const ALL: [Self; 6] = [
        Self::Query,
        Self::Verify,
        Self::ReadImage,
        Self::ReadFlash,
        Self::BurnUsed,
        Self::BurnBlank,
    ];

    /// Its name on the command line of the client.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Verify => "verify",
            Self::ReadImage => "read-image",
            Self::ReadFlash => "read-flash",
            Self::BurnUsed => "burn-used",
            Self::BurnBlank => "burn-blank",
        }
    }

    pub(crate) fn named(name: &str) -> Self {
        let named = Self::ALL.into_iter().find(|job| job.name() == name);
        named.expect("a job of the benchmark")
    }

    /// The title in the table: mstflint's command and ours.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Verify => "verify",
            Self::ReadImage => "ri",
            Self::ReadFlash => "rb of 2 MiB; backup",
            Self::BurnUsed => "burn, used half",
            Self::BurnBlank => "burn, blank half",
        }
    }

    pub(crate) fn target(self) -> HalfState {
        match self {
            Self::BurnBlank => HalfState::Blank,
            _ => HalfState::Used,
        }
    }

    pub(crate) fn burns(self) -> bool {
        matches!(self, Self::BurnUsed | Self::BurnBlank)
    }

    /// Arguments of mstflint.
    pub(crate) fn mstflint(self) -> &'static [&'static str] {
        match self {
            Self::Query => &["-d", "CARD", "query"],
            Self::Verify => &["-d", "CARD", "verify"],
            Self::ReadImage => &["-d", "CARD", "ri", OUT],
            Self::ReadFlash => &["-d", "CARD", "rb", "0x0", "0x200000", OUT],
            Self::BurnUsed | Self::BurnBlank => &["-d", "CARD", "-i", "new.bin", "-y", "burn"],
        }
    }

    /// The same job done by the library, in the directory `dir`.
    pub(crate) fn run(self, device: &mut Device, dir: &Path) {
        match self {
            Self::Query => {
                let query = job::query_card(device).unwrap();
                assert!(query.active.is_some());
            }
            Self::Verify => assert!(job::verify_card(device, &mut ()).unwrap().ok),
            Self::ReadImage => {
                let image = cx3flash::flint::image_of_card(device, &mut ()).unwrap().unwrap();
                std::fs::write(dir.join(OUT), image).unwrap();
            }
            Self::ReadFlash => {
                job::backup(device, dir, &mut ()).unwrap();
            }
            Self::BurnUsed | Self::BurnBlank => {
                let image = job::read_image(&dir.join("new.bin"), &()).unwrap();
                let options = BurnOptions::default();
                let request = WriteRequest::Burn(&image, &options);
                let backups = dir.join("backups");
                let outcome = job::write(
                    device,
                    &request,
                    job::WriteOptions::later(&backups),
                    &mut |_| true,
                    &mut (),
                )
                .unwrap();
                assert!(!outcome.nothing_to_do);
            }
        }
    }
}
