//! What this program was built from.

use std::sync::LazyLock;

/// The commit, by `build.rs`; `None` for a debug build and where the source was no checkout.
pub(super) const COMMIT: Option<&str> = option_env!("CX3FLASH_COMMIT");

/// Features of Cargo that are not always there.
pub(super) const FEATURES: &[&str] = &[
    #[cfg(feature = "cdev")]
    "cdev",
];

/// What `--version` prints behind the name; `-V` prints the first line.
pub(super) fn long_version() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| described(COMMIT, FEATURES));
    &TEXT
}

fn described(commit: Option<&str>, features: &[&str]) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let commit = commit.unwrap_or("none");
    let features = if features.is_empty() { "none".to_owned() } else { features.join(" ") };
    format!("{version}\ncommit: {commit}\nfeatures: {features}")
}

#[cfg(test)]
mod tests {
    use super::described;

    #[test]
    fn commit_and_features_are_named_or_none() {
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(described(None, &[]), format!("{version}\ncommit: none\nfeatures: none"));
        let text = described(Some("39c2819f3b1a (modified)"), &["cdev"]);
        assert!(text.ends_with("\ncommit: 39c2819f3b1a (modified)\nfeatures: cdev"), "{text}");
    }
}
