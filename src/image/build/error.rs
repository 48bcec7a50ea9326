//! Why no image can be made.

/// Why no image can be made from a recipe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A text does not fit its field.
    #[error("{field} does not fit {max} bytes")]
    TextTooLong {
        /// Which.
        field: &'static str,
        /// Bytes available.
        max: usize,
    },
    /// A number is out of range.
    #[error("{field} = {value} is out of range")]
    OutOfRange {
        /// Which.
        field: &'static str,
        /// Given.
        value: u64,
    },
    /// The parts alone are larger than the size wanted.
    #[error("the parts need {needed} bytes, {wanted} were asked for")]
    TooSmall {
        /// Bytes the parts need.
        needed: u32,
        /// Bytes asked for.
        wanted: u32,
    },
    /// A part that came with the recipe carries an image signature, which a scan of a flash chip
    /// could take for the start of an image.
    #[error("an image signature inside the image, at {at:#x}")]
    StraySignature {
        /// Offset in the image.
        at: u32,
    },
}
