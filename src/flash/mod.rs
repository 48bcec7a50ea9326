//! The SPI NOR flash behind the card: gateway, chip table, sector layout, and the typestate
//! machine Locked → Erased → Written → Verified → Committed → Confirmed. Knows neither Linux nor FS2.
//!
//! Facts about the hardware: `docs/hardware.md`.

mod cache;
mod chains;
mod chips;
mod error;
mod event;
mod families;
mod gateway;
mod latch;
mod layout;
mod measure;
mod plan_check;
mod protection;
mod readings;
mod sectors;
mod session;
mod source;
mod state;
pub mod trace;
mod trial;
mod waits;
mod work;

pub use chains::{ChainProof, ChainVerdict};
pub use chips::FlashChip;
pub use error::{Boots, FlashError, Stopped};
pub use event::{Event, Events, Phase};
pub use families::TimesSource;
pub use latch::LatchFigures;
pub(crate) use layout::overlap;
pub use layout::{EraseSize, Geometry, Job, LayoutError, SectorAction, SectorMap, SectorPlan};
pub use measure::GatewayFigures;
pub use protection::{Protection, ProtectionControl};
pub use sectors::plan_sectors;
pub(crate) use session::MORE_READINGS;
pub use source::FlashSource;
pub use state::{Committed, Confirmed, Erased, Flash, Locked, Refused, Tried, Verified, Written};
pub use trial::{Invalidated, Trial, WayBack};
pub use work::{BootProbe, Signature};
