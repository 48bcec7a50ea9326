//! Runs scenarios and reports them.
