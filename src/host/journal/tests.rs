//! Tests of the journal: what a cut or a flipped bit leaves of it.
