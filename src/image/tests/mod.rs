//! What the tests of this module and of flint share.

pub(crate) mod fixture;
